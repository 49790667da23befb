"""Gives up the rest of a file, so that the changes after it go on. What was applied of it stays.

    python -m migration skip --env prod --file dms/changes/CDC_TXN-20261129010203456.csv --reason "exported again whole"

A file of changes that was refused, or that is gone from the bucket before it was applied, holds up all later ones:
without it the platform would differ from the old system, and nobody would know. First correct the file and put it under
the same key. Only when that can't be, give it up: its changes are lost then, and `verify` and `repair` bring the rows
in line. A file of a full load that shall never be loaded is given up in the same way. Who did it and why stays in the
file's report and in `status`.
"""

import argparse
from typing import Any

from migration.arguments import add_command
from migration.function import MigrationFunction
from migration.outcome import ExitCode, Failed
from migration.telling import lines
from pipeline.aws import session
from pipeline.output import say
from pipeline.release.cli import who_asks


def register(commands: Any) -> None:
    command = add_command(commands, "skip", run, help="give up the rest of a file that can't be applied")
    command.add_argument("--file", required=True, metavar="KEY", help="its key in the migration bucket")
    command.add_argument("--reason", required=True, help="why its changes may be lost")


def run(options: argparse.Namespace) -> ExitCode:
    by = who_asks(session(options.env.region, options.env.name), moves=True)
    event = {"command": "skip", "file": options.file, "reason": options.reason, "by": by}
    answer = MigrationFunction(options.env).call(event)
    if answer["state"] == "waiting":
        raise Failed(f"{options.file} is not given up: {answer['reason']}")
    for line in lines(answer):
        say(line)
    say("its other changes are lost here: `python -m migration verify` names the rows that differ")
    return ExitCode.DONE
