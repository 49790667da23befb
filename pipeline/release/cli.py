"""The command line: ``python -m pipeline.release COMMAND --env ENV``."""

import argparse
import getpass
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from pipeline.aws import PlatformNotDeployed, PlatformOutputs, session
from pipeline.environments import environment
from pipeline.release.aws import calling
from pipeline.release.aws.alarms import AwsAlarms
from pipeline.release.aws.records import AwsRecords
from pipeline.release.aws.traffic import AwsTraffic
from pipeline.release.clock import SystemClock
from pipeline.release.commands import Commands, ExitCode, Outcome
from pipeline.release.plan import Plan
from pipeline.release.ports import LeaseHeld, LeaseLost, Unavailable

EXIT_CODES = """\
exit codes:
  0  done: promoted, or there was nothing to do
  1  rolled back: production is on the stable version
  2  usage
  3  the platform is not deployed, or AWS could not be reached
  4  another controller works on this environment
  5  refused, with the reason; nothing was moved
"""

COMMANDS = ("shift", "status", "rollback")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    console = Console(soft_wrap=True, highlight=False)
    try:
        outcome = _run(arguments, console)
    except (Unavailable, PlatformNotDeployed) as error:
        outcome = Outcome(code=ExitCode.UNAVAILABLE, text=str(error))
    except LeaseHeld as held:
        outcome = Outcome(code=ExitCode.HELD, text=f"another controller works on {arguments.env}: {held}")
    except LeaseLost as lost:
        outcome = Outcome(code=ExitCode.HELD, text=f"stopped without touching anything more: {lost}")
    except ValueError as error:
        outcome = Outcome(code=ExitCode.USAGE, text=str(error))
    _save(arguments.env, outcome)
    target = console if outcome.code in (ExitCode.DONE, ExitCode.ROLLED_BACK) else Console(stderr=True, soft_wrap=True)
    target.print(outcome.text, markup=False)
    return outcome.code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.release",
        description="Moves production traffic from the stable version to the candidate, and back.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        what = (getattr(Commands, name).__doc__ or "").strip().splitlines()[0]
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("--env", required=True, help="environment: dev, staging, prod or an ephemeral one")
    return parser


def _run(arguments: argparse.Namespace, console: Console) -> Outcome:
    settings = environment(arguments.env)
    plan = Plan.of(settings.release)
    clock = SystemClock().listen()
    with calling(f"opening environment {settings.name}"):
        aws = session()
        outputs = PlatformOutputs.read(settings.stack_name, aws)
        who = f"{getpass.getuser()}@{platform.node()} (pid {os.getpid()})"
        commands = Commands(
            environment=settings.name,
            plan=plan,
            router=AwsTraffic(aws, outputs),
            alarms=AwsAlarms(aws, outputs["RollbackAlarmNames"].split(",")),
            records=AwsRecords(aws, table=outputs["ReleaseTableName"], environment=settings.name, holder=who),
            clock=clock,
            tell=lambda text: console.print(text, markup=False),
            started_by=who,
        )
    outcome: Outcome = getattr(commands, arguments.command)()
    return outcome


def _save(env: str, outcome: Outcome) -> None:
    if outcome.release:
        folder = Path("reports") / env
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "release.json").write_text(outcome.release.to_json() + "\n")


if __name__ == "__main__":
    sys.exit(main())
