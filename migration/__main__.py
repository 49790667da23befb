"""Moves another payment system to an environment of this platform, with no downtime (docs/migration.md).

The environment must have the setting ``migration``. ``AWS_ENDPOINT_URL`` selects a local cloud. Each command has
examples in its own ``--help``.

Exit codes: 0 done; 1 rows were rejected, or the two sides differ: the output says where; 2 usage; 3 nothing is proven
yet; 4 AWS or the old system did not answer, or the environment has no migration. `cutover` has those of a release.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from migration import cutover, export, follow, load, reconcile, repair, shadow, skip, status, verify
from migration.outcome import ExitCode, Failed, Inconclusive, Unavailable
from pipeline.aws import OtherEnvironment, PlatformNotDeployed
from pipeline.output import say

COMMANDS: tuple[Any, ...] = (load, follow, skip, status, verify, repair, shadow, reconcile, cutover, export)
"""The modules of the commands, each with ``register(commands)``, which adds its own by ``arguments.add_command``."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m migration", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.register(commands)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except OtherEnvironment as error:
        return _end(ExitCode.USAGE, error)
    except Failed as error:
        return _end(ExitCode.FAILED, error)
    except Inconclusive as error:
        return _end(ExitCode.INCONCLUSIVE, error)
    except (Unavailable, PlatformNotDeployed, BotoCoreError, ClientError) as error:
        return _end(ExitCode.UNAVAILABLE, error)


def _end(code: ExitCode, error: Exception) -> int:
    say(str(error), sys.stderr)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
