"""Brings the rows that differ in line with the old system: those and no others.

    python -m migration repair --env prod
    python -m migration repair --env prod --principal arn:aws:iam::111122223333:role/shop

It compares as `verify` does, and applies the old system's row where one is missing or another one here, and deletes
where one is only here, through the merge that files take: the same rules, the same rejections. A row that changes here
meanwhile is left alone. An IAM principal of another merchant is rejected unless it is named: it may pay and look up in
its merchant's name. Then it looks at these rows again. Rows of which a whole stretch is missing are not repaired:
load their file again.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from migration import arguments, source
from migration.differences import Comparison, Difference, Kind
from migration.function import MigrationFunction
from migration.outcome import ExitCode
from migration.source import Source
from migration.target import Target
from migration.verify import add_options, check, compare_all, lines, shown, write_report
from pipeline.output import say

_ROWS_A_CALL = 500


def register(commands: Any) -> None:
    command = arguments.add_command(commands, "repair", _run, help="apply the rows that `verify` names")
    add_options(command)
    command.add_argument(
        "--principal",
        action="append",
        default=[],
        metavar="ARN",
        help="IAM principal that changes its merchant; repeat it",
    )


def _run(options: argparse.Namespace) -> ExitCode:
    old, here = Source(source.connect(options.source)), Target(MigrationFunction(options.env).call)
    found = compare_all(old, here, options.lag)
    say("\n".join(lines(found)))
    if any(each.differences for each in found):
        say("\n".join(repair(old, here, found, options.principal)))
        found = compare_all(old, here, options.lag, [each.table for each in found if each.differs])
        say("\n".join(lines(found)))
    write_report(found, options)
    check(found)
    return ExitCode.DONE


def repair(old: Source, here: Target, found: Sequence[Comparison], named: Sequence[str] = ()) -> list[str]:
    """Apply the differences of ``found``, and say what was done. Rows come after those that they refer to, and go
    before them. ``named``: principals that may change their merchant.

    Raises ``Unavailable`` when other calls move rows for very long.
    """
    told = []
    for each in found:
        there = [one for one in each.differences if one.kind is not Kind.EXTRA]
        told += _applied(each.table, there, here, partial(old.values, each.table), named)
    for each in reversed(found):
        told += _applied(
            each.table, [one for one in each.differences if one.kind is Kind.EXTRA], here, lambda keys: {}, named
        )
    return told


def _applied(
    table: str,
    differences: Sequence[Difference],
    here: Target,
    values: Callable[[Sequence[str]], Mapping[str, Mapping[str, str | None]]],
    named: Sequence[str],
) -> list[str]:
    told = []
    for first in range(0, len(differences), _ROWS_A_CALL):
        some = differences[first : first + _ROWS_A_CALL]
        known = values([one.key for one in some])
        rows = [{"key": one.key, "seen": one.seen, "values": known.get(one.key)} for one in some]
        answer = here.repair(
            table, [row for row in rows if row["values"] is not None or row["seen"] is not None], named
        )
        told.append(f"{table}: {answer['applied']:,} rows repaired")
        told += [f"  {shown(key)} rejected: {column} {reason}" for key, column, reason in answer["rejected"]]
        told += [f"  {shown(key)} has changed here meanwhile: left alone" for key in answer["skipped"]]
    return told
