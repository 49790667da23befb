"""X-Ray traces without its SDK, whose dependencies are six times the size of the rest of the artefact.

Powertools' ``Tracer`` uses the provider in this module. It sends finished subsegments to the daemon that Lambda runs
beside a traced function. Without a daemon, or for a request that isn't sampled, it sends nothing. Source of the format:
"X-Ray segment documents" in the X-Ray developer guide.
"""

import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import lru_cache
from typing import Any

from aws_lambda_powertools import Tracer
from aws_lambda_powertools.tracing.base import BaseProvider, BaseSegment

_HEADER = b'{"format":"json","version":1}\n'


class Subsegment(BaseSegment):
    """One timed part of a request."""

    def __init__(self, name: str) -> None:
        self._document: dict[str, Any] = {"name": name, "type": "subsegment", "start_time": time.time()}

    def close(self, end_time: int | None = None) -> None:
        self._document["end_time"] = end_time or time.time()

    def add_subsegment(self, subsegment: Any) -> None:
        raise NotImplementedError("subsegments are sent one by one")

    def remove_subsegment(self, subsegment: Any) -> None:
        raise NotImplementedError("subsegments are sent one by one")

    def put_annotation(self, key: str, value: Any) -> None:
        self._document.setdefault("annotations", {})[key] = value

    def put_metadata(self, key: str, value: Any, namespace: str = "default") -> None:
        self._document.setdefault("metadata", {}).setdefault(namespace, {})[key] = value

    def add_exception(self, exception: BaseException, stack: Any = None, remote: bool = False) -> None:
        """Record the exception's type only, because its message may quote data."""
        self._document["fault"] = True
        self._document["cause"] = {"exceptions": [{"id": _new_id(), "type": type(exception).__name__}]}

    def document_in(self, trace: dict[str, str]) -> bytes:
        """The document as a child in ``trace``, the parsed trace header."""
        ids = {"id": _new_id(), "trace_id": trace["Root"], "parent_id": trace["Parent"]}
        return json.dumps(self._document | ids).encode()


def _new_id() -> str:
    return secrets.token_hex(8)


class DaemonProvider(BaseProvider):
    """Sends subsegments to the daemon at ``AWS_XRAY_DAEMON_ADDRESS``, each a child of the function's segment."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._current: Subsegment | None = None

    @contextmanager
    def in_subsegment(self, name: str | None = None, **kwargs: Any) -> Iterator[Subsegment]:
        subsegment = self._current = Subsegment((name or "request").removeprefix("## "))
        try:
            yield subsegment
        except BaseException as error:
            subsegment.add_exception(error)
            raise
        finally:
            subsegment.close()
            self._send(subsegment)

    def in_subsegment_async(self, name: str | None = None, **kwargs: Any) -> AbstractAsyncContextManager[BaseSegment]:
        raise NotImplementedError("the functions are not asynchronous")

    def put_annotation(self, key: str, value: Any) -> None:
        if self._current is not None:
            self._current.put_annotation(key, value)

    def put_metadata(self, key: str, value: Any, namespace: str = "default") -> None:
        if self._current is not None:
            self._current.put_metadata(key, value, namespace)

    def patch(self, modules: Any) -> None:
        """Nothing to patch: the adapters open their own spans."""

    def patch_all(self) -> None:
        """Nothing to patch: the adapters open their own spans."""

    def _send(self, subsegment: Subsegment) -> None:
        trace = _sampled(os.environ.get("_X_AMZN_TRACE_ID", ""))
        address = os.environ.get("AWS_XRAY_DAEMON_ADDRESS", "")
        if trace and address:
            host, _, port = address.rpartition(":")
            self._socket.sendto(_HEADER + subsegment.document_in(trace), (host, int(port)))


@lru_cache(maxsize=1)  # a request sends a dozen subsegments
def _sampled(header: str) -> dict[str, str] | None:
    """The fields of the trace header; ``None`` unless the request is sampled."""
    trace = dict(part.split("=", 1) for part in header.split(";") if "=" in part)
    return trace if trace.get("Sampled") == "1" and {"Root", "Parent"} <= trace.keys() else None


_provider = DaemonProvider()
tracer = Tracer(provider=_provider, auto_patch=False, disabled=False)


def span(name: str) -> Any:
    """A context manager that traces its block as one timed part of the request."""
    return _provider.in_subsegment(name)
