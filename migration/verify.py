"""Compares customers and merchants of the old system with those here, row by row, while both change.

    export MIGRATION_SOURCE=postgresql://reader@cards.example.com/cards PGPASSWORD=…
    python -m migration verify --env prod
    python -m migration verify --env prod --lag 120      # changes take up to two minutes to get here

It compares counts, sums of limits and digests of all rows, and names the rows that differ by their keys. A row that
differs is looked at again after --lag seconds, when the changes before it have arrived: what is on its way is no
difference. Nothing is written. The payments of the history are compared by `reconcile`.

The old system's database needs PostgreSQL 16, a login that may read, and tables or views `customers`, `merchants`,
`merchant_customers` and perhaps `merchant_principals`, with the columns that are exported (docs/migration.md). Report:
verify.json in the folder of --reports.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lambdas.payments.card_text import mask_card_numbers
from migration import arguments, source
from migration.differences import Comparison, Stretch, compare, wait
from migration.function import MigrationFunction
from migration.outcome import ExitCode, Failed, Inconclusive
from migration.source import Source
from migration.target import Target
from pipeline.output import say
from reporting.text import one_line

MOST = 1000
"""Rows of a table that are named. Where more differ, a load is missing, and no repair."""
_LONGEST_WAIT_SECONDS = 600.0


def register(commands: Any) -> None:
    add_options(arguments.add_command(commands, "verify", _run, help="compare customers and merchants, row by row"))


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options of a command that compares the two sides."""
    source.add_argument(command)
    command.add_argument(
        "--lag", type=_seconds, default=30.0, metavar="SECONDS",
        help="in which a change of the old system gets into a file here (default: %(default)g)",
    )  # fmt: skip
    command.add_argument(
        "--reports", type=Path, default=Path("migration-reports"), metavar="FOLDER", help="default: %(default)s"
    )


def _run(options: argparse.Namespace) -> ExitCode:
    old, here = Source(source.connect(options.source)), Target(MigrationFunction(options.env).call)
    found = compare_all(old, here, options.lag)
    say("\n".join(lines(found)))
    write_report(found, options)
    check(found)
    return ExitCode.DONE


def compare_all(old: Source, here: Target, lag: float, tables: Sequence[str] = ()) -> list[Comparison]:
    """``tables``: those that the old system has, if none are given. Raises ``Inconclusive`` when what waits here is not
    applied in time, and ``Unavailable``."""

    def arrived() -> None:
        wait(lag, here.lag, _LONGEST_WAIT_SECONDS)

    try:
        return [compare(old, here, table, most=MOST, arrived=arrived) for table in tables or old.tables()]
    except TimeoutError:
        raise Inconclusive(
            f"changes wait here for {_LONGEST_WAIT_SECONDS / 60:g} minutes: `python -m migration status` says why"
        ) from None


def check(found: Iterable[Comparison]) -> None:
    """Raises ``Failed`` if the sides differ, and ``Inconclusive`` if rows never stood still."""
    found = list(found)
    if differing := [each.table for each in found if each.differs]:
        raise Failed(f"the two sides differ in {', '.join(differing)}: `python -m migration repair` applies these rows")
    if partly := [each.table for each in found if each.more]:
        raise Inconclusive(
            f"more rows of {', '.join(partly)} differed at first than were looked at again: try again when fewer change"
        )
    if not any(each.there["rows"] or each.here["rows"] for each in found):
        raise Inconclusive("neither side has a row: nothing is proven. Is it the right source, and is it loaded here?")
    if moving := sum(len(each.unsettled) for each in found):
        raise Inconclusive(
            f"{moving} rows changed at each look, and nothing is known of them: try again with less --lag"
        )


def lines(found: Iterable[Comparison]) -> Iterable[str]:
    """What people read."""
    for each in found:
        alike = "differs" if each.differs else "unsettled" if each.unsettled or each.more else "alike"
        on_its_way = f", {each.in_flight:,} of them on their way at first" if each.in_flight else ""
        yield f"{each.table}: {alike}; {each.there['rows']:,} rows there, {each.here['rows']:,} here{on_its_way}"
        if each.differs:
            for name in sorted(each.there.keys() | each.here.keys()):
                there, here = each.there.get(name, 0), each.here.get(name, 0)
                if there != here and name != "rows":
                    yield f"  {name}: {there:,} there, {here:,} here"
        yield from (f"  {_stretch(stretch)}" for stretch in each.stretches)
        yield from (f"  {shown(one.key)} {one.kind}" for one in each.differences)
        yield from (f"  {shown(key)} changes all the time" for key in each.unsettled)
        if each.more:
            yield f"  … and more: only the first {len(each.differences):,} are named"


def shown(key: str) -> str:
    """A key of the old system as text in a line. What may be a card number is masked."""
    return one_line(mask_card_numbers(key))


def _stretch(stretch: Stretch) -> str:
    low, high = (
        f"{word} {shown(key)}" if key else "" for word, key in zip(("from", "to before"), stretch.chunk, strict=True)
    )
    return f"{stretch.rows:,} rows {low} {high}: each {stretch.kind}".replace("  ", " ")


def write_report(found: Sequence[Comparison], options: argparse.Namespace) -> None:
    """Write ``verify.json``. Keys are masked, as on the terminal."""
    document = {
        "environment": options.env.name,
        "alike": not any(each.differs or each.unsettled or each.more for each in found),
        "tables": [
            asdict(each)
            | {
                "differences": [{"key": shown(one.key), "kind": one.kind} for one in each.differences],
                "stretches": [_stretch(one) for one in each.stretches],
                "unsettled": [shown(key) for key in each.unsettled],
            }
            for each in found
        ],
    }
    options.reports.mkdir(parents=True, exist_ok=True)
    (options.reports / "verify.json").write_text(json.dumps(document, indent=2) + "\n")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 1 to 3600")
    return seconds
