"""The faults of a soak do what they say to a process, and undo it; what a run leaves is seen. No cloud is needed."""

import contextlib
import json
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import psutil
import pytest

from benchmarks import _faults as faults
from benchmarks import _traces as traces
from benchmarks import soak
from benchmarks.soak import Round, Soak, table

CHANCE = random.Random(1)
LISTENS = """
import socket, time
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
time.sleep(60)
"""


class Of:
    """In the place of ``Victims``: one process."""

    def __init__(self, pid: int) -> None:
        self.one = psutil.Process(pid)

    def all_but_database(self) -> list[psutil.Process]:
        return [self.one]


@pytest.fixture
def victim() -> "Iterator[subprocess.Popen[bytes]]":
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def victims(process: "subprocess.Popen[bytes]") -> faults.Victims:
    return cast(faults.Victims, Of(process.pid))


def test_a_killed_process_has_ended_when_the_release_goes_on(victim: "subprocess.Popen[bytes]") -> None:
    """The soak then starts other customers, if these are gone. A release without any is held for minutes."""
    faults.kill(lambda of: of.all_but_database())(victims(victim), CHANCE, 0)

    with pytest.raises(faults.TooLate):
        faults.kill(lambda of: of.all_but_database())(victims(victim), CHANCE, 0)
    assert victim.wait(5) == -9


def test_a_stopped_process_goes_on(victim: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = False

    def look(seconds: float) -> None:
        nonlocal stopped
        until = time.monotonic() + 10
        while not stopped and time.monotonic() < until:  # a signal takes a moment
            stopped = psutil.Process(victim.pid).status() == psutil.STATUS_STOPPED

    monkeypatch.setattr(time, "sleep", look)
    faults.stop(lambda of: of.all_but_database())(victims(victim), CHANCE, 10)
    assert stopped
    victim.terminate()
    assert victim.wait(10) == -15


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits other processes")
def test_a_disk_is_full_for_a_while(victim: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(
        time, "sleep", lambda seconds: seen.append(psutil.Process(victim.pid).rlimit(resource.RLIMIT_FSIZE))
    )
    faults.disk_full(victims(victim), CHANCE, 10)
    assert seen == [(0, limits[1])]
    assert psutil.Process(victim.pid).rlimit(resource.RLIMIT_FSIZE) == limits


def test_a_fault_for_a_process_that_has_ended_did_not_happen(victim: "subprocess.Popen[bytes]") -> None:
    of = victims(victim)
    victim.kill()
    while psutil.Process(victim.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    for act in (faults.kill(lambda of: of.all_but_database()), faults.stop(lambda of: of.all_but_database())):
        with pytest.raises(faults.TooLate):
            act(of, CHANCE, 0)


def test_a_clock_jumps_while_the_system_s_stays(tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(
        "import pathlib, sys, time\n"
        "def wrong(): return round(time.time() - time.time_ns() / 1e9)\n"
        "before = wrong()\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "print(before, wrong())\n"
    )
    jump = tmp_path / "jump"
    command = [sys.executable, "-m", "benchmarks._jumping_clock", str(jump), "-3600", "told", str(jump)]
    root = Path(__file__).parents[3]
    told = subprocess.run(command, cwd=root, env={"PYTHONPATH": f"{tmp_path}:{root}"}, capture_output=True, text=True)
    assert told.stdout.split() == ["0", "-3600"], told.stderr


def test_every_fault_has_its_turn_before_one_comes_again() -> None:
    order = faults.faults(random.Random(3))
    assert {str(next(order)) for _ in faults.USABLE} == {str(each) for each in faults.USABLE}


def test_what_a_run_leaves_is_named_and_what_others_have_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a process of the run, with a port and the folder of a socket; and one of another run
    monkeypatch.setattr(traces, "END_SECONDS", 0.1)
    own, other, sockets = tmp_path / "own", tmp_path / "other", tmp_path / "local-cloud-pg-x"
    started = []
    for folder in (own, other, sockets):
        folder.mkdir()
    for folder in (own, other):
        words = [sys.executable, "-c", LISTENS, str(sockets)]
        started.append(subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True))
    ports = [process.stdout.readline().strip() for process in started if process.stdout]
    try:
        run = traces.Traces(own)
        run.look()
        # When it is asked what is left, then its own are named
        process, port, folder_left = run.left()
        assert f"pid={started[0].pid}" in process
        assert port == f"the port {ports[0]} is left"
        assert folder_left == f"the folder {sockets} is left"
        # When they have ended, then nothing is, and the other run goes on
        started[0].kill()
        started[0].wait()
        sockets.rmdir()
        assert list(run.left()) == []
        assert started[1].poll() is None
    finally:
        for each in started:
            each.kill()
            each.communicate()


def test_a_failure_shows_in_the_table_and_in_the_verdict() -> None:
    done = Soak(
        minutes=1, seed=1, rounds=[Round(fault="x", met="baking", end="promoted", seconds=2.4, sent=10, lost=1)]
    )
    assert done.whole
    assert "| x | 1 | promoted | 2 s | 1 of 10 |" in list(table(done))
    done.rounds.append(Round(fault="x", failure="it hangs"))
    assert not done.whole
    assert "| x | 2 | FAILED: it hangs, promoted | 2 s | 1 of 10 |" in list(table(done))
    assert not Soak(minutes=1, seed=1, failures=["a payment is lost"]).whole


def test_an_interrupted_soak_tells_what_it_has_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a soak that is ended after its first release
    def interrupted(platform: object, rounds: object, done: Soak) -> None:
        done.rounds.append(Round(fault="x", met="baking", end="promoted"))
        raise SystemExit("ended by SIGTERM")

    monkeypatch.setattr(soak, "ROOT", tmp_path)
    monkeypatch.setattr(soak, "deployed", contextlib.nullcontext)
    monkeypatch.setattr(soak, "soak", interrupted)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    with pytest.raises(SystemExit, match="ended by SIGTERM"):
        soak.main()
    # Then the report and the table have it
    assert json.loads((tmp_path / "reports/soak/soak.json").read_text())["rounds"][0]["fault"] == "x"
    assert "| x | 1 | promoted |" in capsys.readouterr().out


def test_a_fault_that_met_no_release_is_not_counted_as_survived() -> None:
    done = Soak(minutes=1, seed=1, rounds=[Round(fault="x", end="promoted"), Round(fault="none", end="promoted")])
    assert [row for row in table(done) if row.startswith("| x |")] == []
    assert [row for row in table(done) if row.startswith("| none |")] != []
