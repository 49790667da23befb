"""Verifies a day of an environment's books: audit log and ledger, held against each other.

    python -m pipeline.audit verify --env dev --day 2026-01-31
    python -m pipeline.audit verify --env dev --json

Reads the audit bucket and the transactions of that day (UTC) with the caller's credentials. ``AWS_ENDPOINT_URL``
selects a local cloud. Exit codes: 0 the books are whole; 1 they are broken (the first fault is listed first);
2 usage; 3 they could not be read, so their state is unknown.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

import names
from lambdas.books.stored import StoredBooks
from lambdas.books.verification import NotRead, Verification, verify
from lambdas.payments.transactions import timestamp

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
    verification = commands.add_parser("verify", help="verify a day, and name its first fault")
    verification.add_argument("--env", required=True, help="environment, such as dev")
    verification.add_argument("--day", type=_day, default=datetime.now(UTC).date(), help="YYYY-MM-DD in UTC, or today")
    verification.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(arguments)
    try:
        return _verify(options.env, options.day, as_json=options.json)
    except NotRead as error:
        print(f"{options.env} {options.day}: not verified, because a record can't be read: {error}", file=sys.stderr)
        return ExitCode.NOT_READ
    except (BotoCoreError, ClientError) as error:
        print(f"{options.env} {options.day}: not verified, because AWS did not answer: {error}", file=sys.stderr)
        return ExitCode.NOT_READ


def _day(text: str) -> date:
    day = date.fromisoformat(text)
    if day > datetime.now(UTC).date():
        raise argparse.ArgumentTypeError(f"{day} has not begun (UTC)")
    return day


def _verify(environment: str, day: date, *, as_json: bool) -> int:
    under_way_since = timestamp(datetime.now(UTC) - timedelta(minutes=1))
    result = verify(_books(boto3.Session(), environment, day))
    unfinished = [row.transaction_id for row in result.pending if str(row.under_way_since) < under_way_since]
    print(json.dumps(_report(environment, day, result, unfinished), indent=2) if as_json else
          "\n".join(_lines(environment, day, result, unfinished)))  # fmt: skip
    return ExitCode.BROKEN if result.breaks else ExitCode.WHOLE


def _books(aws: boto3.Session, environment: str, day: date) -> StoredBooks:
    """The books of the platform of ``environment``. The outputs of its stack name the bucket and the table."""
    stacks = aws.client("cloudformation").describe_stacks(StackName=names.stack(environment))
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks["Stacks"][0]["Outputs"]}
    return StoredBooks(
        s3=aws.client("s3"),
        dynamodb=aws.client("dynamodb"),
        bucket=outputs["AuditLogBucket"],
        table=outputs["TransactionTableName"],
        day=day.isoformat(),
    )


def _report(environment: str, day: date, result: Verification, unfinished: Sequence[str]) -> dict[str, Any]:
    return {
        "environment": environment,
        "day": day.isoformat(),
        "whole": not result.breaks,
        "records": len(result.entries),
        "chains": result.chains,
        "unfinished": unfinished,
        "breaks": [asdict(found) for found in result.breaks],
    }


def _lines(environment: str, day: date, result: Verification, unfinished: Sequence[str]) -> list[str]:
    lines = [f"{environment} {day}: {len(result.entries)} records in {result.chains} chains"]
    if unfinished:
        lines.append(
            f"{len(unfinished)} transactions are pending, or one of their amendments is, the first {unfinished[0]}"
        )
    lines += [f"BROKEN {found.key}: {found.reason}" for found in result.breaks[:_MOST_BREAKS_SHOWN]]
    if result.breaks:
        lines.append(
            f"{len(result.breaks)} broken; the bucket keeps the earlier versions of changed and deleted records"
        )
    return lines if result.breaks else [*lines, "whole"]


if __name__ == "__main__":
    sys.exit(main())
