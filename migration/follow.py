"""Applies the changes of the old system that have arrived in the migration bucket, in their order.

    python -m migration follow --env prod
    python -m migration follow --env prod --columns public.customers=customer_id,status,country,allowed_currencies,email

The platform does this by itself every minute; the command does it now. It ends when nothing waits any more. With
``--for SECONDS`` it looks again until then, such as while traffic is cut over.

When the schema of a table changes at the old system, the changes stop at the first line that has other columns, and the
output names it. ``--columns`` says what the columns are from there on, in their order.

It ends with 1 when a change was rejected, or stopped the others.
"""

import argparse
import re
import time
from typing import Any

from migration.arguments import add_command
from migration.function import MigrationFunction
from migration.outcome import ExitCode, Failed, Inconclusive
from migration.telling import lines, summary
from pipeline.output import say

_AGAIN_SECONDS = 2.0


def register(commands: Any) -> None:
    command = add_command(commands, "follow", run, help="apply the changes that have arrived")
    command.add_argument(
        "--columns", type=_columns, action="append", default=[], metavar="SCHEMA.TABLE=NAME,...",
        help="the columns of a table from the line on at which the changes stopped",
    )  # fmt: skip
    command.add_argument("--for", type=_seconds, default=0.0, dest="seconds", help="go on looking for so many seconds")


def _columns(text: str) -> tuple[str, list[str]]:
    if not re.fullmatch(r"\w+\.\w+=\w+(,\w+)*", text, re.ASCII):
        raise argparse.ArgumentTypeError("write it as public.customers=customer_id,status,country")
    source, _, names = text.lower().partition("=")
    return source, names.split(",")


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 86_400:
        raise argparse.ArgumentTypeError("a number of seconds from 0 to 86400")
    return number


def run(options: argparse.Namespace) -> ExitCode:
    function, ends = MigrationFunction(options.env), time.monotonic() + options.seconds
    event: dict[str, Any] = {"command": "follow", "columns": dict(options.columns)}
    rejected = 0
    while True:
        for answer in function.calls(event):
            if answer["state"] == "waiting":
                raise Inconclusive(f"the changes wait: {answer['reason']}")
            if answer["state"] == "idle":
                break
            for line in lines(answer):
                say(line)
            if answer["state"] == "refused":
                raise Failed(f"the changes stop at line {answer['line'] + 1:,} of {answer['file']}: {summary(answer)}")
            rejected += answer["report"]["rejected"] if answer["state"] == "done" else 0
        event = {"command": "follow"}
        if time.monotonic() >= ends:
            break
        time.sleep(_AGAIN_SECONDS)
    say(summary(answer))
    if rejected:
        raise Failed(f"{rejected:,} changes were rejected")
    return ExitCode.DONE
