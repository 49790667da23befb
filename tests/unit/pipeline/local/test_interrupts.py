"""A promotion that is interrupted, killed, or loses its cloud: it leaves nothing running and no traffic in between."""

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
from pipeline.local.process import end_leftover
from pipeline.local.run import all_runs

from .conftest import FakeCloud, Project, commands, last, stage

PYTHON = sys.executable
"""The real one: promotions in these tests see a stand-in."""


def promote_in_background() -> subprocess.Popen[bytes]:
    """The front door in a process of its own, with the stand-in for the cloud."""
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
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.02)


CAREFUL = (
    "trap 'sleep 0.3; echo rolled back > {0}/rollback; exit 1' INT; touch {0}/shifting; while true; do sleep 0.05; done"
)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_lets_the_step_put_things_right_before_it_ends(
    project: Project, tmp_path: Path, sign: int
) -> None:
    # Given a shift that takes a moment to roll back
    state = project(
        stage("Dev", commands("Shift", CAREFUL.format(tmp_path)), commands("After", f"touch {tmp_path}/after"))
    )
    running = promote_in_background()
    wait_for(tmp_path / "shifting")
    # When it is interrupted
    running.send_signal(sign)
    # Then it ends as interrupted, after the roll-back, and nothing else was begun
    assert running.wait(20) == 130
    assert (tmp_path / "rollback").exists()
    assert not (tmp_path / "after").exists()
    assert (last(state).status, last(state).failure) == ("interrupted", signal.Signals(sign).name)


def test_an_interrupt_in_the_moment_of_a_step_s_start_leaves_nothing_running(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a signal that comes when the shift has begun, but is not yet known to the promotion
    project(stage("Dev", commands("Shift", CAREFUL.format(tmp_path))))
    start = subprocess.Popen

    def start_and_be_signalled(command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        process = start(command, **options)
        if "shifting" in command[-1]:
            wait_for(tmp_path / "shifting")
            os.kill(os.getpid(), signal.SIGTERM)
        return process

    monkeypatch.setattr("pipeline.local.process.subprocess.Popen", start_and_be_signalled)
    # When, then it ends as interrupted, after the roll-back
    assert main(["promote"]) == 130
    assert (tmp_path / "rollback").exists()


def test_steps_can_be_told_to_stop_where_interrupts_are_ignored(project: Project, tmp_path: Path) -> None:
    # Given a promotion in the background of a script: a shell makes it, and all that it starts, ignore Ctrl-C
    state = project(stage("Dev", commands("Shift", CAREFUL.format(tmp_path))))
    ignoring = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        running = promote_in_background()
    finally:
        signal.signal(signal.SIGINT, ignoring)
    wait_for(tmp_path / "shifting")
    # When Ctrl-C comes, and then somebody ends it
    running.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(1)
    running.terminate()
    # Then it had ignored the one, and rolls back at the other
    assert running.wait(20) == 130
    assert (tmp_path / "rollback").exists()
    assert last(state).status == "interrupted"


def test_a_process_is_known_again_after_the_clock_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a process that a killed promotion left running
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    left = process_record(process.pid)
    # When the clock is set back by an hour (psutil gets both of its times from it)
    boot = psutil.boot_time()
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: boot - 3600)
    # Then it is found and ended
    assert end_leftover(left)
    assert not psutil.pid_exists(process.pid)


def test_the_next_run_ends_what_a_killed_one_left_running(project: Project, tmp_path: Path) -> None:
    # Given a promotion that was killed in the middle of a shift
    state = project(stage("Dev", commands("Shift", CAREFUL.format(tmp_path))))
    running = promote_in_background()
    wait_for(tmp_path / "shifting")
    running.kill()
    running.wait()
    left = json.loads((last(state).folder / "run.json").read_text())["stages"][1]["steps"][1]["process"]["pid"]
    # When the next one starts (on a commit whose shift is quick)
    Path("plan.json").write_text(json.dumps({"version": 1, "stages": [stage("Dev", commands("Shift", "true"))]}))
    subprocess.run(["git", "commit", "--quiet", "--all", "--message", "Second"], check=True)
    assert main(["promote"]) == ExitCode.OK
    # Then the old step was told to stop, rolled back, and is gone
    assert (tmp_path / "rollback").exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(left, 0)
    assert [run.status for run in all_runs(state.runs)] == ["interrupted", "succeeded"]


def test_an_interrupted_run_stops_the_clouds_that_it_started_and_no_other(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given dev's cloud, which serves already
    project(stage("Dev"), stage("Staging", commands("Gate", "true")))
    FakeCloud.running.add("dev")

    # When the run is interrupted in staging
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.local.promotion.Promotion._run_step_commands", interrupt)
    assert main(["promote"]) == 130
    # Then dev still serves, and staging's cloud is gone
    assert FakeCloud.running == {"dev"}


def test_a_step_ends_when_its_cloud_dies(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a shift that would ask a dead cloud for ever
    monkeypatch.setattr("pipeline.local.process.CHECK_SECONDS", 0.1)
    project(stage("Dev", commands("Shift", "trap 'exit 1' INT; while true; do sleep 0.05; done")))
    # When the cloud dies under it
    monkeypatch.setattr(FakeCloud, "is_running", lambda self: False)
    monkeypatch.setattr(FakeCloud, "log_path", tmp_path / "emulator.log", raising=False)
    # Then the promotion ends, and says where to look
    assert main(["promote"]) == ExitCode.FAILED
    assert f"the local cloud dev is gone; its log: {tmp_path}/emulator.log" in capsys.readouterr().out
