"""The arguments that all commands of the migration take."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from migration.outcome import ExitCode
from pipeline.arguments import environment_name

Run = Callable[[argparse.Namespace], ExitCode]
"""Does the work of a command. Raises ``Failed``, ``Inconclusive`` and ``Unavailable``, and the SDK's errors."""


def add_command(commands: Any, name: str, run: Run, *, help: str) -> argparse.ArgumentParser:
    """Add the command ``name``. Its ``description`` is the docstring of the module of ``run``."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=sys.modules[run.__module__].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--env", required=True, type=environment_name, help="environment, such as dev")
    command.set_defaults(run=run)
    return command
