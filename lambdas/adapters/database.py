"""One PostgreSQL connection per execution environment, over TLS. It is renewed after a failover or a rotation."""

import os
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from lambdas.adapters import deadline, tracing
from lambdas.adapters.breaker import Breaker
from lambdas.payments.errors import Unavailable

_DEPENDENCY = "customer database"

_RDS_ROOTS = Path(__file__).with_name("rds-root-certificates.pem")

_TIMEOUT_SECONDS = 1.5
"""The limit for connecting, and for each answer."""
_LONGEST_USE_SECONDS = 600
"""A connection is renewed after this time, so that a new reader gets its share of the connections."""

_WRONG_PASSWORD = frozenset({"28P01", "28000"})
_TRANSIENT_STATES = ("08", "53", "57", "25006", "40")
"""SQLSTATE prefixes that a new connection may avoid: connection, resources, operator intervention, read-only after a
failover, conflict with recovery."""


class Login(Protocol):
    def __call__(self, *, fresh: bool) -> Mapping[str, str]:
        """``username`` and ``password``. ``fresh`` skips the cache."""


class Database:
    """Runs queries. The connection is opened at the first query and kept."""

    def __init__(self, login: Login, clock: Callable[[], float] = time.monotonic) -> None:
        self._login = login
        self._clock = clock
        self._breaker = Breaker(_DEPENDENCY, clock)
        self._connection: Any = None
        self._opened_at = 0.0

    def query(self, sql: str, **parameters: Any) -> list[list[Any]]:
        """The rows of ``sql``, a statement that may be repeated.

        A failed connection gets one retry on a new one. A refused password gets one retry with the password read again,
        because it may have been rotated. Raises ``Unavailable``, for a pause after that at once.
        """
        deadline.check(_DEPENDENCY)  # before the breaker: a request without time says nothing about the database
        with self._breaker.guarded():
            return self._query(sql, parameters)

    def _query(self, sql: str, parameters: Mapping[str, Any]) -> list[list[Any]]:
        from pg8000.exceptions import DatabaseError, InterfaceError

        failure: Exception | None = None
        broken = 0
        while broken < 2:
            deadline.check(_DEPENDENCY)
            refused = _is_wrong_password(failure)
            try:
                with tracing.span(_DEPENDENCY):
                    return self._current(fresh_login=refused).run(sql, **parameters)  # type: ignore[no-any-return]
            except (InterfaceError, OSError) as error:
                failure = error
            except DatabaseError as error:
                failure = error
                if not (_is_wrong_password(error) or _is_transient(error)):
                    raise
            self._close()
            if not _is_wrong_password(failure):
                broken += 1
            elif refused:  # the password was read again, and refused again
                break
        raise Unavailable(_DEPENDENCY) from failure

    def _current(self, *, fresh_login: bool) -> Any:
        if self._connection is not None and self._clock() - self._opened_at > _LONGEST_USE_SECONDS:
            self._close()
        if self._connection is None:
            self._connection = connect(self._login(fresh=fresh_login), os.environ)
            self._opened_at = self._clock()
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # closing a broken connection may fail
                connection.close()


def connect(login: Mapping[str, str], address: Mapping[str, str], timeout: float = _TIMEOUT_SECONDS) -> Any:
    """A connection over verified TLS. ``address`` has ``DATABASE_HOST``, ``DATABASE_PORT`` and ``DATABASE_NAME``.

    ``timeout``: seconds for connecting and for each answer.
    """
    from pg8000.native import Connection

    return Connection(
        login["username"],
        password=login["password"],
        host=address["DATABASE_HOST"],
        port=int(address["DATABASE_PORT"]),
        database=address["DATABASE_NAME"],
        ssl_context=_tls(address.get("DATABASE_CA_BUNDLE")),
        timeout=timeout,
        application_name=os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "payments"),
    )


@cache
def _tls(ca_bundle: str | None) -> ssl.SSLContext:
    """Trusts the authorities in the file ``ca_bundle``, or Amazon RDS's authorities in this region."""
    if ca_bundle:
        return ssl.create_default_context(cafile=ca_bundle)
    return ssl.create_default_context(cadata=rds_roots(os.environ["AWS_REGION"]))


def rds_roots(region: str) -> str:
    """The root certificates of Amazon RDS in ``region``, PEM. Raises ``LookupError`` when the file has none for it.

    Only the region's, because parsing those of all regions would take longer than connecting.
    """
    _, *roots = _RDS_ROOTS.read_text().split("# ")
    own = [root for root in roots if root.startswith(f"Amazon RDS {region} ")]
    if not own:
        raise LookupError(f"{_RDS_ROOTS.name} has none for {region}: renew it, or set DATABASE_CA_BUNDLE")
    return "".join(own)


def sqlstate(error: Exception) -> str:
    """The SQLSTATE of a pg8000 ``DatabaseError``; empty when it has none."""
    details = error.args[0] if error.args else None
    return str(details.get("C", "")) if isinstance(details, dict) else ""


def _is_wrong_password(error: Exception | None) -> bool:
    return error is not None and sqlstate(error) in _WRONG_PASSWORD


def _is_transient(error: Exception) -> bool:
    return sqlstate(error).startswith(_TRANSIENT_STATES)
