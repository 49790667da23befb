"""The command line: ``python -m pipeline.release COMMAND --env ENV``."""

import argparse
import getpass
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
from rich.live import Live
from rich.text import Text

from environments import Environment, ReleaseSettings, environment
from names import Function
from pipeline.aws import PlatformNotDeployed, PlatformOutputs, session
from pipeline.git import GitError
from pipeline.output import discard_unwritten_output, replace_unencodable_characters, say
from pipeline.release.aws import PROMPT_CONFIG, calling
from pipeline.release.aws.identity import identity
from pipeline.release.aws.platform import found_by_names
from pipeline.release.aws.world import aws_world
from pipeline.release.clock import SystemClock
from pipeline.release.commands import Commands
from pipeline.release.git import Disagreement, current_commit
from pipeline.release.outcome import ExitCode, Outcome, Why, done, failed, runbook
from pipeline.release.plan import Plan
from pipeline.release.ports import LeaseHeld, LeaseLost, RollbackUnconfirmed, Unavailable
from pipeline.release.record import Release
from pipeline.release.report import write_reports
from pipeline.release.stored import stored
from pipeline.release.traffic import Versions
from pipeline.release.view import parts_lines, plan_lines

EXIT_CODES = """\
exit codes:
  0  done: promoted, aborted as asked, or there was nothing to do
  1  rolled back: production is on the stable version
  2  usage
  3  the platform is not deployed, or AWS could not be reached: try again
  4  another controller works on this environment
  5  refused, with the reason; nothing was moved
  6  AWS could not be reached to roll back, and it was ended by a second Ctrl-C: run `rollback`
  7  a defect of this program, whose traceback it shows; a release that it drove is back on the stable version
  8  AWS does not accept the credentials, or they lack a right
  9  something is missing or can't be read, and a person must see to it: an alarm, an alias, a record
"""
WATCH_SECONDS = 2.0
MOST_PAUSE_SECONDS = 86_400.0


def show_plan(settings: Environment) -> Outcome:
    """The plan on one screen: weights, bakes, analysis, limits, windows, freeze alarms. Needs no AWS."""
    release, plan = settings.release, Plan.of(settings.release)
    lines = plan_lines(settings.name, plan, release.windows, release.freeze_alarms)
    details = {"plan": stored(plan), "windows": release.windows, "freeze_alarms": release.freeze_alarms}
    return done("\n".join(lines), details=details)


@dataclass(frozen=True)
class Command:
    """One word of the command line."""

    run: Callable[..., Outcome]
    examples: tuple[str, ...] = ()
    """The words after ``--env``."""
    moves: bool = True
    options: tuple[str, ...] = ()
    """Those of ``OPTIONS`` that it takes."""


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
    "freeze": Command(Commands.freeze, ('--reason "end of the year"',)),
    "unfreeze": Command(Commands.unfreeze, ('--reason "the year has begun"',)),
    "history": Command(Commands.history, moves=False),
    "plan": Command(show_plan, moves=False),
}
NEEDS_REASON = ("freeze", "unfreeze")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    replace_unencodable_characters()
    outcome = _outcome(arguments)
    if COMMANDS[arguments.command].moves and not arguments.dry_run:
        details = (
            _reported(outcome, arguments),
            _revert(outcome.release, open_branch=arguments.open_revert),
        )
        outcome = replace(outcome, text="\n  ".join(filter(None, (outcome.text, *details))))
    _show(outcome, arguments)
    discard_unwritten_output()
    return outcome.code


def _outcome(arguments: argparse.Namespace) -> Outcome:
    try:
        return _run(arguments)
    except RollbackUnconfirmed as left:
        text = "\n  ".join([str(left), *parts_lines(left.parts, [])])
        return Outcome(code=ExitCode.UNCONFIRMED, text=text, release=left.release)
    except Unavailable as error:
        return failed(error)
    except PlatformNotDeployed as error:
        return Outcome(code=ExitCode.UNAVAILABLE, text=str(error), why=(Why.NOT_DEPLOYED,))
    except LeaseHeld as held:
        text = f"another controller works on {arguments.env}: {held}; `abort` ends its release, `status` shows it"
        return Outcome(code=ExitCode.HELD, text=text, why=(Why.HELD,))
    except LeaseLost as lost:
        return Outcome(code=ExitCode.HELD, text=f"stopped: {lost}; `status` shows who", why=(Why.HELD,))
    except ValueError as error:
        return Outcome(code=ExitCode.USAGE, text=str(error))
    except Exception as error:
        say(traceback.format_exc(), sys.stderr)
        text = f"a defect of this program: {error!r}; `status` shows where traffic is"
        return Outcome(code=ExitCode.DEFECT, text=text)


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
            word,
            help=what,
            description=what,
            epilog=f"{_examples(word, command)}\n{EXIT_CODES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.add_argument("--env", required=True, help="dev, staging, prod or an ephemeral environment")
        one.add_argument("--json", action="store_true", help="the outcome as JSON on stdout, progress on stderr")
        for option in command.options:
            one.add_argument(f"--{option}", **OPTIONS[option])
        if command.moves:
            needed = word in NEEDS_REASON
            one.add_argument("--reason", metavar="TEXT", required=needed, help="why; it is recorded with who you are")
            one.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
            one.add_argument("--override", metavar="REASON", help="ignore guards; the reason is recorded")
            one.add_argument("--open-revert", action="store_true", help="after a rollback, prepare git's revert branch")
        one.set_defaults(dry_run=False, override=None, open_revert=False, reason=None)
    return parser


def _seconds(text: str) -> float:
    """``90s``, ``30m`` or ``2h``."""
    try:
        seconds = float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1:]]
    except (ValueError, KeyError):
        seconds = 0.0
    if not 0 < seconds <= MOST_PAUSE_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r}: write it as 90s, 30m or 2h, a day at most")
    return seconds


def _versions(text: str) -> Versions:
    """``7``: of all functions; ``validation=7,processing=5``: of these."""
    try:
        if text.isdigit():
            return dict.fromkeys(Function, text)
        pairs = [pair.split("=") for pair in text.split(",")]
        versions = {Function(function): version for function, version in pairs}
    except ValueError:
        versions = {}
    if not versions or not all(version.isdigit() for version in versions.values()):
        known = ", ".join(Function)
        raise argparse.ArgumentTypeError(f"{text!r}: write it as 7, or validation=7,processing=5 (of {known})")
    return versions


OPTIONS: dict[str, dict[str, Any]] = {
    "now": {"action": "store_true", "help": "at once: no bakes, no analysis"},
    "for": {"type": _seconds, "metavar": "20m", "help": "then it is rolled back (default: as planned)"},
    "force": {"action": "store_true", "help": "by ELB and Lambda alone: no table, no alarm"},
    "to": {"type": _versions, "metavar": "VERSIONS",
           "help": "7, or validation=7,processing=5; with --now, by ELB and Lambda alone if the table is away"},
}  # fmt: skip
KEYWORDS = {"for": "seconds"}
"""Options whose keyword is another word, because Python has taken theirs."""


def _examples(word: str, command: Command) -> str:
    lines = [
        f"  python -m pipeline.release {word} --env prod {example}".rstrip() for example in command.examples or ("",)
    ]
    return "\n".join(["examples:", *lines, ""])


def _build_ends(release: ReleaseSettings, environ: Mapping[str, str] = os.environ) -> float | None:
    """When CodeBuild ends the build that this runs in. Its start is a variable of every build, in milliseconds."""
    started = environ.get("CODEBUILD_START_TIME")
    return float(started) / 1000 + 60 * release.build_minutes if started else None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid need not have a name
        return f"uid {os.getuid()}"


def _in_emergency(arguments: argparse.Namespace) -> bool:
    """Whether the command has to work by ELB and Lambda alone."""
    words = vars(arguments)
    return bool(words.get("force") or (words.get("now") and words.get("to")))


def _outputs(settings: Environment, aws: boto3.Session, *, in_emergency: bool) -> PlatformOutputs:
    """What the commands know of the platform. An emergency does not wait for CloudFormation."""
    if not in_emergency:
        return PlatformOutputs.read(settings.stack_name, aws)
    try:
        with calling("reading the outputs of the stack"):
            return PlatformOutputs.read(settings.stack_name, aws, PROMPT_CONFIG)
    except Unavailable as error:
        say(f"  without CloudFormation: {error}", sys.stderr)
        return found_by_names(aws, settings.name, settings.stack_name)


def _commands(arguments: argparse.Namespace) -> Commands:
    settings = environment(arguments.env)
    plan = Plan.of(settings.release)
    clock = SystemClock()
    if COMMANDS[arguments.command].moves or arguments.command == "watch":
        clock.listen()
    with calling(f"opening environment {settings.name}"):
        aws = session(settings.region, settings.name)
        # The process stands last, because the lease names its holder so.
        who = f"{_user()}@{platform.node()} (pid {os.getpid()})"
        if COMMANDS[arguments.command].moves:
            who = f"{identity(aws)}, {who}"
        outputs = _outputs(settings, aws, in_emergency=_in_emergency(arguments))
        world = aws_world(
            settings,
            aws,
            outputs,
            holder=who,
            clock=clock,
            tell=lambda text: say(f"{datetime.now():%H:%M:%S} {text}", sys.stderr if arguments.json else sys.stdout),
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


def _run(arguments: argparse.Namespace) -> Outcome:
    if arguments.command == "plan":
        return show_plan(environment(arguments.env))
    commands = _commands(arguments)
    if arguments.command == "watch" and sys.stdout.isatty() and not arguments.json:
        return _watch(commands)
    command = COMMANDS[arguments.command]
    return command.run(
        commands, **{KEYWORDS.get(option, option): getattr(arguments, option) for option in command.options}
    )


def _watch(commands: Commands) -> Outcome:
    outcome = commands.status()
    with Live(Text(outcome.text), auto_refresh=False, screen=False) as live:
        while not commands.world.clock.interrupted:
            outcome = commands.status()
            live.update(Text(outcome.text), refresh=True)
            commands.world.clock.sleep(WATCH_SECONDS)
    return outcome


def _reported(outcome: Outcome, arguments: argparse.Namespace) -> str | None:
    """Write the outcome and the release's reports, and print their folder. A failure to write is only printed, because
    the traffic has moved already. Nothing is written for a name that is no environment: it could be any path."""
    try:
        folder = Path("reports") / environment(arguments.env).name
    except ValueError:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "outcome.json").write_text(_document(outcome, arguments) + "\n")
        if outcome.release is None:
            return None
        write_reports(folder, outcome.release)
    except OSError as error:
        return f"reports not written: {error}"
    return f"reports: {folder}/release.html, .md and .json"


def _revert(release: Release | None, *, open_branch: bool) -> str | None:
    """Say how git can agree with the running version. Prepare the branch if asked."""
    disagreement = Disagreement.after(release)
    if disagreement is None:
        return None
    if not open_branch:
        return disagreement.advice
    try:
        return f"branch {disagreement.open_revert(Path.cwd())} returns git to what runs"
    except GitError as error:
        return f"no revert branch: {error}; {disagreement.advice}"


def _document(outcome: Outcome, arguments: argparse.Namespace) -> str:
    document = {
        "command": arguments.command,
        "environment": arguments.env,
        "exit_code": outcome.code,
        "outcome": outcome.code.name.lower().replace("_", "-"),
        "why": outcome.why,
        "text": outcome.text,
        "release": outcome.release,
        **outcome.details,
    }
    return json.dumps(document, indent=1, default=stored)


def _show(outcome: Outcome, arguments: argparse.Namespace) -> None:
    if arguments.json:
        say(_document(outcome, arguments))
        return
    good = outcome.code in (ExitCode.DONE, ExitCode.ROLLED_BACK)
    say("\n  ".join(filter(None, (outcome.text, runbook(outcome)))), sys.stdout if good else sys.stderr)
