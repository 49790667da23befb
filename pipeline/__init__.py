"""The delivery pipeline's commands and its definition.

Every command imports this module first. So it says in a sentence what no command can say for itself, because it could
not be imported: that this Python is too old, or that it lacks the packages. It also sees to it that no command ends
because its output holds a character that the terminal's encoding lacks.
"""

import sys

USAGE = 2

if sys.version_info < (3, 11):
    sys.stderr.write("Python 3.11 or newer is needed, and this is " + sys.version.split()[0] + ": see `make setup`\n")
    raise SystemExit(USAGE)


def _explain(kind, error, trace):  # type: ignore[no-untyped-def]  # newer forms of annotations fail in an old Python
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        return
    if issubclass(kind, ModuleNotFoundError):
        sys.stderr.write(
            f"{sys.executable} lacks the package {error.name}: run `make setup`, then `source .venv/bin/activate`,"
            " in the folder of the checkout\n"
        )
        raise SystemExit(USAGE)
    sys.__excepthook__(kind, error, trace)


sys.excepthook = _explain

from pipeline.encoding import replace_unencodable_characters  # noqa: E402 - not by an older Python

replace_unencodable_characters()
