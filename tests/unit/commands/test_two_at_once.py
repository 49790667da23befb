"""Two of the same command at once: one does it, the other waits or says who is at work. Nothing is left half done."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud import LocalCloud
from localcloud.cloud import Postgres
from pipeline.local.state import State
from tests.unit.commands.running import ROOT, Case, Driver, driver, fault

BUSY = {"promote", "approve", "reject", "down", "clean", "remote"}
READING = {"status"}


@pytest.fixture(scope="module")
def commands() -> Iterator[Driver]:
    with driver() as started:
        yield started


def committed(folder: Path) -> None:
    identity = ("-c", "user.name=Given", "-c", "user.email=given@example.com")
    for words in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "--message", "First payment"]):
        subprocess.run(["git", *identity, *words], cwd=folder, check=True)


@pytest.mark.parametrize("command", sorted(BUSY | READING))
def test_a_command_beside_a_promotion_says_who_is_at_work(commands: Driver, tmp_path: Path, command: str) -> None:
    # Given a promotion that holds the lock of the folder
    committed(tmp_path)
    state = State(tmp_path)
    with state.lock("a promotion"):
        before = {path for path in tmp_path.rglob("*") if ".git/" not in str(path)}
        # When another command is given there
        case = Case(module="pipeline.local", arguments=[command], folder=str(tmp_path))
        result = commands.run(case)
        # Then it is refused with the other's name, and has changed nothing; a look is not refused
        assert fault(case, result) is None
        assert result.code == (3 if command in BUSY else 0), result.err
        if command in BUSY:
            assert "a promotion (pid " in result.err
            assert {path for path in tmp_path.rglob("*") if ".git/" not in str(path)} == before


@pytest.mark.parametrize(
    "words",
    [("pipeline.local", "remote"), ("pipeline.local", "clean"), ("localcloud", "stop", "dev")],
    ids=" ".join,
)
def test_three_of_the_same_command_at_once_leave_what_one_leaves(tmp_path: Path, words: tuple[str, ...]) -> None:
    # Given a folder that knows a local cloud, which has ended
    committed(tmp_path)
    (tmp_path / ".pipeline/clouds/dev").mkdir(parents=True)
    # When three are given at once
    started = [
        subprocess.Popen(
            [sys.executable, "-m", *words], cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    ended = [(process.communicate(timeout=60)[0], process.returncode) for process in started]
    # Then at least one has done it, the others did too or were busy, and none broke
    assert {code for _, code in ended} <= {0, 3}, ended
    assert 0 in {code for _, code in ended}
    assert not any("Traceback" in said for said, _ in ended)
    if words[1] == "remote":
        hook = tmp_path / ".pipeline/remote.git/hooks/post-receive"
        assert hook.read_text().endswith("done\n")
        assert not hook.with_suffix(".new").exists()


class Slow(LocalCloud):
    """Its launch takes a moment, and writes a file into the folder as a real one does."""

    launched = 0

    def _launch(self, account: str | None, region: str | None) -> None:
        Slow.launched += 1
        (self.folder / "settings.json").write_text("{}")

    def is_running(self) -> bool:
        return (self.folder / "settings.json").exists()

    def _require_same(self, account: str | None, region: str | None) -> None:
        pass


def test_a_cloud_is_started_once_however_many_start_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slow, "launched", 0)
    threads = [threading.Thread(target=Slow("dev", tmp_path).start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert Slow.launched == 1


def test_a_cloud_that_starts_while_it_is_removed_keeps_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a removal that has ended the cloud, and stands before the deletion of its folder
    removing, go_on = threading.Event(), threading.Event()

    def slowly(self: Postgres) -> None:
        removing.set()
        go_on.wait(30)

    monkeypatch.setattr(Postgres, "remove", slowly)
    cloud = Slow("dev", tmp_path)
    cloud.folder.mkdir()
    removal = threading.Thread(target=cloud.remove)
    removal.start()
    assert removing.wait(30)
    # When it is started, and the removal goes on
    start = threading.Thread(target=Slow("dev", tmp_path).start)
    start.start()
    start.join(0.3)
    go_on.set()
    for thread in (removal, start):
        thread.join(30)
    # Then the start has waited, and what it wrote is there
    assert cloud.is_running()
