"""``python -m migration``: how every command of it begins and ends."""

import argparse
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from migration import __main__ as command_line
from migration.arguments import add_command
from migration.outcome import ExitCode, Failed, Inconclusive, Unavailable
from pipeline.aws import OtherEnvironment, PlatformNotDeployed


def command_that(does: Callable[[argparse.Namespace], ExitCode]) -> SimpleNamespace:
    return SimpleNamespace(register=lambda commands: add_command(commands, "try", does, help="try it"))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Failed("2 rows were rejected"), ExitCode.FAILED),
        (Inconclusive("12 of 300 requests"), ExitCode.INCONCLUSIVE),
        (Unavailable("the old system did not answer"), ExitCode.UNAVAILABLE),
        (PlatformNotDeployed("no stack payment-platform-dev"), ExitCode.UNAVAILABLE),
        (OtherEnvironment("the variables of this shell are those of prod"), ExitCode.USAGE),
    ],
)
def test_each_failure_is_a_sentence_and_a_code(
    error: Exception, code: ExitCode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a command that fails
    def fails(options: argparse.Namespace) -> ExitCode:
        raise error

    monkeypatch.setattr(command_line, "COMMANDS", (command_that(fails),))
    # When it is run
    ended = command_line.main(["try", "--env", "dev"])
    # Then it says why
    assert ended == code
    assert capsys.readouterr().err == f"{error}\n"


def test_a_command_gets_its_environment_and_shows_its_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []

    def works(options: argparse.Namespace) -> ExitCode:
        seen.append(options.env.name)
        return ExitCode.DONE

    monkeypatch.setattr(command_line, "COMMANDS", (command_that(works),))
    assert command_line.main(["try", "--env", "staging"]) == 0
    assert seen == ["staging"]
    with pytest.raises(SystemExit):
        command_line.main(["try", "--help"])
    assert str(sys.modules[__name__].__doc__) in capsys.readouterr().out
