"""Shows how far a move is: each file, what waits, and the lag of the changes.

    python -m migration status --env prod
    python -m migration status --env prod --json

It reads only.
"""

import argparse
import json
from typing import Any

from migration.arguments import add_command
from migration.function import MigrationFunction
from migration.outcome import ExitCode
from migration.telling import lines, summary
from pipeline.output import say


def register(commands: Any) -> None:
    command = add_command(commands, "status", run, help="show how far the move is")
    command.add_argument("--json", action="store_true", help="print everything as JSON")


def run(options: argparse.Namespace) -> ExitCode:
    answer = MigrationFunction(options.env).call({"command": "status"})
    if options.json:
        say(json.dumps(answer, indent=2))
        return ExitCode.DONE
    for file in answer["files"]:
        if file["state"] == "waiting":
            say(f"… {file['file']}: waits, {file['bytes']:,} bytes")
        else:
            for line in lines(file):
                say(line)
    if more := answer.get("more"):
        say(f"… and {more:,} more, the oldest of those that are done")
    if not answer["files"]:
        say("the migration bucket holds no files of a move")
    say(summary(answer))
    return ExitCode.DONE
