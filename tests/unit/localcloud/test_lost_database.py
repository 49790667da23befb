"""A database that was lost: it is started again, or the status says that it is gone."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from localcloud import LocalCloud, __main__, database
from localcloud.failover import Database
from localcloud.postgres import PostgresError


class Server:
    """PostgreSQL that was killed, and starts again at the last of ``attempts``."""

    def __init__(self, attempts: int) -> None:
        self.left, self.is_running = attempts, False

    def runs(self) -> bool:
        return self.is_running

    def resume(self) -> None:
        self.left -= 1
        if self.left:
            raise PostgresError("pre-existing shared memory block is still in use")
        self.is_running = True


@pytest.fixture
def statuses(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the emulator is told."""
    told: list[object] = []
    monkeypatch.setattr(database, "_answer", lambda message: told.append(message["status"]))
    monkeypatch.setattr(database, "WATCH_SECONDS", 0.001)
    monkeypatch.setattr(database, "RESTART_PAUSE_SECONDS", 0)
    return told


@pytest.mark.parametrize(
    ("attempts", "end"), [(1, "available"), (database.RESTARTS, "available"), (database.RESTARTS + 1, "failed")]
)
def test_a_killed_server_is_started_again_several_times_before_it_is_given_up(
    statuses: list[object], attempts: int, end: str
) -> None:
    async def watch() -> None:
        watching = asyncio.create_task(database._keep_running(Server(attempts)))  # type: ignore[arg-type]
        while len(statuses) < 2:
            await asyncio.sleep(0.001)
        watching.cancel()

    asyncio.run(asyncio.wait_for(watch(), 10))

    assert statuses == ["failing-over", end]


@pytest.fixture
def status_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Database | None], int]:
    """The exit code of ``status`` for a running cloud with this database."""
    monkeypatch.setattr(LocalCloud, "is_running", lambda _: True)
    monkeypatch.setattr(LocalCloud, "endpoint", "https://127.0.0.1:1")

    def run(found: Database | None) -> int:
        monkeypatch.setattr(__main__, "database", lambda _: found)
        return __main__.main(["status", "dev", "--state", str(tmp_path)])

    return run


def test_the_status_says_that_the_database_is_gone(
    status_of: Callable[[Database | None], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(None) == 0
    assert status_of(Database("payment-dev", "available", "writer-1")) == 0
    assert "dev: database payment-dev available, writer writer-1" in capsys.readouterr().out

    assert status_of(Database("payment-dev", "failed", "writer-1")) == 1

    assert "dev: its database is gone" in capsys.readouterr().err
