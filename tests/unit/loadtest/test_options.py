"""The command line's settings."""

import argparse

import pytest

from environments import GateSettings
from loadtest.engine import LoadPlan
from loadtest.options import add_gate_options, add_target_options, add_workforce_options, gate_settings, workforce


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_target_options(parser)
    add_gate_options(parser)
    add_workforce_options(parser)
    return parser.parse_args(["--env", "dev", *arguments])


def test_settings_come_from_the_environment() -> None:
    # Given no options, then the environment's own settings hold
    assert gate_settings(parse()) == parse().env.gate


def test_each_run_has_a_seed_of_its_own_unless_one_is_given() -> None:
    def seed(*arguments: str) -> int:
        return LoadPlan.of(gate_settings(parse(*arguments)), "https://a.example", signed=False).seed

    assert len({seed() for _ in range(5)}) == 5
    assert {seed("--seed", "7") for _ in range(2)} == {7}


def test_every_setting_can_be_given() -> None:
    # When every setting is given on the command line
    given = parse(
        *("--rate", "50", "--duration", "60", "--max-duration", "150", "--warm-up", "3", "--limit", "150"),
        *("--limit-factors", "/process=2"),
        *(
            "--confidence",
            "0.99",
            "--error-budget",
            "0.01",
            "--slower-share",
            "0.5",
            "--others-share",
            "1",
            "--mix",
            "/validate=3,/process=1",
            "--seed",
            "7",
        ),
        *("--concurrency", "9", "--timeout", "4", "--wake-up", "5"),
    )
    # Then no field keeps its default
    settings = gate_settings(given)
    assert not set(vars(settings).items()) & set(vars(GateSettings()).items())
    assert settings.mix == (("/validate", 3), ("/process", 1))
    assert [settings.limit_of(route) for route in ("/validate", "/process")] == [150.0, 300.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rate", "nan"], "out of range"),
        (["--rate", "inf"], "out of range"),
        (["--rate", "0"], "out of range"),
        (["--rate", "-1"], "out of range"),
        (["--rate", "fast"], "not a number"),
        (["--confidence", "1"], "out of range"),
        (["--concurrency", "0"], "whole number"),
        (["--mix", "/nowhere=1"], "unknown route"),
        (["--mix", "/validate=1,/validate=2"], "named twice"),
        (["--limit-factors", "/nowhere=1"], "unknown route"),
        (["--limit-factors", "/process=0"], "out of range"),
        (["--limit-factors", "/process"], "not a number"),
        (["--env", "Not A Name"], "environment name"),
    ],
)
def test_nonsense_is_refused(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as end:
        parse(*arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_run_that_could_never_prove_anything_is_refused() -> None:
    # Given a rate and a time in which the rarest route gets fewer samples than the confidence asks
    with pytest.raises(ValueError, match="needs 299 samples"):
        gate_settings(parse("--rate", "20", "--max-duration", "40", "--duration", "40"))
    gate_settings(parse("--rate", "30", "--max-duration", "40", "--duration", "40"))


def test_a_longer_duration_extends_the_time_limit() -> None:
    assert gate_settings(parse("--duration", "600")).max_seconds == 600
    with pytest.raises(ValueError, match="less than"):
        gate_settings(parse("--duration", "60", "--max-duration", "50"))


def test_workforce() -> None:
    assert workforce(parse()).is_alone
    assert workforce(parse("--remote-workers", "3")).processes == 0
    assert not workforce(parse("--processes", "2")).is_alone
    with pytest.raises(ValueError, match="HOST:PORT"):
        workforce(parse("--bind", "nowhere"))
