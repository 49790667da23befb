"""The emulator's calls to its own AWS APIs, as the account's root.

Call them from worker threads only: on the event loop such a call would wait for itself.
"""

import functools
from typing import Any

import boto3
from botocore.config import Config

from localcloud.settings import Settings

_settings: Settings | None = None
_LIMITS = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 1})


def use(settings: Settings) -> None:
    """Set the settings of the local cloud that this process serves."""
    global _settings
    _settings = settings


def settings() -> Settings:
    if _settings is None:
        raise RuntimeError("own_api.use(settings) has not been called in this process")
    return _settings


@functools.cache
def client(service: str, region: str) -> Any:
    own = settings()
    return boto3.client(
        service,  # type: ignore[call-overload]
        region_name=region,
        endpoint_url=own.endpoint,
        verify=own.ca,
        aws_access_key_id=own.access_key_id,
        aws_secret_access_key=own.secret_access_key,
        config=_LIMITS,
    )
