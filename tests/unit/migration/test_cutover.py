"""The cut-over: the release controller moves clients by the weights of two DNS records, and back."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from itertools import pairwise
from typing import Any

import pytest

from environments import CutOverSettings, ReleaseSettings, StepSettings
from migration import __main__ as command_line
from migration import cutover, gate
from migration.cutover import CutOver
from migration.gate import GATE, CheckResult, CommandCheck
from migration.weighted_records import State
from names import Colour
from pipeline.release.analysis import AnalysisVerdict
from pipeline.release.outcome import ExitCode, Outcome, Why
from pipeline.release.plan import Plan
from pipeline.release.ports import Freeze, Missing
from pipeline.release.record import EventKind, Phase, Release
from tests.unit.migration.cutover_bench import SETTINGS, CutOverBench, RecordsBench
from tests.unit.pipeline.release.fake_aws import OUTPUTS, Behaviour, refused
from tests.unit.pipeline.release.test_crash import kill_at

SHORT = Plan(
    weights=(1, 50, 100),
    bake_seconds=10,
    hold_seconds=60,
    steps=(StepSettings(weight=50, approval=True),),
    deadline_seconds=7200,  # a gate that never answers then fails a test, and does not hang it
)


def passes() -> CheckResult:
    return CheckResult(verdict=AnalysisVerdict.PASS, figures="1,000 rows of 4 tables are the same")


def fails() -> CheckResult:
    return CheckResult(verdict=AnalysisVerdict.FAIL, figures="3 payments are in both ledgers")


@pytest.fixture
def bench() -> CutOverBench:
    """An environment whose releases are frozen, with a busy old system and checks that pass."""
    bench = CutOverBench(plan=SHORT, checks=[passes])
    bench.route53.requests_per_second = 500.0
    freeze(bench)
    return bench


def freeze(bench: CutOverBench) -> None:
    frozen = Freeze(frozen=True, by="ann", reason="cut-over", at=bench.clock.now())
    bench.controller().releases.set_freeze(frozen)


def texts(release: Release | None) -> str:
    assert release
    return "\n".join(event.text for event in release.events)


def test_clients_move_step_by_step_and_the_checks_approve_the_last(bench: CutOverBench) -> None:
    # When the cut-over is driven
    outcome = bench.controller().shift()
    # Then all clients are on the new side, in the steady state of which the old side is no part
    assert outcome.code is ExitCode.DONE, outcome.text
    assert bench.all_on("new")
    # And the weights rose as planned, each by one change of Route 53
    weights = [
        [(change["ResourceRecordSet"]["SetIdentifier"], change["ResourceRecordSet"]["Weight"]) for change in batch]
        for batch in bench.route53.batches
    ]
    assert weights[:3] == [[("blue", 99), ("green", 1)], [("blue", 50), ("green", 50)], [("blue", 0), ("green", 100)]]
    assert len(weights) == 5, "one for each step, and two for the promotion"
    # And who let it pass 50 %, with the figures, is on record
    [approved] = [event for event in outcome.release.events if event.asked_by == GATE]  # type: ignore[union-attr]
    assert approved.reason == "1,000 rows of 4 tables are the same"
    assert f"50 % approved, asked for by {GATE}: 1,000 rows" in approved.text


def test_checks_that_fail_take_clients_back_and_reject_the_cut_over(bench: CutOverBench) -> None:
    bench.checks = [passes, fails]

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert bench.all_on("old")
    assert "3 payments are in both ledgers" in outcome.text
    again = bench.controller().shift()
    assert again.why == (Why.REJECTED,)
    bench.checks = [passes]
    assert bench.controller().retry().code is ExitCode.DONE


@pytest.mark.parametrize("trouble", ["no verdict", "an exception"])
def test_checks_without_a_verdict_are_made_again(trouble: str, bench: CutOverBench) -> None:
    # Given a check whose first two answers are open
    runs = []

    def check() -> CheckResult:
        runs.append(bench.clock.now())
        if len(runs) > 2:
            return passes()
        if trouble == "an exception":
            raise ConnectionError("the old database is away")
        return CheckResult(verdict=AnalysisVerdict.INCONCLUSIVE, figures="12 rows in flight")

    bench.checks = [check]

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.DONE
    assert [later - before for before, later in pairwise(runs)] == pytest.approx([60, 60], abs=10)
    assert any("are made again" in message for message in bench.messages)


@pytest.mark.parametrize(
    ("code", "prints", "verdict", "figures"),
    [
        (
            0,
            "table a: 3 rows\n10 rows are the same",
            AnalysisVerdict.PASS,
            "verify: table a: 3 rows; 10 rows are the same",
        ),
        (1, "2 rows differ", AnalysisVerdict.FAIL, "verify: 2 rows differ"),
        (3, "rows in flight", AnalysisVerdict.INCONCLUSIVE, "verify: rows in flight"),
        (4, "", AnalysisVerdict.INCONCLUSIVE, "verify: exit code 4"),
        (2, "", AnalysisVerdict.INCONCLUSIVE, "verify: exit code 2"),
    ],
)
def test_a_check_is_a_command_whose_exit_code_decides(
    code: int, prints: str, verdict: AnalysisVerdict, figures: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def run(command: list[str], **_: Any) -> Any:
        given.append(command)
        return subprocess.CompletedProcess(command, code, stdout=prints, stderr="")

    monkeypatch.setattr(gate.subprocess, "run", run)

    found = CommandCheck(environment="dev", words="verify --since {today} --until {yesterday}")()

    assert (found.verdict, found.figures) == (verdict, figures)
    [[_, *words]] = given
    assert words[:6] == ["-m", "migration", "verify", "--env", "dev", "--since"]
    assert (date.fromisoformat(words[6]) - date.fromisoformat(words[8])).days == 1


def test_without_checks_a_person_approves(bench: CutOverBench) -> None:
    bench.checks = []
    bench.clock.after(400, lambda: bench.ask("promote"))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.DONE
    [approval] = [e for e in outcome.release.events if e.kind is EventKind.APPROVAL]  # type: ignore[union-attr]
    [approved] = [e for e in outcome.release.events if e.asked_by == "bob"]  # type: ignore[union-attr]
    assert approved.at > approval.at + 300


@pytest.mark.parametrize("now", [False, True])
def test_nobody_passes_the_checks_by_a_slip(now: bool, bench: CutOverBench) -> None:
    # Given a cut-over whose controller died at 50 %, while the checks had no verdict
    bench.checks = [lambda: CheckResult(verdict=AnalysisVerdict.INCONCLUSIVE, figures="rows in flight")]
    bench.clock.after(400, lambda: bench.route53.__setattr__("disturb", _dies))
    with pytest.raises(_Death):
        bench.controller().shift()
    bench.route53.disturb = lambda operation, when: None

    refusal = bench.controller("bob").promote(now=now)

    assert refusal.why == (Why.UNCHECKED,)
    assert bench.route53.weights == {"blue": 50, "green": 50}
    passed = bench.controller("bob", override="reconciled by hand").promote(now=now)
    assert passed.code is ExitCode.DONE


class _Death(BaseException):
    pass


def _dies(operation: str, when: str) -> None:
    raise _Death


def test_a_new_side_that_fails_is_left_at_the_first_step(bench: CutOverBench) -> None:
    bench.route53.behaviour["new"] = Behaviour(errors=0.5)

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert bench.all_on("old")
    assert "processing: " in outcome.text
    assert max(event.weight for event in outcome.release.events) == 1  # type: ignore[union-attr]


def test_an_alarm_of_the_platform_takes_clients_back(bench: CutOverBench) -> None:
    bench.clock.after(12, lambda: bench.route53.alarms.update({"payment-api-errors-dev": "ALARM"}))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert "alarm: payment-api-errors-dev" in outcome.text
    assert bench.all_on("old")


def test_an_old_side_that_says_nothing_of_itself_holds_the_step_and_goes_back(bench: CutOverBench) -> None:
    # Given an old system that publishes no metrics
    metric = bench.route53._metric

    def silent(stat: Any, seconds: float, shares: dict[str, dict[str, float]]) -> float:
        return 0 if stat["Metric"]["Namespace"] == "Payments/OldSystem" else metric(stat, seconds, shares)

    bench.route53._metric = silent  # type: ignore[method-assign]

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert "processing, stable: 0 requests" in outcome.text


WAYS_BACK: list[tuple[str, Callable[[CutOver], Outcome]]] = [
    ("undo at once", lambda commands: commands.undo(now=True)),
    ("undo under watch", lambda commands: commands.undo()),
]


@pytest.mark.parametrize(("label", "way"), WAYS_BACK, ids=[label for label, _ in WAYS_BACK])
def test_after_the_last_step_clients_go_back(
    label: str, way: Callable[[CutOver], Outcome], bench: CutOverBench
) -> None:
    bench.controller().shift()
    # The checks are those of the way forward: on the way back a person approves.
    bench.clock.after(100, lambda: bench.ask("promote"))

    outcome = way(bench.controller(reason="chargebacks are wrong"))

    assert outcome.code is ExitCode.DONE, outcome.text
    assert "`python -m migration export --env dev …`" in outcome.text
    assert bench.all_on("old")
    # And the platform is the candidate again, so that `retry` moves clients once more
    assert bench.route53.aliases["payment-processing-test", "green"][0] == "new"
    assert bench.controller().retry().code is ExitCode.DONE
    assert bench.all_on("new")


def test_the_forced_way_back_needs_route_53_alone(bench: CutOverBench) -> None:
    bench.route53.weights = {"blue": 50, "green": 50}

    def away(operation: str, when: str) -> None:
        if operation not in ("ListResourceRecordSets", "ChangeResourceRecordSets", "GetChange"):
            raise refused(operation)

    bench.route53.disturb = away

    outcome = bench.controller().rollback(force=True)

    assert outcome.code is ExitCode.DONE
    assert bench.all_on("old")


def test_killed_between_any_two_calls_the_next_controller_goes_on_or_goes_back() -> None:
    def fresh() -> CutOverBench:
        bench = CutOverBench(plan=replace(SHORT, weights=(50, 100), bake_seconds=5), checks=[passes])
        freeze(bench)
        return bench

    bench, call = fresh(), 0
    while kill_at(bench, call := call + 1):
        promoted = next(iter(bench.controller().world.records.latest(1)), None)
        if call % 2:
            outcome = bench.controller("the next").shift()
            assert bench.all_on("new"), f"killed at call {call}: {outcome.text}"
        else:
            outcome = bench.controller("the operator").rollback()
            side = "new" if promoted and promoted.phase is Phase.PROMOTED else "old"
            assert bench.all_on(side), f"killed at call {call}: {outcome.text}"
        assert outcome.code is ExitCode.DONE, f"killed at call {call}: {outcome.text}"
        bench = fresh()
    assert call > 50


def test_a_step_begins_when_all_servers_of_route_53_answer_with_it(bench: CutOverBench) -> None:
    # Given a Route 53 that takes 45 s to spread a change
    bench.route53.spreads_for = 45.0

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.DONE, outcome.text
    begins = [event.at for event in outcome.release.events if "read back; baking" in event.text]  # type: ignore[union-attr]
    shifts = [event.at for event in outcome.release.events if event.phase is Phase.SHIFTING]  # type: ignore[union-attr]
    assert all(baking - shifting >= 45 for shifting, baking in zip(shifts, begins, strict=True))
    # And each change was made once, although it was not read back at once
    assert len(bench.route53.batches) == 5


def test_a_round_reads_the_records_once(bench: CutOverBench) -> None:
    # Route 53 takes five calls a second of a whole account.
    bench.controller().shift()

    calls = bench.route53.calls
    rounds = calls.count("DescribeAlarms")
    assert calls.count("ListResourceRecordSets") <= rounds + 2 * len(bench.route53.batches) + 5


def test_records_have_the_health_checks_of_their_sides_while_clients_are_divided(bench: CutOverBench) -> None:
    bench.route53.simple = []
    bench.controller().prepare()
    new, old = (bench.route53.check_of(address) for address in (SETTINGS.new_host, SETTINGS.old_host))
    # Without weight on one of them, a health check would move clients to it whenever the other is unwell.
    assert bench.route53.led_by == {"blue": "none", "green": "none"}
    seen: list[tuple[dict[str, str], bool]] = []
    bench.route53.on_change = lambda: seen.append((dict(bench.route53.led_by), 0 in bench.route53.weights.values()))

    bench.controller().shift()
    assert ({"blue": old, "green": new}, False) in seen
    assert bench.route53.led_by == {"blue": "none", "green": "none"}

    bench.controller().undo(now=True)
    assert bench.route53.led_by == {"blue": "none", "green": "none"}
    assert all((led_by == {"blue": "none", "green": "none"}) is one_has_no_weight for led_by, one_has_no_weight in seen)


@pytest.mark.parametrize("given", ["under way", "not frozen"])
def test_no_release_of_the_platform_runs_beside_a_cut_over(given: str, bench: CutOverBench) -> None:
    releases = bench.controller().releases
    if given == "not frozen":
        releases.set_freeze(Freeze(frozen=False, by="ann", reason="over", at=0.0))
    else:
        commands = bench.controller()
        new = commands._releases.new({}, {})
        releases.save(replace(new, environment="dev"))

    outcome = bench.controller().shift()

    assert outcome.why == ((Why.NOT_FROZEN,) if given == "not frozen" else (Why.UNDER_WAY,))
    assert bench.all_on("old")
    assert bench.route53.batches == []


def test_weights_that_nobody_planned_are_drift_and_even_if_all_are_zero(bench: CutOverBench) -> None:
    bench.route53.weights = {"blue": 0, "green": 0}

    outcome = bench.controller().shift()

    assert outcome.why == (Why.DRIFT,)
    assert "listener blue 1, green 1" in outcome.text
    assert "/process 50 %" in bench.controller().status().text
    assert bench.controller().rollback().code is ExitCode.DONE
    assert bench.all_on("old")


def test_a_name_that_is_not_divided_says_what_to_do(bench: CutOverBench) -> None:
    bench.route53.simple = []

    with pytest.raises(Missing, match="`python -m migration cutover prepare`"):
        bench.controller().shift()


def test_each_state_leads_home_by_the_moves_of_the_controller() -> None:
    """Weights of any numbers, hosts of any side: the moves of a roll-back end on the old side."""
    hosts = {"old": "old.example.com", "new": "new.example.com"}
    for blue, green in ((100, 0), (0, 100), (50, 50), (0, 0)):
        state = State(
            hosts={Colour.STABLE: hosts["old"], Colour.CANDIDATE: hosts["new"]},
            weights={Colour.STABLE: blue, Colour.CANDIDATE: green},
            others={},
        )
        assert sum(state.divided.percent.values()) == pytest.approx(100)


# The command line


@pytest.fixture
def line(bench: CutOverBench, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> CutOverBench:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        cutover,
        "_commands",
        lambda arguments: bench.controller("bob", override=arguments.override, dry_run=arguments.dry_run),
    )
    monkeypatch.setattr(cutover, "_settings", lambda settings, outputs: SETTINGS)
    return bench


def test_the_commands_are_those_of_a_release_with_reports_of_their_own(
    line: CutOverBench, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    assert command_line.main(["cutover", "shift", "--env", "dev", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["outcome"] == "done"
    assert document["release"]["environment"] == "dev/cutover"
    assert (tmp_path / "reports/dev/cutover/release.html").exists()
    assert command_line.main(["cutover", "report", "--env", "dev"]) == 0
    assert "old → version new: promoted" in capsys.readouterr().out
    assert command_line.main(["cutover", "status", "--env", "dev"]) == 0
    assert "/process 100 %" in capsys.readouterr().out


def test_messages_name_the_commands_of_the_cut_over(line: CutOverBench, capsys: pytest.CaptureFixture[str]) -> None:
    line.checks = [fails]

    assert command_line.main(["cutover", "shift", "--env", "dev"]) == 1

    assert "docs/runbooks/cut-over-goes-wrong.md" in capsys.readouterr().out
    _, mail = line.route53.messages[-1]
    assert "Next: `python -m migration cutover retry --env dev`" in mail


def test_a_dry_run_shows_the_weights_and_moves_nothing(line: CutOverBench, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["cutover", "shift", "--env", "dev", "--dry-run"]) == 0
    assert "1 %  listener → blue 99, green 1" in capsys.readouterr().out
    assert line.route53.batches == []


def test_the_plan_needs_no_aws(line: CutOverBench, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["cutover", "plan", "--env", "dev"]) == 0
    assert "dev/cutover: 1 → 5 → 25 → 50 → 100 %" in capsys.readouterr().out


def test_an_environment_without_a_cut_over_says_where_to_set_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["cutover", "plan", "--env", "dev"]) == 2
    assert "set `migration.cut_over` in environments.py" in capsys.readouterr().err


def test_a_rehearsal_s_cut_over_is_read_from_its_stack() -> None:
    from environments import environment
    from pipeline.aws import PlatformOutputs

    values = {
        "CutOverZoneId": "Z9",
        "CutOverName": "pay.test",
        "CutOverOldHost": "old.test",
        "CutOverNewHost": "n.test",
    }

    found = cutover._settings(environment("dev"), PlatformOutputs(stack_name="s", values=values))

    assert (found.hosted_zone_id, found.name, found.new_host) == ("Z9", "pay.test", "n.test")
    # And its steps are decided by as few payments as a rehearsal has
    plan = Plan.of(found.release, {})
    assert plan.weights == (1, 5, 25, 50, 100)
    assert [plan.limits_of(weight).minimum_requests for weight in (1, 5, 25)] == [1, 3, 25]
    assert plan.needs_approval(50)
    assert len(found.checks) == 2
    with pytest.raises(ValueError, match="has no cut-over"):
        cutover._settings(environment("dev"), OUTPUTS)


# The settings


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ttl_seconds": 5}, "from 10 to 60"),
        ({"name": "Payments.example.com"}, "lower case"),
        ({"old_host": "old.example.com."}, "without the last dot"),
        ({"new_host": SETTINGS.old_host}, "three names"),
        ({"old_host": SETTINGS.name}, "three names"),
        ({"ttl_seconds": 60, "release": ReleaseSettings(bake_seconds=179.0)}, "180 s at least"),
        (
            {"release": ReleaseSettings(bake_seconds=600.0, steps=(StepSettings(weight=50, bake_seconds=60.0),))},
            "120 s at least",
        ),
    ],
)
def test_settings_that_can_not_work_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(SETTINGS, **changes)


def test_the_default_plan_waits_for_resolvers() -> None:
    settings = CutOverSettings(hosted_zone_id="Z1", name="a.test", old_host="b.test", new_host="c.test")

    plan = Plan.of(settings.release)

    assert plan.weights == (1, 5, 25, 50, 100)
    assert [weight for weight in plan.weights if plan.needs_approval(weight)] == [50]
    assert plan.bake_seconds >= 60 + 2 * 60


def test_the_random_bench_moves_like_a_platform() -> None:
    bench = RecordsBench()

    assert bench.controller().shift().code is ExitCode.DONE
    assert bench.all_on("2")
