"""The command line: ``python -m pipeline.release COMMAND --env ENV``."""

import argparse
import getpass
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TextIO

import boto3

import names
from environments import Environment, ReleaseSettings, environment
from pipeline.aws import PlatformOutputs, session
from pipeline.output import say
from pipeline.release.aws import PROMPT_CONFIG, calling
from pipeline.release.aws.identity import identity
from pipeline.release.aws.platform import found_by_names
from pipeline.release.aws.world import aws_world
from pipeline.release.clock import SystemClock
from pipeline.release.commands import Commands
from pipeline.release.git import current_commit
from pipeline.release.outcome import Outcome, done
from pipeline.release.plan import Plan
from pipeline.release.ports import Unavailable
from pipeline.release.program import EXIT_CODES, Command, Program
from pipeline.release.promoted_gates import remember
from pipeline.release.stored import stored
from pipeline.release.view import plan_lines


def show_plan(settings: Environment) -> Outcome:
    """The plan on one screen: weights, bakes, analysis, limits, windows, freeze alarms. Needs no AWS."""
    release, plan = settings.release, Plan.of(settings.release)
    lines = plan_lines(settings.name, plan, release.windows, release.freeze_alarms)
    details = {"plan": stored(plan), "windows": release.windows, "freeze_alarms": release.freeze_alarms}
    return done("\n".join(lines), details=details)


COMMANDS = {
    "shift": Command(Commands.shift, ("", '--override "repairs the incident that closed the window"')),
    "status": Command(Commands.status, moves=False),
    "watch": Command(Commands.status, moves=False),
    "pause": Command(Commands.pause, ('--for 20m --reason "look at the logs"',), options=("for",)),
    "resume": Command(Commands.resume, ('--reason "logs are fine"',)),
    "abort": Command(Commands.abort, ('--reason "declines rise"',)),
    "rollback": Command(Commands.rollback, ("", "--force"), options=("force",)),
    "promote": Command(Commands.promote, ("", '--now --reason "hot fix"'), options=("now",)),
    "retry": Command(Commands.retry, ("",)),
    "undo": Command(Commands.undo, ("", "--now", "--now --to validation=7,processing=5"), options=("now", "to")),
    "freeze": Command(Commands.freeze, ('--reason "end of the year"',), needs_reason=True),
    "unfreeze": Command(Commands.unfreeze, ('--reason "the year has begun"',), needs_reason=True),
    "history": Command(Commands.history, moves=False),
    "plan": Command(show_plan, moves=False, opens=False),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    return PROGRAM.run(_parser().parse_args(argv))


def _parser() -> argparse.ArgumentParser:
    return PROGRAM.add_commands(
        argparse.ArgumentParser(
            prog=PROGRAM.line,
            description=PROGRAM.description,
            epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )


def _build_ends(release: ReleaseSettings, environ: Mapping[str, str] = os.environ) -> float | None:
    """When CodeBuild ends the build that this runs in. Its start is a variable of every build, in milliseconds."""
    started = environ.get("CODEBUILD_START_TIME")
    return float(started) / 1000 + 60 * release.build_minutes if started else None


def who_asks(aws: boto3.Session, *, moves: bool) -> str:
    """Who gives the command: user, machine and process; with the IAM identity, if the command moves anything."""
    # The process stands last, because the lease names its holder so.
    who = f"{_user()}@{platform.node()} (pid {os.getpid()})"
    return f"{identity(aws)}, {who}" if moves else who


def tell_on(terminal: TextIO) -> Callable[[str], None]:
    """Shows a line with the time of day."""
    return lambda text: say(f"{datetime.now():%H:%M:%S} {text}", terminal)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid need not have a name
        return f"uid {os.getuid()}"


def _in_emergency(arguments: argparse.Namespace) -> bool:
    """Whether the command has to work by ELB and Lambda alone."""
    words = vars(arguments)
    return bool(words.get("force") or (words.get("now") and words.get("to")))


def outputs_of(
    settings: Environment, aws: boto3.Session, *, in_emergency: bool, known: Callable[[], PlatformOutputs]
) -> PlatformOutputs:
    """What the commands know of the platform. An emergency does not wait for CloudFormation: it goes on with what is
    ``known`` without."""
    if not in_emergency:
        return PlatformOutputs.read(settings.stack_name, aws)
    try:
        with calling("reading the outputs of the stack"):
            return PlatformOutputs.read(settings.stack_name, aws, PROMPT_CONFIG)
    except Unavailable as error:
        say(f"  without CloudFormation: {error}", sys.stderr)
        return known()


def _commands(arguments: argparse.Namespace) -> Commands:
    settings = environment(arguments.env)
    plan = Plan.of(settings.release)
    clock = SystemClock()
    if COMMANDS[arguments.command].moves or arguments.command == "watch":
        clock.listen()
    with calling(f"opening environment {settings.name}"):
        aws = session(settings.region, settings.name)
        who = who_asks(aws, moves=COMMANDS[arguments.command].moves)
        outputs = outputs_of(
            settings,
            aws,
            in_emergency=_in_emergency(arguments),
            known=lambda: found_by_names(aws, settings.name, settings.stack_name),
        )
        world = aws_world(
            settings,
            aws,
            outputs,
            holder=who,
            clock=clock,
            tell=tell_on(sys.stderr if arguments.json else sys.stdout),
        )
    return Commands(
        environment=settings.name,
        settings=settings.release,
        plan=plan,
        world=world,
        asked_by=who,
        commit=current_commit(),
        reason=arguments.reason,
        override=arguments.override,
        build_ends=_build_ends(settings.release),
        dry_run=arguments.dry_run,
    )


def _remember_gate(outcome: Outcome, arguments: argparse.Namespace) -> str | None:
    """Keep what the gate measured of a promoted release, for the next gate. A failure is only said."""
    if outcome.release is None:
        return None
    try:
        settings = environment(arguments.env)
        with calling("keeping the gate's measurement"):
            aws = session(settings.region, settings.name)
            folders = (Path("reports") / settings.name, Path(names.GATE_REPORTS))
            remember(aws, names.Table.RELEASES.of(settings.name), outcome.release, folders)
    except Unavailable as error:
        return f"the next gate will not be compared with this release: {error}"
    return None


PROGRAM = Program(
    line="python -m pipeline.release",
    description="Moves production traffic from the stable version to the candidate, and back.",
    commands=COMMANDS,
    open=lambda arguments: _commands(arguments),
    afterwards=_remember_gate,
)
