"""The page of an environment's releases, and the commands on them."""

import time
from dataclasses import replace

import pytest

from console.gates.reading import PROGRESS
from console.platforms import MEASURED_SECONDS, LocalPlatforms
from console.reading import Reading
from console.releases.reading import QUIET_SECONDS, AwsReleases, Standing
from pipeline.local.state import State as LocalState
from pipeline.release.controller import World
from pipeline.release.ports import RequestCommand
from pipeline.release.state import State, read_state
from tests.recorded import record
from tests.unit.pipeline.release.bench import Bench

from .conftest import KEYS, OWN, Environments, Open, Recorded


def reading(bench: Bench, state: State | None = None) -> Reading[Standing]:
    world = bench.controller().world
    history = world.records.latest(20)
    state = state or read_state("test", world)
    return Reading(value=Standing(state=state, history=history, unreadable=(), whose="arn:ann"), at=time.time())


@pytest.fixture
def bench() -> Bench:
    return Bench()


def under_way(bench: Bench) -> Reading[Standing]:
    """In the middle of a bake, with a living controller."""
    found: list[Reading[Standing]] = []
    bench.clock.after(30, lambda: found.append(reading(bench)))
    bench.controller().shift()
    return found[0]


def test_an_environment_without_a_release_says_so(browser: Open, environments: Environments, bench: Bench) -> None:
    environments.readings["prod"] = reading(bench)
    html = browser().get("/release/prod").text
    assert "No release yet" in html
    assert "version 1" in html


def test_an_environment_that_is_closed_says_so(browser: Open, environments: Environments, bench: Bench) -> None:
    environments.readings["prod"] = reading(bench)
    assert "503" not in browser().get("/release/prod").text
    bench.aws.closed_versions = {"1"}
    environments.readings["prod"] = reading(bench)
    assert "Closed: customers get 503" in browser().get("/release/prod").text


def test_a_release_under_way_shows_step_weights_and_what_it_waits_for(
    browser: Open, environments: Environments, bench: Bench
) -> None:
    environments.readings["prod"] = under_way(bench)
    html = browser().get("/release/prod").text
    assert "Step 1 of 4, 10 %: baking, for another" in html
    assert 'role="timer" data-until="' in html
    assert '<meter min="0" max="100" value="10' in html
    for command in ("pause", "promote", "promote-now", "abort"):
        assert f'href="/release/prod/{command}"' in html
    assert 'href="/release/prod/undo"' not in html


def test_an_ended_release_shows_its_verdicts_charts_and_the_way_back(
    browser: Open, environments: Environments, bench: Bench
) -> None:
    under_way(bench)
    environments.readings["prod"] = reading(bench)
    html = browser().get("/release/prod").text
    assert "Weight of the candidate over time" in html
    assert '<svg viewBox="0 0 400 220" role="img">' in html
    assert "Decisions" in html


def test_a_source_that_does_not_answer_is_said_with_the_age_of_what_is_shown(
    browser: Open, environments: Environments, bench: Bench
) -> None:
    known = reading(bench)
    environments.readings["prod"] = replace(known, failure="reading the listener: <timeout>")
    html = browser().get("/release/prod").text
    assert "The release of prod does not answer." in html
    assert "&lt;timeout&gt;" in html
    assert f'data-age="{known.at}"' in html
    assert "version 1" in html


def test_while_a_gate_measures_the_page_says_why_what_it_shows_is_old(
    browser: Open, environments: Environments, bench: Bench
) -> None:
    environments.readings["prod"] = reading(bench)
    assert "seldom" not in browser().get("/release/prod").text
    environments.measured = {"prod"}
    assert "and seldom while its load gate measures" in browser().get("/release/prod").text


def test_before_the_first_answer_the_page_is_there(browser: Open) -> None:
    assert "Reading The release of dev" in browser().get("/release/dev").text


@pytest.mark.parametrize("path", ["/release/other", "/release/prod/destroy", "/release/..%2fprod"])
def test_there_are_no_other_environments_and_commands(browser: Open, path: str) -> None:
    assert browser().get(path).status_code == 404


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("pause", ["pause"]),
        ("resume", ["resume"]),
        ("promote", ["promote"]),
        ("promote-now", ["promote", "--now"]),
        ("abort", ["abort"]),
        ("undo", ["undo"]),
        ("undo-now", ["undo", "--now"]),
        ("rollback", ["rollback"]),
    ],
)
def test_a_confirmed_action_is_the_command_with_its_reason(
    browser: Open, actions: Recorded, command: str, words: list[str]
) -> None:
    client = browser()
    # Given the page that asks for a confirmation
    assert " ".join(words) in client.get(f"/release/prod/{command}").text
    assert actions.started == []
    # When the person gives a reason
    answer = client.post(f"/release/prod/{command}", data={"reason": "declines rise", "csrf": KEYS.csrf}, headers=OWN)
    # Then the command is started
    assert answer.status_code == 303
    assert actions.started == [["pipeline.release", *words, "--env", "prod", "--reason=declines rise"]]
    assert actions.latest()[0].target == "release of prod"


def test_without_a_reason_nothing_is_done(browser: Open, actions: Recorded) -> None:
    answer = browser().post("/release/prod/abort", data={"reason": "  ", "csrf": KEYS.csrf}, headers=OWN)
    assert answer.status_code == 409
    assert actions.started == []


def test_every_command_of_the_page_is_one_of_the_command_line() -> None:
    from console.releases.commands import COMMANDS
    from pipeline.release.cli import _parser

    for command in COMMANDS.values():
        parsed = _parser().parse_args([*command.words, "--env", "prod", "--reason=why"])
        assert parsed.command in {each.value for each in RequestCommand} | {"undo", "rollback"}


class Fixed(AwsReleases):
    """The releases of one world, without the connection to it."""

    def __init__(self, world: World, state: LocalState) -> None:
        super().__init__(LocalPlatforms(state))
        self._world = world

    def _open(self, environment: str) -> tuple[World, str]:
        return self._world, "arn:ann"


def test_while_nothing_happens_only_the_record_is_looked_at(bench: Bench, state: LocalState) -> None:
    # Given an environment whose release has ended
    bench.controller().shift()
    releases = Fixed(bench.controller().world, state)

    def reads_all() -> bool:
        before = len(bench.aws.calls)
        releases.read("test")
        calls = bench.aws.calls[before:]
        assert calls == ["Query", "GetItem"] or "DescribeAlarms" in calls
        return "DescribeAlarms" in calls

    assert reads_all()
    # Then a second later only the record and the freeze are read
    bench.clock.sleep(1.0)
    assert not reads_all()
    # And after a freeze, after a new release, and after a while, all is read again
    bench.controller(reason="a holiday").freeze()
    assert reads_all()
    bench.controller(reason="it is over").unfreeze()
    assert reads_all()
    assert not reads_all()
    bench.aws.deploy("3")
    bench.controller().shift()
    assert reads_all()
    bench.clock.sleep(QUIET_SECONDS)
    assert reads_all()
    # And while a gate measures, only what is not on record may be older
    run = record(state, subject="A promotion", ends_at="Dev/LoadGate", status="running")
    bench.clock.sleep(QUIET_SECONDS)
    assert reads_all()
    progress = run.source / "reports/test" / PROGRESS
    progress.parent.mkdir(parents=True)
    progress.touch()
    bench.clock.sleep(QUIET_SECONDS)
    assert not reads_all()
    bench.controller(reason="a holiday").freeze()
    assert reads_all()
    bench.controller(reason="it is over").unfreeze()
    assert reads_all()
    bench.clock.sleep(MEASURED_SECONDS)
    assert reads_all()
    # And while a release is under way, each look reads all
    looks: list[bool] = []
    for second in (30, 31):
        bench.clock.after(second, lambda: looks.append(reads_all()))
    bench.aws.deploy("4")
    bench.controller().shift()
    assert looks == [True, True]
