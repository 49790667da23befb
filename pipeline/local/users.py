"""Who works on this machine."""

import os
import pwd


def system_user() -> str:
    """The user's name in the system's user database. ``$USER`` is no proof, because the user can set it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a uid without a name, as in containers
        return f"uid {os.getuid()}"
