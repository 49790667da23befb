"""The emulator's settings, and its calls to its own AWS APIs, as the account's root.

Make calls from worker threads only: on the event loop such a call would wait for itself.
"""

import contextlib
import functools
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from localcloud.settings import SETTINGS_FILE, Settings

_settings: Settings | None = None
_changed: int | None = None
"""When the file of the settings was changed, in nanoseconds since the epoch, as far as it was read."""
_LIMITS = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 1})


def use(settings: Settings) -> None:
    """Set the settings of the local cloud that this process serves."""
    global _settings, _changed
    _settings, _changed = settings, None


def settings() -> Settings:
    """The settings as they stand: a person may change some of them while the cloud runs."""
    global _settings, _changed
    if _settings is None:
        raise RuntimeError("own_api.use(settings) has not been called in this process")
    folder = Path(_settings.folder)
    with contextlib.suppress(OSError, ValueError):  # the file is gone while the cloud is removed
        changed = (folder / SETTINGS_FILE).stat().st_mtime_ns
        if changed != _changed:
            _settings, _changed = Settings.read(folder), changed
    return _settings


@functools.cache
def client(service: str, region: str) -> Any:
    own = settings()
    return _session().client(
        service,  # type: ignore[call-overload]
        region_name=region,
        endpoint_url=own.endpoint,
        verify=own.ca,
        aws_access_key_id=own.access_key_id,
        aws_secret_access_key=own.secret_access_key,
        config=_LIMITS,
    )


_session = functools.cache(boto3.Session)


def forget() -> None:
    """Drop the clients, and the models of services with them: that of EC2 alone takes 22 MiB."""
    client.cache_clear()
    _session.cache_clear()
