"""Edits the fraud rules safely.

    python -m pipeline.rules check lambdas/payments/fraud_rules.json
    python -m pipeline.rules show --env prod
    python -m pipeline.rules put rules.json --env prod --reason "attack from 203.0.113.0/24"
    python -m pipeline.rules withdraw --env prod --reason "the attack is over"

The rules ship with the functions: change lambdas/payments/fraud_rules.json in a commit, and gate and shift prove it.
`put` is for an emergency. It overrides the rules that the stable version ships, within a minute and without a gate. The
override ends when a version is promoted that ships other rules, or by `withdraw`. So commit the same rules, too.

Exit codes: 0 done; 1 the file or the override is refused, with line, path and what is allowed; 2 usage; 3 AWS did not
answer, or the environment is not deployed; 4 not confirmed, nothing was changed.
"""

import argparse
import sys
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from environments import Environment
from lambdas.payments.rules import FIELDS, shipped
from pipeline.arguments import environment_name
from pipeline.aws import PlatformNotDeployed, session
from pipeline.output import say
from pipeline.rules import override
from pipeline.rules.document import Document, Refused, load
from pipeline.rules.override import Deployed, Parameters, effect, override_of


class ExitCode(IntEnum):
    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNAVAILABLE = 3
    NOT_CONFIRMED = 4


class NotConfirmed(Exception):
    """A person said no, or could not be asked."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (BotoCoreError, ClientError, PlatformNotDeployed) as error:
        say(f"{options.env.name}: {error}", sys.stderr)
        return ExitCode.UNAVAILABLE
    except (Refused, ValueError) as refused:
        say(str(refused), sys.stderr)
        return ExitCode.REFUSED
    except NotConfirmed as error:
        say(f"nothing was changed: {error}", sys.stderr)
        return ExitCode.NOT_CONFIRMED
    return ExitCode.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.rules", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="check a file with rules; asks no AWS")
    show = commands.add_parser("show", help="what stable and candidate follow, and who changed it last")
    put = commands.add_parser("put", help="override the rules of the stable version, in an emergency")
    withdraw = commands.add_parser("withdraw", help="end the override")
    for command in (check, put):
        command.add_argument("file", type=Path, metavar="FILE", help="JSON as lambdas/payments/fraud_rules.json")
    for command in (show, put, withdraw):
        command.add_argument("--env", required=True, type=environment_name, help="environment, such as dev")
    for command in (put, withdraw):
        command.add_argument("--reason", required=True, type=_reason, help="why; recorded with your identity")
        command.add_argument("--yes", action="store_true", help="do not ask, even for prod")
    for command, run in ((check, _check), (show, _show), (put, _put), (withdraw, _withdraw)):
        command.set_defaults(run=run)
    return parser


def _reason(text: str) -> str:
    if not text.strip() or len(text) > override.MOST_REASON or not text.isprintable():
        raise argparse.ArgumentTypeError(f"one line of 1 to {override.MOST_REASON} characters")
    return text.strip()


def _check(options: argparse.Namespace) -> None:
    say(f"{options.file}: {_summary(load(options.file))}")


def _summary(document: Document) -> str:
    off = sorted(FIELDS.keys() - document.rules.values.keys())
    rules = f"{len(document.rules.values)} rules, review from {document.rules.review_at}"
    return f"{rules}, decline from {document.rules.decline_at}; off: {', '.join(off) or 'none'}"


def _show(options: argparse.Namespace) -> None:
    parameters = _parameters(options.env)
    value, _ = parameters.read()
    for each in parameters.deployed():
        say(_line(each, effect(value, each)))
    say(f"\n{parameters.name}, newest first:")
    for past in parameters.history():
        made = override_of(past["value"])
        say(f"  {past['number']:>3}  {past['changed']}  {_told(made) if made else 'no override'}")


def _told(made: dict[str, object]) -> str:
    verb = "override" if made.get("replaces") else "withdrawn"
    return f"{verb} by {made.get('by')}: {made.get('reason')}"


def _put(options: argparse.Namespace) -> None:
    document = load(options.file)
    parameters = _parameters(options.env)
    stable, candidate = parameters.deployed()
    value = override.made(document.values, stable.rules, parameters.who(), options.reason)
    say(f"{options.env.name}: {_summary(document)}")
    if stable.rules == {shipped().version.removeprefix("shipped-")}:
        own = {"review_at": shipped().review_at, "decline_at": shipped().decline_at, "rules": shipped().values}
        for change in list(override.changes(own, document.values)) or ["as shipped"]:
            say(f"  {change}")
    elif stable.rules:
        say("  this checkout ships other rules than stable: use stable's commit, whose rules its functions know")
    for each in (stable, candidate):
        say(_line(each, effect(value, each)))
    if candidate.rules and not candidate.rules <= stable.rules:
        say("The candidate ships other rules. It follows its own, with any traffic; its promotion ends this override.")
    _change(parameters, options, value)
    say("Functions follow within a minute. Commit these rules, too: the next version with others ends the override.")


def _withdraw(options: argparse.Namespace) -> None:
    parameters = _parameters(options.env)
    if not (override_of(parameters.read()[0]) or {}).get("replaces"):
        say(f"{options.env.name} has no override")
        return
    value = override.withdrawn(parameters.who(), options.reason)
    for each in parameters.deployed():
        say(_line(each, effect(value, each)))
    _change(parameters, options, value)


def _change(parameters: Parameters, options: argparse.Namespace, value: str) -> None:
    _, before = parameters.read()
    if options.env.requires_approval and not options.yes:
        _confirm(options.env.name)
    number = parameters.write(value)
    say(f"written: {parameters.name}, number {number}")
    if number != before + 1:
        say(f"Somebody else wrote number {number - 1} meanwhile, and this replaced it: look at `show`.")


def _confirm(environment: str) -> None:
    sys.stdout.write(f"This changes live payments of {environment} at once, without a gate. Type its name to go on: ")
    sys.stdout.flush()
    if not sys.stdin.isatty():
        raise NotConfirmed("nobody could be asked; a terminal, or --yes")
    if sys.stdin.readline().strip() != environment:
        raise NotConfirmed(f"the answer was not {environment}")


def _parameters(environment: Environment) -> Parameters:
    return Parameters(session(environment.region, environment.name), environment.name)


def _line(deployed: Deployed, text: str) -> str:
    return f"  {deployed.role:<9}  version {deployed.functions}  {text}"


if __name__ == "__main__":
    sys.exit(main())
