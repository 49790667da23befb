"""One PostgreSQL connection per execution environment, over TLS, which outlives fail-overs and rotated passwords."""

import os
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from lambdas.adapters import deadline, tracing
from lambdas.payments.errors import Unavailable

_DEPENDENCY = "customer database"

_RDS_ROOTS = Path(__file__).with_name("rds-root-certificates.pem")

_TIMEOUT_SECONDS = 1.5
"""For connecting, and for each answer."""
_LONGEST_USE_SECONDS = 600
"""A connection is renewed after this time, so that a new reader gets its share."""

_WRONG_PASSWORD = frozenset({"28P01", "28000"})
_PASSING = ("08", "53", "57", "25006", "40")
"""Classes of SQLSTATE that another connection may not meet: connection, resources, operator intervention, read-only
after a fail-over, conflict with recovery."""


class Login(Protocol):
    def __call__(self, *, fresh: bool) -> Mapping[str, str]:
        """``username`` and ``password``; ``fresh``: not from a cache."""


class Database:
    """Queries on a database whose connection is opened on demand and kept."""

    def __init__(self, login: Login, clock: Callable[[], float] = time.monotonic) -> None:
        self._login = login
        self._clock = clock
        self._connection: Any = None
        self._opened_at = 0.0

    def query(self, sql: str, **parameters: Any) -> list[list[Any]]:
        """The rows of ``sql``, a statement that may be repeated. One retry, on a new connection, when the kept one
        failed; one more with the password read anew, when that was rotated. Raises ``Unavailable``."""
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
                if not (_is_wrong_password(error) or _may_pass(error)):
                    raise
            self._close()
            if not _is_wrong_password(failure):
                broken += 1
            elif refused:  # also as it reads now
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
            with suppress(Exception):  # it may be broken: that is why it is closed
                connection.close()


def connect(login: Mapping[str, str], place: Mapping[str, str], timeout: float = _TIMEOUT_SECONDS) -> Any:
    """A connection to ``DATABASE_HOST``, ``DATABASE_PORT``, ``DATABASE_NAME`` of ``place``, over verified TLS.

    ``timeout``: seconds for connecting and for each answer.
    """
    from pg8000.native import Connection

    return Connection(
        login["username"],
        password=login["password"],
        host=place["DATABASE_HOST"],
        port=int(place["DATABASE_PORT"]),
        database=place["DATABASE_NAME"],
        ssl_context=_tls(place.get("DATABASE_CA_BUNDLE")),
        timeout=timeout,
        application_name=os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "payments"),
    )


@cache
def _tls(ca_bundle: str | None) -> ssl.SSLContext:
    """Trusts the authorities in the file ``ca_bundle``, or those of Amazon RDS in this region."""
    if ca_bundle:
        return ssl.create_default_context(cafile=ca_bundle)
    return ssl.create_default_context(cadata=rds_roots(os.environ["AWS_REGION"]))


def rds_roots(region: str) -> str:
    """The root certificates of Amazon RDS in ``region``, PEM. Raises ``LookupError`` for a region that has none here.

    The region's own few, for parsing all of them would take longer than connecting.
    """
    _, *roots = _RDS_ROOTS.read_text().split("# ")
    own = [root for root in roots if root.startswith(f"Amazon RDS {region} ")]
    if not own:
        raise LookupError(f"{_RDS_ROOTS.name} has none for {region}: renew it, or set DATABASE_CA_BUNDLE")
    return "".join(own)


def sqlstate(error: Exception) -> str:
    """The SQLSTATE of a pg8000 ``DatabaseError``, or an empty string."""
    details = error.args[0] if error.args else None
    return str(details.get("C", "")) if isinstance(details, dict) else ""


def _is_wrong_password(error: Exception | None) -> bool:
    return error is not None and sqlstate(error) in _WRONG_PASSWORD


def _may_pass(error: Exception) -> bool:
    return sqlstate(error).startswith(_PASSING)
