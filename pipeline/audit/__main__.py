"""Verifies a day of an environment's audit log.

    python -m pipeline.audit verify --env dev --day 2026-01-31

Reads the audit bucket and the transactions of that day (UTC) with the caller's credentials; ``AWS_ENDPOINT_URL`` leads
to a local cloud. Exit codes: 0 the log is whole, 1 it is not (the first broken record is named first), 2 usage.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import boto3

from pipeline.audit.day import Day
from pipeline.audit.verification import verify

_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.audit", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    verification = commands.add_parser("verify", help="verify a day; exit code 1 and the first broken record if broken")
    verification.add_argument("--env", required=True, help="environment, such as dev")
    verification.add_argument(
        "--day", type=date.fromisoformat, default=datetime.now(UTC).date(), help="YYYY-MM-DD in UTC, default today"
    )
    options = parser.parse_args(arguments)
    return _verify(options.env, options.day)


def _verify(environment: str, day: date) -> int:
    stored = Day.of_environment(boto3.Session(), environment, day)
    verdict = verify(stored.records(), stored.settled(), stored.earlier)
    unfinished = stored.pending(before=datetime.now(UTC) - timedelta(minutes=1))
    print(f"{environment} {day}: {verdict.records} records in {verdict.chains} chains")
    if unfinished:
        print(f"{len(unfinished)} transactions are pending, never answered for, the first {unfinished[0]}")
    for found in verdict.breaks[:_SHOWN]:
        print(f"BROKEN {found.key}: {found.reason}")
    if verdict.breaks:
        print(f"{len(verdict.breaks)} broken; the bucket's versions hold what was there before")
        return 1
    print("whole")
    return 0


if __name__ == "__main__":
    sys.exit(main())
