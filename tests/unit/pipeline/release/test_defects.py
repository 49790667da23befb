"""A defect of the controller itself, or data that nobody expected, never leave traffic divided."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.release import cli, controller, machine
from pipeline.release.aws.traffic import AwsTraffic
from pipeline.release.outcome import ExitCode
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import Behaviour


def breaks(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("of the test")


@pytest.mark.parametrize("errors", [1, 5, 1000])
@pytest.mark.parametrize("rate", [0.0, 0.5, 3.0])
def test_server_errors_that_come_before_lambdas_count_do_not_end_the_controller(errors: float, rate: float) -> None:
    # Given more server errors of the candidate than requests
    bench = Bench()
    bench.aws.behaviour["2"] = Behaviour(server_errors=errors)
    bench.aws.requests_per_second = rate

    outcome = bench.controller().shift()

    # Then it is judged; one error on each route is suspicious and no proof, and without requests nothing is
    assert outcome.code is ExitCode.ROLLED_BACK
    assert bench.all_on("1")
    assert outcome.release
    assert outcome.release.rejected is (rate > 0 and errors > 1)


@pytest.mark.parametrize("where", ["judge", "advance", "wants_samples", "moves"])
def test_an_exception_in_the_controller_brings_traffic_back_and_has_an_exit_code(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a controller that breaks while a quarter of the traffic is on the candidate
    bench = Bench()
    module: Any = machine if where == "judge" else controller
    right: Callable[..., Any] = getattr(module, where)

    def broken_from_25_percent_on(*arguments: Any, **options: Any) -> Any:
        back = any("rolling back" in line for line in bench.messages)
        return right(*arguments, **options) if back or bench.aws.weights["green"] < 25 else breaks()

    monkeypatch.setattr(module, where, broken_from_25_percent_on)

    outcome = bench.controller().shift()

    # Then all traffic is on stable, and record and log say what happened
    assert bench.all_on("1")
    assert outcome.release
    assert outcome.code is ExitCode.DEFECT
    assert "ZeroDivisionError: of the test" in outcome.text
    assert "Traceback" in (outcome.release.defect or "")
    assert not outcome.release.rejected
    assert any("Traceback" in line for line in bench.messages)
    # And the next shift may try again
    monkeypatch.setattr(module, where, right)
    assert bench.controller().shift().code is ExitCode.DONE


@pytest.mark.parametrize("call", ["weights", "make"])
def test_an_exception_while_rolling_back_does_not_end_the_way_back(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a candidate that rings an alarm, and an adapter that breaks on the way back, thirty times
    bench, broken = Bench(), 0
    right = getattr(AwsTraffic, call)

    def sometimes(self: AwsTraffic, *arguments: Any) -> Any:
        nonlocal broken
        if bench.aws.alarms["api-errors"] == "ALARM" and broken < 30:
            broken += 1
            raise KeyError("TargetGroups")
        return right(self, *arguments)

    monkeypatch.setattr(AwsTraffic, call, sometimes)
    bench.clock.after(90, lambda: bench.aws.alarms.update({"api-errors": "ALARM"}))

    outcome = bench.controller().shift()

    assert broken == 30
    assert outcome.code in (ExitCode.ROLLED_BACK, ExitCode.DEFECT)
    assert bench.all_on("1")


def test_an_announcer_that_breaks_stops_no_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.release.aws.announcer.Notice", breaks)
    bench = Bench()

    assert bench.controller().shift().code is ExitCode.DONE


def test_a_defect_is_neither_usage_nor_rolled_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a defect outside of any release
    monkeypatch.setattr(cli, "_commands", breaks)

    assert cli.main(["shift", "--env", "dev"]) == 7

    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "a defect of this program: ZeroDivisionError('of the test')" in shown
