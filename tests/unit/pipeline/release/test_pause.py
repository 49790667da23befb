"""A pause: how long it holds, what ends it, and that it outlives its controller."""

import pytest

from pipeline.release import cli
from pipeline.release.machine import Observation, advance
from pipeline.release.outcome import ExitCode
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.test_crash import Killed, die


def abandoned(bench: Bench) -> Bench:
    """Given a release that bakes and whose controller was killed; its lease has run out."""
    bench.clock.after(90, lambda: setattr(bench.aws, "disturb", die))
    with pytest.raises(Killed):
        bench.controller("ann").shift()
    bench.aws.disturb = lambda operation, when: None
    bench.clock.time += 40
    return bench


def test_pause_holds_the_weights_until_resume_and_the_step_bakes_again() -> None:
    bench = Bench()
    weights: list[int] = []
    bench.clock.after(90, lambda: bench.ask("pause"))
    bench.clock.after(1000, lambda: weights.append(bench.aws.weights["green"]))
    bench.clock.after(1010, lambda: bench.ask("resume"))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.DONE
    assert weights == [25]
    assert bench.clock.time - 1_800_000_000 >= 1010 + 3 * 60


@pytest.mark.parametrize(("seconds", "expected"), [(None, 1800), (600.0, 600)], ids=["as planned", "as asked"])
def test_a_pause_that_nobody_ends_is_rolled_back_and_does_not_reject(seconds: float | None, expected: float) -> None:
    bench = Bench()
    bench.clock.after(90, lambda: bench.ask("pause", seconds))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert "nobody resumed" in outcome.text
    assert bench.all_on("1")
    assert bench.clock.time - 1_800_000_000 == pytest.approx(90 + expected, abs=6)
    assert outcome.release
    assert not outcome.release.rejected


def test_pausing_again_moves_the_end_of_the_pause() -> None:
    bench = Bench()
    bench.clock.after(90, lambda: bench.ask("pause", 300))
    bench.clock.after(300, lambda: bench.ask("pause", 3600))
    bench.clock.after(3000, lambda: bench.ask("resume"))

    assert bench.controller().shift().code is ExitCode.DONE


def test_a_paused_release_whose_controller_died_ends_when_it_would_have() -> None:
    # Given a pause of half an hour, whose controller dies after a minute
    bench = Bench()
    bench.clock.after(90, lambda: bench.ask("pause"))
    bench.clock.after(150, lambda: setattr(bench.aws, "disturb", die))
    with pytest.raises(Killed):
        bench.controller().shift()
    bench.aws.disturb = lambda operation, when: None

    # When the pipeline shifts again
    bench.clock.time += 600
    outcome = bench.controller("the next pipeline").shift()

    # Then it waits no longer than the pause was given
    assert outcome.code is ExitCode.ROLLED_BACK
    assert bench.all_on("1")
    assert bench.clock.time - 1_800_000_000 == pytest.approx(90 + 1800, abs=6)


def test_resuming_counts_even_after_the_pause_should_have_ended() -> None:
    # Given a pause whose controller died, and whose time is over
    bench = Bench()
    bench.clock.after(90, lambda: bench.ask("pause", 300))
    bench.clock.after(150, lambda: setattr(bench.aws, "disturb", die))
    with pytest.raises(Killed):
        bench.controller().shift()
    bench.aws.disturb = lambda operation, when: None
    bench.clock.time += 7200

    assert bench.controller("bob").resume().code is ExitCode.DONE
    assert bench.all_on("2")


def test_resume_without_a_pause_is_refused() -> None:
    # Given a release that bakes, and the controller that runs
    bench = abandoned(Bench())
    running = bench.seize("the one that runs")

    def its_next_round() -> None:
        seen = Observation(now=bench.clock.time, request=running.asked())
        running.save(advance(running.latest(1)[0], seen))

    bench.clock.after(1, its_next_round)

    outcome = bench.controller("bob").resume()

    assert outcome.code is ExitCode.REFUSED
    assert "resume ignored in phase baking" in outcome.text


def test_a_pause_that_comes_during_the_promotion_is_refused_as_too_late() -> None:
    # Given a controller that dies when blue has become the candidate, the weights not yet
    bench = Bench()
    bench.aws.on_change = lambda: setattr(bench.aws, "disturb", die if "2" in bench.aws.stable() else bench.aws.disturb)
    with pytest.raises(Killed):
        bench.controller("ann").shift()
    bench.aws.on_change = lambda: None
    bench.aws.disturb = lambda operation, when: None

    outcome = bench.controller("bob").pause()

    assert outcome.code is ExitCode.REFUSED
    assert "too late" in outcome.text
    assert bench.all_on("2")


def test_a_pause_that_was_obeyed_before_the_promotion_is_not_too_late() -> None:
    # Given a release that nobody drives, which `pause` takes over
    bench = abandoned(Bench())
    bench.clock.after(300, lambda: bench.ask("resume"))

    assert bench.controller("bob").pause().code is ExitCode.DONE
    assert bench.all_on("2")


def test_how_long_a_pause_may_last_is_said_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    monkeypatch.setattr(cli, "_commands", lambda _arguments: bench.controller("bob"))
    bench.clock.after(90, lambda: setattr(bench.aws, "disturb", die))
    with pytest.raises(Killed):
        bench.controller().shift()
    bench.aws.disturb = lambda operation, when: None
    bench.clock.time += 40
    began = bench.clock.time

    assert cli.main(["pause", "--env", "dev", "--for", "20m"]) == ExitCode.ROLLED_BACK

    # Half a minute, because the lease of the one that died has to be watched, and then the pause
    assert bench.clock.time - began == pytest.approx(30 + 1200, abs=6)


@pytest.mark.parametrize("text", ["30", "m", "0s", "-1m", "25h", "infs", "nanm", "thirty minutes"])
def test_a_pause_of_no_time_is_a_usage_error(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["pause", "--env", "dev", f"--for={text}"])

    assert end.value.code == ExitCode.USAGE
    assert "write it as 90s, 30m or 2h" in capsys.readouterr().err


def test_alarms_roll_back_a_paused_release() -> None:
    bench = Bench()
    bench.clock.after(90, lambda: bench.ask("pause"))
    bench.clock.after(300, lambda: bench.aws.alarms.update({"api-errors": "ALARM"}))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert bench.all_on("1")


def test_status_says_when_a_pause_ends() -> None:
    bench = Bench()
    shown: list[str] = []
    bench.clock.after(90, lambda: bench.ask("pause", 300))
    bench.clock.after(190, lambda: shown.append(bench.controller("bob").status().text))

    bench.controller().shift()

    assert "paused, 200 s to go, then rolled back" in shown[0]
