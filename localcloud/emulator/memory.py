"""Keeps the emulator small, and its answers without pauses.

A collection of Python's oldest generation stops every request for 200 to 300 ms, so it happens only while nobody asks,
and when a stack's operation ends: a load is judged after it.
"""

import ctypes
import functools
import gc
import linecache
import threading
import time
from asyncio import sslproto
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import UnknownServiceError
from botocore.loaders import create_loader
from ministack.core import responses

from localcloud.emulator import own_api
from localcloud.emulator.upstream import Function, replaces

BUFFER_BYTES = 32 * 1024
"""Of a connection. A TLS record has 16 KiB at most, and asyncio would take 256 KiB for each."""
LOOK_SECONDS = 10.0
IDLE_SHARE = 0.05
"""Of a processor. A cloud that nobody asks needs less, also while its schedules run."""

c_library = ctypes.CDLL(None)


@replaces(responses, "_service_model")
@functools.cache
def service_model(_: Function, service: str) -> Any:
    """What MiniStack asks of a service's model, which is its protocol. It would keep 30 MiB of models for that."""
    name = responses._BOTOCORE_NAME.get(service, service)
    try:
        return SimpleNamespace(metadata=create_loader().load_service_model(name, "service-2")["metadata"])
    except UnknownServiceError:
        return None


def watch() -> None:
    """Take what is there by now for lasting, and clean up after what comes, in a thread of its own."""
    sslproto.SSLProtocol.max_size = BUFFER_BYTES
    linecache.clearcache()  # ``upstream`` has read the source of all that it compares
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young * 10, middle, 1_000_000)
    threading.Thread(target=_clean_for_ever, name="memory", daemon=True).start()


def _clean_for_ever() -> None:
    used = time.process_time()
    while True:
        time.sleep(LOOK_SECONDS)
        before, used = used, time.process_time()
        is_idle = used - before < IDLE_SHARE * LOOK_SECONDS
        if is_idle and gc.get_count()[2]:  # something has come since the last time
            clean()


def clean() -> None:
    """Drop closed connections, which refer to themselves, the SDK's models that a deployment has read, and the source
    that tracebacks have quoted. Give back to the system what was freed."""
    own_api.forget()
    linecache.clearcache()
    gc.collect()
    if hasattr(c_library, "malloc_trim"):  # of glibc
        c_library.malloc_trim(0)
