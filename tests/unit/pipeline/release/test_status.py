"""`status` says what is: traffic that nobody planned, the health of the present, and the past with its time."""

from typing import Any

import pytest

from names import Function
from pipeline.release import program
from pipeline.release.outcome import ExitCode, Outcome
from pipeline.release.plan import Plan
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import Behaviour, refused
from tests.unit.pipeline.release.test_operators import left_at_25_percent, promoted


def shown(bench: Bench) -> str:
    return bench.controller("bob").status().text


def status(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = bench.controller("bob").status().details["status"]
    return found


def during(bench: Bench, seconds: float) -> str:
    """What `status` shows so many seconds after a shift began."""
    texts: list[str] = []
    bench.clock.after(seconds, lambda: texts.append(shown(bench)))
    bench.controller().shift()
    return texts[0]


# Where traffic goes


def test_weights_that_a_person_has_set_are_drift() -> None:
    bench = promoted(Bench())
    bench.aws.deploy("3")
    bench.aws.weights = {"blue": 60, "green": 40}

    text = shown(bench)

    assert "listener   blue 60, green 40" in text
    assert "drift      listener blue 60, green 40" in text
    assert "`rollback` puts all traffic on the stable version" in text
    assert "/process 40 %" in text


def test_a_third_target_group_is_shown_with_its_share_and_rollback_removes_it() -> None:
    bench = promoted(Bench())
    bench.aws.other_groups = {"other": 100}

    text = shown(bench)

    assert "listener   blue 100, green 0, other 100" in text
    assert "others     /process 50 % other" in text
    assert "drift" in text
    assert "nothing to do" not in bench.controller().rollback().text
    assert "drift" not in shown(bench)
    assert bench.aws.other_groups == {}


def test_weights_of_zero_alone_are_no_traffic() -> None:
    bench = promoted(Bench())
    bench.aws.weights = {"blue": 0, "green": 0}

    text = shown(bench)

    assert "others     /process: nobody answers, because all weights are 0" in text
    assert "drift" in text
    assert status(bench)["traffic"]["percent"]["/process"] == {}


def test_a_listener_that_answers_by_itself_is_shown_and_rollback_ends_it() -> None:
    bench = promoted(Bench())
    bench.aws.maintenance = True

    assert "others     /process 100 % fixed-response" in shown(bench)
    bench.controller().rollback()
    assert bench.all_on("2")
    assert "others" not in shown(bench)


def test_weights_of_one_and_zero_are_all_traffic_on_blue_and_no_drift() -> None:
    bench = Bench()
    bench.aws.weights = {"blue": 1, "green": 0}

    assert "drift" not in shown(bench)
    assert "listener   blue 1, green 0" in shown(bench)
    assert bench.controller().shift().code is ExitCode.DONE


def test_a_version_that_nobody_knows_is_shown_with_its_share() -> None:
    bench = promoted(Bench())
    bench.aws.aliases[Function.VALIDATION.of("test"), "blue"] = ("2", {"7": 0.2})

    text = shown(bench)

    assert "others     /validate 20 % version 7" in text
    assert "/validate 80 %" in text


def test_a_stable_version_that_no_release_has_made_stable_is_drift() -> None:
    bench = promoted(Bench())
    bench.aws.aliases[Function.VALIDATION.of("test"), "blue"] = ("1", {})

    assert "no release explains it. `undo --now --to VERSIONS` goes back" in shown(bench)


def test_traffic_that_somebody_moves_during_a_release_is_drift() -> None:
    bench = left_at_25_percent(Bench())
    assert "drift" not in shown(bench)

    bench.aws.weights = {"blue": 100, "green": 0}

    assert "drift      someone else moved traffic during the release" in shown(bench)


def test_one_old_answer_of_aws_is_no_drift() -> None:
    bench = promoted(Bench())
    bench.aws.weights = {"blue": 60, "green": 40}
    bench.clock.after(0.5, lambda: bench.aws.weights.update({"blue": 100, "green": 0}))

    assert "drift" not in shown(bench)


def test_no_drift_is_shown_while_a_release_moves() -> None:
    bench, states = Bench(), []
    bench.aws.on_change = lambda: states.append(status(bench)["drift"])

    bench.controller().shift()

    assert len(states) > 10
    assert set(states) == {None}


# The present and the past


def test_the_end_of_a_release_is_not_now() -> None:
    bench = promoted(Bench())
    bench.clock.time += 86_400

    text = shown(bench)

    assert "now  " not in text
    assert "test: no release is under way; the last one, 20270115T080000.000Z, was promoted" in text
    assert "ended      2027-01-15 08:0" in text
    assert "verdict    pass at 100 %, 2027-01-15 08:0" in text


def test_the_health_is_that_of_the_last_minutes_and_not_of_the_last_analysis() -> None:
    # Given both versions fail while a step is analysed, and then recover
    bench = Bench(plan=Plan(weights=(10, 100), bake_seconds=300, hold_seconds=300))
    failing = Behaviour(errors=0.5)
    bench.aws.behaviour = {"1": failing, "2": failing}
    bench.clock.after(65, lambda: bench.aws.behaviour.clear())

    text = during(bench, 70)

    # Then the status shows that at once
    assert "health     stable: 0 of " in text
    assert "candidate: 0 of " in text
    assert "requests failed lately" in text


def test_health_without_requests_and_health_that_is_unknown_are_told_apart() -> None:
    bench = Bench()
    bench.aws.requests_per_second = 0
    assert "stable: no requests in the last minutes" in shown(bench)

    bench.aws.metric_statuses = [dict.fromkeys(("Invocations", "Errors", "Duration"), "InternalError")]

    assert "health     unknown" in shown(bench)
    assert status(bench)["health"] is None


def test_alarms_that_cannot_be_read_are_unknown_and_not_quiet() -> None:
    bench = Bench()
    del bench.aws.alarms["candidate-errors"]

    text = shown(bench)

    assert "alarms     unknown" in text
    assert "there is no alarm candidate-errors" in text
    assert status(bench)["alarms"] is None


# Steps


@pytest.mark.parametrize(
    ("given", "marks"),
    [
        ("an alarm at 25 %", "✔ 10 %  ✘ 25 %  · 50 %  · 100 %"),
        ("an interruption before the first step", "· 10 %  · 25 %  · 50 %  · 100 %"),
        ("promote --now at 10 %", "✔ 10 %  · 25 %  · 50 %  ✔ 100 %"),
        ("nothing", "✔ 10 %  ✔ 25 %  ✔ 50 %  ✔ 100 %"),
    ],
)
def test_a_step_that_was_not_tried_has_no_mark(given: str, marks: str) -> None:
    bench = Bench()
    match given:
        case "an alarm at 25 %":
            bench.clock.after(90, lambda: bench.aws.alarms.update({"api-errors": "ALARM"}))
        case "an interruption before the first step":
            bench.clock.interrupt()
        case "promote --now at 10 %":
            bench.clock.after(30, lambda: bench.ask("promote-now"))

    bench.controller().shift()

    assert f"steps      {marks}" in shown(bench)


def test_a_step_without_a_verdict_says_what_will_happen_and_when() -> None:
    bench = Bench()
    bench.aws.requests_per_second = 0.01

    text = during(bench, 100)

    assert "baked, and waits for a verdict; without one it is rolled back in 80 s" in text


# Watching


def test_a_throttled_call_does_not_end_a_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, outcomes = Bench(), list[Outcome]()
    commands = bench.controller("bob")
    statuses = type(commands).status

    def throttled(operation: str, when: str) -> None:
        if operation in ("DescribeAlarms", "Query", "GetMetricData") and len(outcomes) == 2 and when == "before":
            raise refused(operation)

    def one(self: Any) -> Outcome:
        outcomes.append(statuses(self))
        return outcomes[-1]

    monkeypatch.setattr(type(commands), "status", one)
    bench.aws.disturb = throttled
    bench.clock.after(9, bench.clock.interrupt)

    last = program.watch(commands)

    assert [outcome.code for outcome in outcomes[:4]] == [0, 0, 3, 0]
    assert "alarms     unknown" in outcomes[2].text
    assert last.code is ExitCode.DONE


def test_a_watch_asks_for_the_metrics_once_a_minute() -> None:
    bench = Bench()
    bench.timing = type(bench.timing)(minute=60, delay=120.0)
    commands = bench.controller("bob")

    for _ in range(60):
        commands.status()
        bench.clock.sleep(2.0)

    # Then it asks when a minute is complete, and when one becomes too old
    assert bench.aws.calls.count("GetMetricData") == 4
    # And the health is that of the two last minutes that are complete
    assert commands.status().details["status"]["health"]["stable"]["requests"] == 120 * 3 * len(Function)
