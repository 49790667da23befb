"""Verifies a day of an environment's books: ledger, audit log and seals, held against each other.

    python -m pipeline.audit verify --env dev --day 2026-01-31
    python -m pipeline.audit verify --env dev --json
    python -m pipeline.audit verify --env dev --key seals-key.der

Reads the audit bucket and the transactions of that day (UTC) with the caller's credentials. ``AWS_ENDPOINT_URL``
selects a local cloud. Exit codes: 0 the books are whole; 1 they are broken (the first fault is listed first);
2 usage; 3 they could not be read, so their state is unknown; 4 records and ledger agree, and no seal vouches for them
that should; 5 they are whole, and something is pending for over 15 minutes, which the sweeper should have finished.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

import names
from environments import Environment
from lambdas.books.seal_verification import read_seals
from lambdas.books.stored import StoredBooks, StoredSeals
from lambdas.books.verification import NotRead, verify
from lambdas.payments.examination import utc_now
from lambdas.payments.sweeping import STALE
from lambdas.payments.transactions import timestamp
from pipeline.arguments import environment_name
from pipeline.audit.public_key import NoKey, PublicKeys
from pipeline.audit.report import Report
from pipeline.aws import OtherEnvironment, PlatformNotDeployed, PlatformOutputs, require_variables_of, session
from pipeline.output import say


class ExitCode(IntEnum):
    WHOLE = 0
    BROKEN = 1
    USAGE = 2
    NOT_READ = 3
    NOT_SEALED = 4
    UNFINISHED = 5


def main(arguments: Sequence[str] | None = None, clock: Callable[[], datetime] = utc_now) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.audit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    verification = commands.add_parser("verify", help="verify a day, and name its first fault")
    verification.add_argument("--env", required=True, type=environment_name, help="environment, such as dev")
    verification.add_argument(
        "--day", type=date.fromisoformat, default=clock().date(), help="YYYY-MM-DD in UTC, default today"
    )
    verification.add_argument("--json", action="store_true", help="print the result as JSON")
    verification.add_argument(
        "--key", type=Path, action="append", default=[], metavar="FILE",
        help="public key of the seals (DER) that you have kept; repeat it for older keys. Default: the account's own",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.day > clock().date():
        parser.error(f"{options.day} has not begun (UTC)")
    try:
        report = _verify(options.env, options.day.isoformat(), options.key, clock())
    except (NoKey, OtherEnvironment) as error:
        parser.error(str(error))
    except NotRead as error:
        say(f"{options.env.name} {options.day}: not verified, because a record can't be read: {error}", sys.stderr)
        return ExitCode.NOT_READ
    except PlatformNotDeployed as error:
        say(f"{options.env.name} {options.day}: not verified: {error}", sys.stderr)
        return ExitCode.NOT_READ
    except (BotoCoreError, ClientError) as error:
        say(f"{options.env.name} {options.day}: not verified, because AWS did not answer: {error}", sys.stderr)
        return ExitCode.NOT_READ
    say(json.dumps(report.to_json(), indent=2) if options.json else "\n".join(report.lines()))
    if report.breaks:
        return ExitCode.BROKEN
    if not report.sealed:
        return ExitCode.NOT_SEALED
    return ExitCode.UNFINISHED if report.stale else ExitCode.WHOLE


def _verify(environment: Environment, day: str, keys: Sequence[Path], now: datetime) -> Report:
    """The outputs of the environment's stack name the bucket and the table."""
    require_variables_of(environment.name)
    aws = session(environment.region)
    s3, dynamodb, kms = aws.client("s3"), aws.client("dynamodb"), aws.client("kms")
    check = PublicKeys(keys, kms, names.key_alias(names.SEALS, environment.name))
    outputs = PlatformOutputs.read(environment.stack_name, aws)
    bucket, table = outputs["AuditLogBucket"], outputs["TransactionTableName"]
    seals = read_seals(StoredSeals(s3=s3, bucket=bucket), check, environment.name, day, now)
    books = verify(StoredBooks(s3=s3, dynamodb=dynamodb, bucket=bucket, table=table, day=day))
    under_way_since, stale_since = (timestamp(now.astimezone(UTC) - age) for age in (timedelta(minutes=1), STALE))
    return Report(
        environment=environment.name,
        day=day,
        books=books,
        seals=seals,
        unfinished=[row.transaction_id for row in books.pending if str(row.under_way_since) < under_way_since],
        stale=any(str(row.under_way_since) < stale_since for row in books.pending),
        key_source=check.source,
    )


if __name__ == "__main__":
    sys.exit(main())
