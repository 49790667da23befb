"""Loads the old system's customers and merchants from the files of a full load in the migration bucket.

    python -m migration load --env prod
    python -m migration load --env prod --file dms/public/customers/LOAD00000001.csv
    python -m migration load --env prod --again dms/public/customers/LOAD00000001.csv

Without a file it loads every file that is not loaded yet: customers and merchants before those that refer to them. Each
file is merged in one transaction, and a report is put beside it. The command may be ended and given again at any time:
it goes on where it was. Rows that are rejected are named with line, column and reason; correct them at the old system,
export again, and load again: what is right already stays untouched. A file of which every row was taken is deleted
with its former versions when its rows were read back, because it may hold card numbers. Its report stays.

It ends with 1 when a row was rejected or a file was refused.
"""

import argparse
import json
from typing import Any

from migration.arguments import add_command
from migration.function import MigrationFunction
from migration.outcome import ExitCode, Failed
from migration.telling import lines
from pipeline.output import say


def register(commands: Any) -> None:
    command = add_command(commands, "load", run, help="load the files of a full load")
    one = command.add_mutually_exclusive_group()
    one.add_argument("--file", metavar="KEY", help="this file only: its key in the migration bucket")
    one.add_argument("--again", metavar="KEY", help="the same, from its first line on, although it is loaded")
    command.add_argument("--json", action="store_true", help="print the report of each file, a line each")


def run(options: argparse.Namespace) -> ExitCode:
    file = options.file or options.again
    event = {"command": "load", **({"file": file} if file else {}), "again": bool(options.again)}
    rejected, refused, files = 0, 0, 0
    for answer in MigrationFunction(options.env).calls(event):
        if answer["state"] == "waiting":
            raise Failed(f"{answer['file']}: {answer['reason']}")
        if answer["state"] == "idle":
            break
        for line in [json.dumps(answer["report"])] if options.json else lines(answer):
            say(line)
        if answer["state"] == "reading":
            continue
        files += 1
        rejected += answer["report"]["rejected"]
        refused += answer["state"] == "refused"
        if file:
            break
    if refused or rejected:
        raise Failed(f"{files} files: {refused} were refused, and {rejected:,} rows were rejected")
    if not options.json:
        say(f"{files} files are loaded" if files else "there is nothing to load")
    return ExitCode.DONE
