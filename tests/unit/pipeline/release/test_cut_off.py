"""A controller that loses its audience, its folder or AWS itself keeps its promise, or says that it could not."""

import errno
import getpass
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError

from pipeline.output import say
from pipeline.release import cli
from pipeline.release.clock import SystemClock
from pipeline.release.commands import Commands
from pipeline.release.outcome import ExitCode
from pipeline.release.ports import RollbackUnconfirmed
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import FUNCTIONS, Behaviour

ROOT = Path(__file__).parents[4]


def unreachable(operation: str, when: str) -> None:
    raise EndpointConnectionError(endpoint_url="https://aws")


def cut_off(bench: Bench) -> None:
    bench.aws.disturb = unreachable


def test_a_roll_back_without_aws_is_tried_until_it_is_done_and_told_ever_more_rarely() -> None:
    # Given an AWS that is out of reach for two hours
    bench = Bench()
    bench.clock.after(90, lambda: cut_off(bench))
    bench.clock.after(7290, lambda: setattr(bench.aws, "disturb", lambda operation, when: None))

    outcome = bench.controller().shift()

    # Then the roll-back happens in the end
    assert outcome.code is ExitCode.ROLLED_BACK
    assert bench.all_on("1")
    # And what was told about it fits on a screen or two, with growing gaps
    rounds = [
        int(line.split(" failed rounds")[0].split()[-1]) for line in bench.messages if "still rolling back" in line
    ]
    assert len(rounds) > 3
    assert bench.plan.failures_allowed <= rounds[0] < 8
    assert all(later >= 1.5 * earlier for earlier, later in pairwise(rounds[1:]))
    assert len(bench.messages) < 50 * len(FUNCTIONS)


def test_insisting_ends_a_roll_back_that_aws_does_not_answer_and_the_next_command_completes_it() -> None:
    bench = Bench()
    bench.clock.after(90, lambda: cut_off(bench))
    bench.clock.after(300, bench.clock.interrupt)
    bench.clock.after(400, bench.clock.interrupt)
    bench.clock.after(2000, lambda: setattr(bench.aws, "disturb", lambda operation, when: None))

    with pytest.raises(RollbackUnconfirmed, match=r"run `python -m pipeline.release rollback --env test`"):
        bench.controller().shift()
    assert 400 <= bench.clock.time - 1_800_000_000 < 430

    bench.aws.disturb = lambda operation, when: None
    bench.clock.interrupted = bench.clock.interrupted_twice = False
    assert bench.controller("the next").rollback().code is ExitCode.DONE
    assert bench.all_on("1")


def test_an_impatient_person_does_not_stop_a_roll_back_that_works() -> None:
    bench = Bench()
    bench.clock.after(90, bench.clock.interrupt)
    bench.clock.after(90, bench.clock.interrupt)

    assert bench.controller().shift().code is ExitCode.ROLLED_BACK
    assert bench.all_on("1")


def test_an_operator_who_stops_waiting_for_an_abort_is_told_that_it_is_not_done() -> None:
    # Given a controller that holds the lease
    bench = Bench()
    answers: list[tuple[ExitCode, str]] = []

    def abort() -> None:
        bench.clock.interrupted = True
        outcome = bench.controller("bob").abort()
        bench.clock.interrupted = False
        answers.append((outcome.code, outcome.text))

    bench.clock.after(90, abort)
    bench.controller("ann").shift()

    assert answers[0][0] is ExitCode.HELD
    assert "asked for abort, which ann has not done yet" in answers[0][1]


@pytest.fixture
def shift_of_a_bad_candidate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    """The command line, on the bench's AWS and in a folder of its own. Commits are known to the record, not to git."""
    monkeypatch.chdir(tmp_path)
    bench = Bench()
    bench.controller().shift()
    bench.commit = "bad5eed"
    bench.aws.deploy("3")
    bench.aws.behaviour["3"] = Behaviour(errors=0.5)

    def commands(_arguments: object) -> Commands:
        return bench.controller()

    monkeypatch.setattr(cli, "_commands", commands)
    return bench


@pytest.mark.usefixtures("shift_of_a_bad_candidate")
def test_the_release_says_where_its_reports_are_below_its_conclusion(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["shift", "--env", "dev"]) == ExitCode.ROLLED_BACK

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("rolled back to version 2")
    assert "  reports: reports/dev/release.html, .md and .json" in lines
    assert all(line.startswith("  ") for line in lines[1:])


@pytest.mark.usefixtures("shift_of_a_bad_candidate")
def test_neither_a_missing_folder_nor_git_hides_how_the_release_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reports").write_text("in the way of the folder")

    assert cli.main(["shift", "--env", "dev", "--open-revert"]) == ExitCode.ROLLED_BACK

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("rolled back to version 2")
    assert lines[1].startswith("  reports not written: ")
    assert lines[2].startswith("  no revert branch: git rev-parse: ")
    assert lines[3:] == ["  what to do: docs/runbooks/README.md"]


def test_the_command_line_says_what_to_do_when_the_roll_back_is_not_confirmed(
    shift_of_a_bad_candidate: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = shift_of_a_bad_candidate
    bench.aws.behaviour.clear()
    bench.clock.after(30, lambda: cut_off(bench))
    for _ in range(2):
        bench.clock.after(60, bench.clock.interrupt)

    assert cli.main(["shift", "--env", "dev"]) == ExitCode.UNCONFIRMED
    assert capsys.readouterr().err.startswith("roll-back not confirmed: run `python -m pipeline.release rollback")


def test_a_person_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4242")

    monkeypatch.setattr(getpass, "getuser", nameless)

    assert cli._user() == f"uid {os.getuid()}"


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_message_to_a_full_disk_raises_nothing() -> None:
    say("to a full disk", FullDisk())


@pytest.mark.parametrize("to", ["closed pipe", "full disk"])
def test_a_command_that_nobody_hears_keeps_its_exit_code(to: str) -> None:
    # Given a stdout that takes nothing
    if to == "closed pipe":
        reader, writer = os.pipe()
        os.close(reader)
    else:
        writer = os.open("/dev/full", os.O_WRONLY)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}

    done = subprocess.run(
        [sys.executable, "-m", "pipeline.release", "plan", "--env", "dev"],
        cwd=ROOT, env=buffered, stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writer)

    assert (done.returncode, done.stderr) == (0, "")


ENDS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ENDS | {signal.SIGUSR1, signal.SIGUSR2}}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", sorted(ENDS))
def test_every_end_is_noted_and_cuts_a_wait_short(number: signal.Signals) -> None:
    clock = SystemClock()
    clock.listen()
    for interrupted_twice in (False, True):
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
        began = clock.now()
        clock.sleep(60)
        assert clock.now() - began < 60
        assert (clock.interrupted, clock.interrupted_twice) == (True, interrupted_twice)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("jump", [-3600, 3600])
def test_a_clock_that_is_set_changes_nothing_for_a_controller_at_work(
    monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    # Given a controller at work
    clock, right = SystemClock(), time.time
    clock.listen()
    began = clock.now()
    assert abs(began - right()) < 1
    # When the system's clock is set
    monkeypatch.setattr(time, "time", lambda: right() + jump)
    # Then the seconds that have passed are still right
    assert 0 <= clock.now() - began < 60
    # And a controller that begins then goes by the new time
    assert abs(SystemClock().now() - right() - jump) < 1


@pytest.mark.usefixtures("handlers")
def test_that_clients_lose_requests_is_noted_and_cuts_a_wait_short() -> None:
    clock = SystemClock()
    clock.listen()
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    began = clock.now()

    clock.sleep(60)

    assert clock.now() - began < 60
    assert (clock.interrupted, clock.loses_requests) == (False, True)


@pytest.mark.usefixtures("handlers")
def test_losses_of_both_versions_are_noted_apart_with_their_time() -> None:
    clock = SystemClock()
    clock.listen()
    began = clock.now()

    os.kill(os.getpid(), signal.SIGUSR2)

    assert not clock.loses_requests
    assert began <= clock.lost_everywhere_at <= clock.now()


@pytest.mark.usefixtures("handlers")
def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    clock = SystemClock()
    clock.listen()

    os.kill(os.getpid(), signal.SIGHUP)

    assert not clock.interrupted
