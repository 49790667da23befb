"""Accept a finding: write an entry into the table of acknowledgements.

Synthesis and checkov print this command, with finding and construct, for each finding that nobody has accepted. Reason,
owner and date are asked for when they are not given. An entry is a debt with a date: prefer to fix the finding.

    python -m pipeline.compliance acknowledge --construct Platform/Storage/Logs/Resource --finding checkov::CKV_AWS_18
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from datetime import date
from enum import IntEnum
from pathlib import Path
from tempfile import NamedTemporaryFile

from pipeline.compliance.acknowledgements import (
    ENVIRONMENTS,
    HEADER,
    LONGEST,
    TABLE,
    MalformedAcknowledgements,
    load,
    owners,
)
from pipeline.output import say


class ExitCode(IntEnum):
    WRITTEN = 0
    REFUSED = 1
    USAGE = 2


class Refused(Exception):
    """The entry can't be written. The message says why; the table is as before."""


def main(arguments: list[str] | None = None, *, table: Path = TABLE, today: date | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        line = acknowledge(options, table, today or date.today())
    except (Refused, MalformedAcknowledgements, OSError) as error:
        say(f"Not written: {error}", sys.stderr)
        return ExitCode.REFUSED
    say(f"Written: {table.name}:{line}. Commit it; a reviewer judges the reason.")
    return ExitCode.WRITTEN


def acknowledge(options: argparse.Namespace, table: Path, today: date) -> int:
    """Add the entry of ``options`` to ``table``, and return its line. Raises ``Refused``; then nothing has changed."""
    reason = options.reason or _ask("reason", "Why may this stay as it is?")
    owner = options.owner or _ask("owner", f"Who answers for it ({', '.join(owners(table))})?")
    expires = _date(options.expires or _ask("expires", "Looked at again on (YYYY-MM-DD, within a year)?"), today)
    before = table.read_text()
    entry = _entry(options.construct, options.finding, options.env, reason, owner, expires)
    _replace(table, f"{before.rstrip()}\n\n{entry}")
    return load(table)[-1].line


def _ask(option: str, question: str) -> str:
    if not sys.stdin.isatty():
        raise Refused(f"--{option} is missing, and there is no terminal to ask at")
    answer = input(f"{question} ").strip()
    if not answer:
        raise Refused(f"no {option} was given")
    return answer


def _date(text: str, today: date) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise Refused(f"{text!r} is no date of the form YYYY-MM-DD") from None
    if not today < found <= today + LONGEST:
        raise Refused(f"{found} is not within the next year: an acceptance is looked at again by {today + LONGEST}")
    return found


def _entry(
    constructs: list[str], findings: list[str], environments: list[str] | None, reason: str, owner: str, expires: date
) -> str:
    """The entry as TOML. A JSON string is a string of TOML too (TOML 1.0.0, "String")."""
    values: Mapping[str, object] = {"constructs": constructs, "findings": findings, "reason": reason, "owner": owner}
    lines = [HEADER, *(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())]
    lines.append(f"expires = {expires.isoformat()}")
    if environments:
        lines.append(f"environments = {json.dumps(environments)}")
    return "\n".join(lines) + "\n"


def _replace(table: Path, content: str) -> None:
    """Write ``content`` at once, and only if it is a right table."""
    with NamedTemporaryFile("w", dir=table.parent, prefix=f".{table.name}-", delete=False) as new:
        new.write(content)
    try:
        load(Path(new.name))
        os.chmod(new.name, table.stat().st_mode)
        os.replace(new.name, table)
    except MalformedAcknowledgements as error:
        raise Refused(str(error).replace(Path(new.name).name, table.name)) from error
    finally:
        Path(new.name).unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.compliance",
        description=__doc__,
        epilog="Exit codes: 0 written, 1 refused and nothing written, 2 usage.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command = parser.add_subparsers(dest="command", required=True, metavar="COMMAND").add_parser(
        "acknowledge", help="accept a finding, with a reason, an owner and a date", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.add_argument("--construct", action="append", required=True, help="path of the construct; may be repeated")
    command.add_argument(
        "--finding", action="append", required=True, help="long id, such as checkov::CKV_AWS_18; may be repeated"
    )
    command.add_argument(
        "--env",
        action="append",
        choices=ENVIRONMENTS,
        help="only in this environment; may be repeated",
    )
    command.add_argument("--reason", help="why it may stay as it is, for a reviewer and an assessor")
    command.add_argument("--owner", help="who answers for it: one of the list at the head of the table")
    command.add_argument("--expires", metavar="DATE", help="when it is looked at again: YYYY-MM-DD, within a year")
    return parser


if __name__ == "__main__":
    sys.exit(main())
