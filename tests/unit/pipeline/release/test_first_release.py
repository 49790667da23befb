"""The first release of an environment, and of a function: stable is closed until it is promoted."""

from dataclasses import replace

import pytest

from names import Function
from pipeline.release.outcome import ExitCode
from pipeline.release.record import Phase
from tests.unit.pipeline.release.bench import PLAN, Bench
from tests.unit.pipeline.release.fake_aws import FUNCTIONS, Behaviour


def deployed() -> Bench:
    """An environment as a first deployment leaves it."""
    bench = Bench()
    bench.aws.closed_versions = {"1"}
    return bench


def test_the_first_release_opens_at_once_and_bakes_with_all_traffic() -> None:
    bench = deployed()
    shares: list[float] = []
    bench.aws.on_change = lambda: shares.append(bench.aws.shares()[FUNCTIONS[0]].get("2", 0))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.DONE
    assert set(shares) <= {0, 1}, "no customer gets 503 from one request, and an answer from the next"
    assert bench.all_on("2")
    assert bench.clock.time - 1_800_000_000 == pytest.approx(60, abs=5)
    assert "the first release opens the environment" in "".join(bench.messages)


def test_it_needs_no_traffic_because_nobody_may_call_before() -> None:
    bench = deployed()
    bench.aws.requests_per_second = 0.0

    assert bench.controller().shift().code is ExitCode.DONE
    assert bench.all_on("2")


def test_what_it_serves_is_not_compared_with_the_closed_version() -> None:
    # Given a candidate that is much slower than a 503
    bench = deployed()
    bench.aws.behaviour = {"1": Behaviour(milliseconds=1.0), "2": Behaviour(milliseconds=150.0)}

    assert bench.controller().shift().code is ExitCode.DONE


@pytest.mark.parametrize("ring", ["an alarm", "lost requests", "requests lost everywhere", "Ctrl-C"])
def test_it_goes_back_to_closed(ring: str) -> None:
    bench = deployed()
    what = {
        "an alarm": lambda: bench.aws.alarms.update({"candidate-errors": "ALARM"}),
        "lost requests": lambda: setattr(bench.clock, "loses_requests", True),
        "requests lost everywhere": lambda: setattr(bench.clock, "lost_everywhere_at", bench.clock.time),
        "Ctrl-C": bench.clock.interrupt,
    }[ring]
    bench.clock.after(30, what)

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert bench.all_on("1")
    assert "closed     customers get 503" in bench.controller().status().text


def test_a_controller_that_takes_it_over_finishes_it() -> None:
    bench = deployed()

    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    bench.clock.after(20, kill)
    with pytest.raises(Killed):
        bench.controller().shift()
    bench.clock.forget()
    bench.clock.time += 60

    assert bench.controller("bob").shift().code is ExitCode.DONE
    assert bench.all_on("2")


def test_status_says_that_it_is_closed_and_how_it_opens() -> None:
    bench = deployed()
    before = bench.controller().status()
    bench.controller().shift()
    after = bench.controller().status()

    assert "customers get 503, because no release was promoted yet: `shift` opens it" in before.text
    assert before.details["status"]["closed"] == [*Function]
    assert "503" not in after.text
    assert after.details["status"]["closed"] == []


def test_a_dry_run_shows_one_step() -> None:
    calls = deployed().controller(dry_run=True).shift().details["calls"]
    assert {call.strip().split("  ")[0] for call in calls} == {"100 %", "promote"}


def test_a_later_release_goes_step_by_step() -> None:
    bench = deployed()
    bench.controller().shift()
    bench.aws.deploy("3")

    bench.controller().shift()

    last = bench.controller().world.records.latest(1)[0]
    assert (last.opens, last.is_first) == ((), False)
    assert [run.weight for run in last.analysis_runs] == [*PLAN.weights]


def test_what_was_opened_is_undone_only_at_once() -> None:
    bench = deployed()
    bench.controller().shift()

    refused = bench.controller().undo()
    assert refused.code is ExitCode.REFUSED
    assert "`undo --now` closes it again" in refused.text
    assert bench.all_on("2")

    assert bench.controller().undo(now=True).code is ExitCode.DONE
    assert bench.all_on("1")
    assert "503" in bench.controller().status().text
    # And a retry opens it again
    assert bench.controller().retry().code is ExitCode.DONE
    assert bench.controller().world.records.latest(1)[0].is_first


def test_a_new_function_is_closed_while_the_others_are_compared() -> None:
    # Given an environment with releases, and a deployment that adds a function
    bench = Bench(stable="1", candidate="2")
    new = FUNCTIONS[-1]
    bench.aws.aliases[new, "blue"] = ("9", {})
    bench.aws.aliases[new, "green"] = ("10", {})
    bench.aws.closed_versions = {"9"}
    bench.aws.behaviour = {"9": Behaviour(milliseconds=1.0), "10": Behaviour(milliseconds=90.0)}

    outcome = bench.controller().shift()

    # Then the release goes step by step, and only the quick 503 is compared with nothing
    assert outcome.code is ExitCode.DONE
    last = bench.controller().world.records.latest(1)[0]
    assert [str(f) for f in last.opens] == [str([*Function][-1])]
    assert [run.weight for run in last.analysis_runs] == [*PLAN.weights]


def test_a_slow_function_of_the_others_still_goes_back() -> None:
    bench = Bench(stable="1", candidate="2")
    bench.aws.aliases[FUNCTIONS[-1], "blue"] = ("9", {})
    bench.aws.aliases[FUNCTIONS[-1], "green"] = ("10", {})
    bench.aws.closed_versions = {"9"}
    bench.aws.requests_per_second = 20.0
    bench.aws.behaviour = {"2": Behaviour(errors=0.2)}

    assert bench.controller().shift().code is ExitCode.ROLLED_BACK


def test_the_record_keeps_it() -> None:
    bench = deployed()
    bench.controller().shift()
    release = bench.controller().world.records.latest(1)[0]
    assert release.is_first
    assert not replace(release, opens=()).is_first
    assert release.phase is Phase.PROMOTED
