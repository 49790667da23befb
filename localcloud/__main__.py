"""``python -m localcloud start|stop|status|env|url|age|failover|set ENVIRONMENT``: manage one local cloud by hand.

``age --days N`` makes all objects in S3 N days older and applies the buckets' lifecycle transitions, as S3 does daily.
``env`` prints the variables that a client needs, as shell exports: ``eval "$(python -m localcloud env dev)"``.
``url`` prints the URL of the deployed API.
``failover`` makes the database's reader its writer and waits: every connection ends, and none is accepted meanwhile.
``set dev NAME=VALUE`` changes a setting of the running cloud, until it stops: ``metric_minute_seconds=0`` to see
metrics at once, or ``executed_version=always``.
Exit codes: 0 done (``status``: it runs), 1 failed (``status``: it or its database does not run), 2 usage.
"""

import argparse
import shlex
import sys
from enum import IntEnum
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from environments import Environment, environment
from localcloud import LocalCloud, LocalCloudError
from localcloud.failover import database, fail_over
from localcloud.settings import UnknownSetting

UNSET_REAL_ACCOUNT = "unset AWS_SESSION_TOKEN AWS_PROFILE AWS_DEFAULT_PROFILE PLATFORM_ROLE_ARN"
UNREACHABLE_CLOUD = (
    f"{UNSET_REAL_ACCOUNT};"
    " export AWS_ENDPOINT_URL=https://127.0.0.1:9 AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none"
)
"""Printed by ``env`` when the local cloud does not run, so that the shell's next command fails. With the shell's own
variables that command would reach the person's real account."""

DEFAULT_STATE = Path(".pipeline/clouds")


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m localcloud", description=__doc__)
    parser.add_argument("command", choices=("start", "stop", "status", "env", "url", "age", "failover", "set"))
    parser.add_argument("environment", help="dev, staging, prod or the name of an ephemeral environment")
    parser.add_argument("assignment", nargs="?", metavar="NAME=VALUE", help="of set: the setting")
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, help="folder of the local clouds' files")
    parser.add_argument("--days", type=int, default=1, help="for age: days by which objects in S3 get older, default 1")
    chosen = parser.parse_args(arguments)
    if chosen.days < 1:
        parser.error("--days: at least 1, because objects get no younger")
    if (chosen.command == "set") != (chosen.assignment is not None):
        parser.error("`set` needs NAME=VALUE, and no other command has it")
    try:
        settings = environment(chosen.environment)
        cloud = LocalCloud(settings.name, chosen.state)
    except ValueError as error:
        parser.error(str(error))
    try:
        if chosen.command == "set":
            cloud.change(chosen.assignment)
            print(f"{cloud.name}: {chosen.assignment}")
            return ExitCode.DONE
        return _run(chosen.command, settings, cloud, days=chosen.days)
    except UnknownSetting as error:
        parser.error(str(error))
    except (LocalCloudError, BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return ExitCode.FAILED
    except OSError as error:
        print(f"{error}\nIs the disk full, or does {chosen.state} belong to another user?", file=sys.stderr)
        return ExitCode.FAILED


def _run(command: str, settings: Environment, cloud: LocalCloud, *, days: int) -> int:
    if command == "start":
        cloud.start(account=settings.account, region=settings.region)
        print(f"{cloud.name}: running at {cloud.endpoint}, log {cloud.log_path}")
    elif command == "stop":
        cloud.stop()
        print(f"{cloud.name}: stopped")
    elif not cloud.is_running():
        print(f"{cloud.name}: not running", file=sys.stderr)
        if command == "env":
            print(UNREACHABLE_CLOUD)
        return ExitCode.FAILED
    elif command == "age":
        moved = cloud.ask("age", days=days)
        print(*moved, f"{cloud.name}: objects are {days} days older, {len(moved)} moved", sep="\n")
    elif command == "status":
        print(f"{cloud.name}: running at {cloud.endpoint}, log {cloud.log_path}")
        return _report_database(cloud)
    elif command == "url":
        print(_api_url(settings, cloud))
    elif command == "failover":
        after, seconds = fail_over(cloud)
        print(f"{cloud.name}: the database failed over in {seconds:.0f} s, its writer is {after.writer}")
    else:
        print(UNSET_REAL_ACCOUNT)
        for name, value in cloud.environ().items():
            print(f"export {name}={shlex.quote(value)}")
    return ExitCode.DONE


def _api_url(settings: Environment, cloud: LocalCloud) -> str:
    """Raises ``LocalCloudError`` when the environment is not deployed."""
    try:
        [stack] = cloud.client("cloudformation").describe_stacks(StackName=settings.stack_name)["Stacks"]
        [url] = [each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == "ApiGatewayUrl"]
    except (ClientError, KeyError, ValueError) as error:
        raise LocalCloudError(f"{cloud.name} is not deployed: `make promote` deploys it") from error
    return str(url)


def _report_database(cloud: LocalCloud) -> int:
    found = database(cloud)
    if found is None:
        return ExitCode.DONE
    if found.status == "failed":
        print(
            f"{cloud.name}: its database is gone, and the data with it: read {cloud.log_path}, then start"
            f" again with `python -m localcloud stop {cloud.name}`",
            file=sys.stderr,
        )
        return ExitCode.FAILED
    print(f"{cloud.name}: database {found.cluster} {found.status}, writer {found.writer}")
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
