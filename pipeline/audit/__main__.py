"""Verifies a day of an environment's audit log.

    python -m pipeline.audit verify --env dev --day 2026-01-31

Reads the audit bucket and the transactions of that day (UTC) with the caller's credentials. ``AWS_ENDPOINT_URL``
selects a local cloud. Exit codes: 0 the log is whole; 1 it is broken (the first broken record is listed first);
2 usage; 3 the log could not be read, so its state is unknown.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from lambdas.payments.transactions import timestamp
from pipeline.audit.day import Day, RecordNotRead
from pipeline.audit.verification import verify

_MOST_BREAKS_SHOWN = 20


class ExitCode(IntEnum):
    WHOLE = 0
    BROKEN = 1
    USAGE = 2
    NOT_READ = 3


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.audit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    verification = commands.add_parser("verify", help="verify a day, and name its first broken record")
    verification.add_argument("--env", required=True, help="environment, such as dev")
    verification.add_argument(
        "--day", type=date.fromisoformat, default=datetime.now(UTC).date(), help="YYYY-MM-DD in UTC, default today"
    )
    options = parser.parse_args(arguments)
    try:
        return _verify(options.env, options.day)
    except RecordNotRead as error:
        print(f"{options.env} {options.day}: not verified, because a record can't be read: {error}", file=sys.stderr)
        return ExitCode.NOT_READ
    except (BotoCoreError, ClientError) as error:
        print(f"{options.env} {options.day}: not verified, because AWS did not answer: {error}", file=sys.stderr)
        return ExitCode.NOT_READ


def _verify(environment: str, day: date) -> int:
    stored = Day.of_environment(boto3.Session(), environment, day)
    ledger, under_way_since = stored.transactions(), timestamp(datetime.now(UTC) - timedelta(minutes=1))
    result = verify(stored.records(), ledger, stored.record)
    unfinished = [each.transaction_id for each in ledger if not each.settled and each.created_at < under_way_since]
    print(f"{environment} {day}: {result.records} records in {result.chains} chains")
    if unfinished:
        print(f"{len(unfinished)} transactions are pending without an outcome, the first {unfinished[0]}")
    for found in result.breaks[:_MOST_BREAKS_SHOWN]:
        print(f"BROKEN {found.key}: {found.reason}")
    if result.breaks:
        print(f"{len(result.breaks)} broken; the bucket keeps the earlier versions of changed and deleted records")
        return ExitCode.BROKEN
    print("whole")
    return ExitCode.WHOLE


if __name__ == "__main__":
    sys.exit(main())
