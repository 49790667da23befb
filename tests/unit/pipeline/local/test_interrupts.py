"""A promotion that is interrupted or killed, or loses its cloud: no process stays, and traffic is rolled back."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from localcloud.processes import process_record
from pipeline.local.__main__ import main
from pipeline.local.errors import ExitCode
from pipeline.local.process import end_orphan
from pipeline.local.run import all_runs

from .conftest import FakeCloud, Project, commands, last, stage

PYTHON = sys.executable
"""The real interpreter. The fixture ``project`` replaces ``sys.executable``."""


def promote_in_background() -> subprocess.Popen[bytes]:
    """The command in a process of its own, with a fake cloud."""
    code = (
        f"import sys; sys.executable = {sys.executable!r}; from tests.unit.pipeline.local.conftest import FakeCloud;"
        "from pipeline.local import promotion; promotion.LocalCloud = FakeCloud;"
        "from pipeline.local.__main__ import main; sys.exit(main(['promote']))"
    )
    root = Path(__file__).parents[4]
    return subprocess.Popen([PYTHON, "-c", code], env={**os.environ, "PYTHONPATH": str(root)})


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} was never written"
        time.sleep(0.02)


ROLLS_BACK_ON_INTERRUPT = (
    "trap 'sleep 0.3; echo rolled back > {0}/rollback; exit 1' INT; touch {0}/shifting; while true; do sleep 0.05; done"
)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_step_may_roll_back_before_it_ends(project: Project, tmp_path: Path, sign: int) -> None:
    # Given a shift that takes a moment to roll back
    state = project(
        stage(
            "Dev",
            commands("Shift", ROLLS_BACK_ON_INTERRUPT.format(tmp_path)),
            commands("After", f"touch {tmp_path}/after"),
        )
    )
    running = promote_in_background()
    wait_for(tmp_path / "shifting")
    # When it is interrupted
    running.send_signal(sign)
    # Then it ends as interrupted, after the rollback, and no other step was started
    assert running.wait(20) == 130
    assert (tmp_path / "rollback").exists()
    assert not (tmp_path / "after").exists()
    assert (last(state).status, last(state).failure) == ("interrupted", signal.Signals(sign).name)


def test_an_interrupt_during_the_start_of_a_step_leaves_no_process_running(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a signal that arrives after the shift's start, but before the promotion knows its process
    project(stage("Dev", commands("Shift", ROLLS_BACK_ON_INTERRUPT.format(tmp_path))))
    start = subprocess.Popen

    def start_and_be_signalled(command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        process = start(command, **options)
        if "shifting" in command[-1]:
            wait_for(tmp_path / "shifting")
            os.kill(os.getpid(), signal.SIGTERM)
        return process

    monkeypatch.setattr("pipeline.local.process.subprocess.Popen", start_and_be_signalled)
    # When it is promoted, then it ends as interrupted, after the rollback
    assert main(["promote"]) == 130
    assert (tmp_path / "rollback").exists()


def test_steps_can_be_ended_where_interrupts_are_ignored(project: Project, tmp_path: Path) -> None:
    # Given a promotion in the background of a script: the shell makes it and its children ignore Ctrl-C
    state = project(stage("Dev", commands("Shift", ROLLS_BACK_ON_INTERRUPT.format(tmp_path))))
    ignoring = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        running = promote_in_background()
    finally:
        signal.signal(signal.SIGINT, ignoring)
    wait_for(tmp_path / "shifting")
    # When it gets Ctrl-C, and then SIGTERM
    running.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(1)
    running.terminate()
    # Then it has ignored the first, and rolls back at the second
    assert running.wait(20) == 130
    assert (tmp_path / "rollback").exists()
    assert last(state).status == "interrupted"


def test_a_process_is_recognised_after_the_clock_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a process that a killed promotion left running
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    orphan = process_record(process.pid)
    # When the clock is set back by an hour (psutil derives both of its times from it)
    boot = psutil.boot_time()
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: boot - 3600)
    # Then it is found and ended
    assert end_orphan(orphan)
    assert not psutil.pid_exists(process.pid)


def test_the_next_run_ends_the_processes_of_a_killed_one(project: Project, tmp_path: Path) -> None:
    # Given a promotion that was killed in the middle of a shift
    state = project(stage("Dev", commands("Shift", ROLLS_BACK_ON_INTERRUPT.format(tmp_path))))
    running = promote_in_background()
    wait_for(tmp_path / "shifting")
    running.kill()
    running.wait()
    orphan = json.loads((last(state).folder / "run.json").read_text())["stages"][1]["steps"][1]["process"]["pid"]
    # When the next one starts (on a commit whose shift is quick)
    Path("plan.json").write_text(json.dumps({"version": 1, "stages": [stage("Dev", commands("Shift", "true"))]}))
    subprocess.run(["git", "commit", "--quiet", "--all", "--message", "Second"], check=True)
    assert main(["promote"]) == ExitCode.OK
    # Then the old step was interrupted, rolled back, and has ended
    assert (tmp_path / "rollback").exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(orphan, 0)
    assert [run.status for run in all_runs(state.runs)] == ["interrupted", "succeeded"]


def test_an_interrupted_run_stops_the_clouds_that_it_started_and_no_other(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given that dev's cloud runs already
    project(stage("Dev"), stage("Staging", commands("Gate", "true")))
    FakeCloud.running.add("dev")

    # When the run is interrupted in staging
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.local.promotion.Promotion._run_step_commands", interrupt)
    assert main(["promote"]) == 130
    # Then dev's cloud still runs, and staging's has stopped
    assert FakeCloud.running == {"dev"}


def test_a_step_ends_when_its_cloud_dies(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a shift that would call a dead cloud for ever
    monkeypatch.setattr("pipeline.local.process.CHECK_SECONDS", 0.1)
    project(stage("Dev", commands("Shift", "trap 'exit 1' INT; while true; do sleep 0.05; done")))
    # When the cloud dies during the shift
    monkeypatch.setattr(FakeCloud, "is_running", lambda self: False)
    monkeypatch.setattr(FakeCloud, "log_path", tmp_path / "emulator.log", raising=False)
    # Then the promotion fails, and names the log
    assert main(["promote"]) == ExitCode.FAILED
    assert f"the local cloud dev is gone; its log: {tmp_path}/emulator.log" in capsys.readouterr().out
