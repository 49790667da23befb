"""A command line on the records of releases: words and options, the outcome for people and programs, the reports."""

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.text import Text

from environments import environment
from names import Function
from pipeline.aws import PlatformNotDeployed
from pipeline.git import GitError
from pipeline.output import discard_unwritten_output, moves_cursor, say
from pipeline.release.commands import Commands
from pipeline.release.git import Disagreement
from pipeline.release.outcome import ExitCode, Outcome, Why, failed, runbook
from pipeline.release.ports import LeaseHeld, LeaseLost, RollbackUnconfirmed, Unavailable
from pipeline.release.record import Release
from pipeline.release.report import write_reports
from pipeline.release.stored import stored
from pipeline.release.traffic import Versions
from pipeline.release.view import parts_lines
from reporting.text import printable

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


@dataclass(frozen=True)
class Command:
    """One word of the command line."""

    run: Callable[..., Outcome]
    examples: tuple[str, ...] = ()
    """The words after ``--env``."""
    moves: bool = True
    options: tuple[str, ...] = ()
    """Those of ``OPTIONS`` that it takes."""
    needs_reason: bool = False
    opens: bool = True
    """It works on ``Commands``; without, on the settings of the environment alone, and needs no AWS."""
    reports: bool = False
    """It writes the reports, although it moves nothing."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """The command line of what moves: the platform's releases, or a cut-over."""

    line: str
    """Its first words: ``python -m pipeline.release``."""
    description: str
    commands: Mapping[str, Command]
    open: Callable[[argparse.Namespace], Commands]
    """The commands on the environment that the arguments name. Raises ``Unavailable`` and ``ValueError``."""
    records_of: Callable[[str], str] = str
    """The name under which the records of an environment are kept, which is also the folder of its reports."""
    page: str | None = None
    """Its own page of ``docs/runbooks``."""
    afterwards: Callable[[Outcome, argparse.Namespace], str | None] = lambda outcome, arguments: None
    """What follows a command that moves. It returns what is to be said of it, and changes no outcome."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Run one command and return its exit code."""
        outcome = self._outcome(arguments)
        command = self.commands[arguments.command]
        if (command.moves or command.reports) and not arguments.dry_run:
            details = (
                self._reported(outcome, arguments),
                self.afterwards(outcome, arguments),
                _revert(outcome.release, open_branch=arguments.open_revert),
            )
            outcome = replace(outcome, text="\n  ".join(filter(None, (outcome.text, *details))))
        self._show(outcome, arguments)
        discard_unwritten_output()
        return outcome.code

    def _outcome(self, arguments: argparse.Namespace) -> Outcome:
        try:
            return self._run(arguments)
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

    def _run(self, arguments: argparse.Namespace) -> Outcome:
        command = self.commands[arguments.command]
        if not command.opens:
            return command.run(environment(arguments.env))
        commands = self.open(arguments)
        if arguments.command == "watch" and moves_cursor() and not arguments.json:
            return watch(commands)
        return command.run(
            commands, **{KEYWORDS.get(option, option): getattr(arguments, option) for option in command.options}
        )

    def add_commands(self, parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
        """``parser`` with the words of this program."""
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        for word, command in self.commands.items():
            what = (command.run.__doc__ or "").strip().splitlines()[0]
            what = "Status, again and again, until Ctrl-C." if word == "watch" else what
            one = commands.add_parser(
                word,
                help=what,
                description=what,
                epilog=f"{self._examples(word, command)}\n{EXIT_CODES}",
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            one.add_argument("--env", required=True, help="dev, staging, prod or an ephemeral environment")
            one.add_argument("--json", action="store_true", help="the outcome as JSON on stdout, progress on stderr")
            for option in command.options:
                one.add_argument(f"--{option}", **OPTIONS[option])
            if command.moves:
                one.add_argument(
                    "--reason",
                    metavar="TEXT",
                    required=command.needs_reason,
                    help="why; it is recorded with who you are",
                )
                one.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
                one.add_argument("--override", metavar="REASON", help="ignore guards; the reason is recorded")
                one.add_argument(
                    "--open-revert", action="store_true", help="after a rollback, prepare git's revert branch"
                )
            one.set_defaults(dry_run=False, override=None, open_revert=False, reason=None)
        return parser

    def _examples(self, word: str, command: Command) -> str:
        lines = [f"  {self.line} {word} --env prod {example}".rstrip() for example in command.examples or ("",)]
        return "\n".join(["examples:", *lines, ""])

    def _reported(self, outcome: Outcome, arguments: argparse.Namespace) -> str | None:
        """Write the outcome and the release's reports, and print their folder.

        A failure to write is only printed, because the traffic has moved already. Nothing is written for a name that is
        no environment: it could be any path.
        """
        try:
            folder = Path("reports") / self.records_of(environment(arguments.env).name)
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

    def _show(self, outcome: Outcome, arguments: argparse.Namespace) -> None:
        if arguments.json:
            say(_document(outcome, arguments))
            return
        good = outcome.code in (ExitCode.DONE, ExitCode.ROLLED_BACK)
        say("\n  ".join(filter(None, (outcome.text, runbook(outcome, self.page)))), sys.stdout if good else sys.stderr)


def watch(commands: Commands) -> Outcome:
    outcome = commands.status()
    with Live(Text(printable(outcome.text)), auto_refresh=False, screen=False) as live:
        while not commands.world.clock.interrupted:
            outcome = commands.status()
            live.update(Text(printable(outcome.text)), refresh=True)
            commands.world.clock.sleep(WATCH_SECONDS)
    return outcome


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
    "force": {"action": "store_true", "help": "by the services alone that move traffic: no table, no alarm"},
    "to": {"type": _versions, "metavar": "VERSIONS",
           "help": "7, or validation=7,processing=5; with --now, by ELB and Lambda alone if the table is away"},
}  # fmt: skip
KEYWORDS = {"for": "seconds"}
"""Options whose keyword is another word, because Python has taken theirs."""
