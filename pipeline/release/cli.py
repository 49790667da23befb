"""The command line: ``python -m pipeline.release COMMAND --env ENV``."""

import argparse
import getpass
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pipeline.aws import PlatformNotDeployed, PlatformOutputs, session
from pipeline.environments import Environment, environment
from pipeline.release.aws import calling
from pipeline.release.aws.alarms import AwsAlarms
from pipeline.release.aws.announcer import AwsAnnouncer
from pipeline.release.aws.metrics import AwsMetrics
from pipeline.release.aws.records import AwsRecords
from pipeline.release.aws.traffic import AwsTraffic
from pipeline.release.clock import SystemClock
from pipeline.release.commands import Commands, ExitCode, Outcome
from pipeline.release.controller import World
from pipeline.release.git import Disagreement, GitError, current_commit
from pipeline.release.plan import Plan
from pipeline.release.ports import LeaseHeld, LeaseLost, Unavailable
from pipeline.release.report import write_reports
from pipeline.release.view import plan_lines

EXIT_CODES = """\
exit codes:
  0  done: promoted, aborted as asked, or there was nothing to do
  1  rolled back: production is on the stable version
  2  usage
  3  the platform is not deployed, or AWS could not be reached
  4  another controller works on this environment
  5  refused, with the reason; nothing was moved
"""
WATCH_SECONDS = 2.0


def show_plan(settings: Environment) -> Outcome:
    """The plan on one screen: weights, bakes, analysis, limits, windows, freeze alarms. Needs no AWS."""
    release = settings.release
    lines = plan_lines(settings.name, Plan.of(release), release.windows, release.freeze_alarms)
    return Outcome(code=ExitCode.DONE, text="\n".join(lines))


@dataclass(frozen=True)
class Command:
    """One word of the command line."""

    run: Callable[..., Outcome]
    moves: bool = True
    has_now: bool = False


COMMANDS = {
    "shift": Command(Commands.shift),
    "status": Command(Commands.status, moves=False),
    "watch": Command(Commands.status, moves=False),
    "pause": Command(Commands.pause),
    "resume": Command(Commands.resume),
    "abort": Command(Commands.abort),
    "rollback": Command(Commands.rollback),
    "promote": Command(Commands.promote, has_now=True),
    "retry": Command(Commands.retry),
    "undo": Command(Commands.undo, has_now=True),
    "history": Command(Commands.history, moves=False),
    "plan": Command(show_plan, moves=False),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    console = Console(soft_wrap=True, highlight=False, markup=False, stderr=arguments.json)
    try:
        outcome = _run(arguments, console)
        if outcome.release and COMMANDS[arguments.command].moves and not arguments.dry_run:
            write_reports(Path("reports") / arguments.env, outcome.release)
            outcome = _with_revert(outcome, open_branch=arguments.open_revert)
    except (Unavailable, PlatformNotDeployed) as error:
        outcome = Outcome(code=ExitCode.UNAVAILABLE, text=str(error))
    except LeaseHeld as held:
        outcome = Outcome(code=ExitCode.HELD, text=f"another controller works on {arguments.env}: {held}")
    except LeaseLost as lost:
        outcome = Outcome(code=ExitCode.HELD, text=f"stopped without touching anything more: {lost}")
    except (ValueError, GitError) as error:
        outcome = Outcome(code=ExitCode.USAGE, text=str(error))
    _show(outcome, arguments)
    return outcome.code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.release",
        description="Moves production traffic from the stable version to the candidate, and back.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for word, command in COMMANDS.items():
        what = (command.run.__doc__ or "").strip().splitlines()[0]
        what = "Status, again and again, until Ctrl-C." if word == "watch" else what
        one = commands.add_parser(
            word, help=what, description=what, epilog=EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        one.add_argument("--env", required=True, help="dev, staging, prod or an ephemeral environment")
        one.add_argument("--json", action="store_true", help="the outcome as JSON on stdout, progress on stderr")
        if command.has_now:
            one.add_argument("--now", action="store_true", help="at once: no bakes, no analysis")
        if command.moves:
            one.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
            one.add_argument("--override", metavar="REASON", help="ignore guards; the reason is recorded")
            one.add_argument("--open-revert", action="store_true", help="after a rollback, prepare git's revert branch")
        one.set_defaults(now=False, dry_run=False, override=None, open_revert=False)
    return parser


def _commands(arguments: argparse.Namespace, console: Console) -> Commands:
    settings = environment(arguments.env)
    plan = Plan.of(settings.release)
    who = f"{getpass.getuser()}@{platform.node()} (pid {os.getpid()})"
    clock = SystemClock()
    if COMMANDS[arguments.command].moves or arguments.command == "watch":
        clock.listen()
    with calling(f"opening environment {settings.name}"):
        aws = session()
        outputs = PlatformOutputs.read(settings.stack_name, aws)
        world = World(
            router=AwsTraffic(aws, outputs),
            alarms=AwsAlarms(
                aws, rollback=outputs["RollbackAlarmNames"].split(","), freeze=settings.release.freeze_alarms
            ),
            metrics=AwsMetrics(aws, outputs),
            records=AwsRecords(aws, table=outputs["ReleaseTableName"], environment=settings.name, holder=who),
            announcer=AwsAnnouncer(aws, outputs),
            clock=clock,
            tell=lambda text: console.print(f"{datetime.now():%H:%M:%S} {text}"),
        )
    return Commands(
        environment=settings.name,
        settings=settings.release,
        plan=plan,
        world=world,
        asked_by=who,
        commit=current_commit(),
        override=arguments.override,
        dry_run=arguments.dry_run,
    )


def _run(arguments: argparse.Namespace, console: Console) -> Outcome:
    if arguments.command == "plan":
        return show_plan(environment(arguments.env))
    commands = _commands(arguments, console)
    if arguments.command == "watch" and console.is_terminal:
        return _watch(commands)
    command = COMMANDS[arguments.command]
    return command.run(commands, now=arguments.now) if command.has_now else command.run(commands)


def _watch(commands: Commands) -> Outcome:
    outcome = commands.status()
    with Live(Text(outcome.text), auto_refresh=False, screen=False) as live:
        while not commands.world.clock.interrupted:
            outcome = commands.status()
            live.update(Text(outcome.text), refresh=True)
            commands.world.clock.sleep(WATCH_SECONDS)
    return outcome


def _with_revert(outcome: Outcome, *, open_branch: bool) -> Outcome:
    """Say how git can agree with what runs, and prepare the branch when asked."""
    disagreement = Disagreement.after(outcome.release)
    if disagreement is None:
        return outcome
    text = disagreement.advice
    if open_branch:
        text = f"branch {disagreement.open_revert(Path.cwd())} returns git to what runs"
    return replace(outcome, text=f"{outcome.text}\n  {text}")


def _show(outcome: Outcome, arguments: argparse.Namespace) -> None:
    if arguments.json:
        document = {
            "command": arguments.command,
            "environment": arguments.env,
            "exit_code": outcome.code,
            "outcome": outcome.code.name.lower().replace("_", "-"),
            "text": outcome.text,
            "release": asdict(outcome.release) if outcome.release else None,
        }
        print(json.dumps(document, indent=1))
        return
    good = outcome.code in (ExitCode.DONE, ExitCode.ROLLED_BACK)
    Console(soft_wrap=True, highlight=False, markup=False, stderr=not good).print(outcome.text)
