"""Holds a day's payments of both systems against each other: each was taken by one of them, and stands there as here.

    python -m migration reconcile --env prod --day 2026-12-01
    python -m migration reconcile --env prod --day 2026-12-01 --exported --json

Reads the old system's ``payments`` (``--source``) and the ledger of the environment with the caller's credentials. What
the old system took must be imported here with the same amount and status. With ``--exported``, what was taken here must
be there too: after the way back. What differs is looked at twice more, because it may be on its way.

Exit codes: 0 it is so; 1 it is not, and each difference is named; 3 a payment of the day is still being recorded, or
neither system took one, so that nothing is proven; 4 one of the two could not be read.
"""

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple

from lambdas.payments.card_text import mask_card_numbers
from lambdas.payments.money import CURRENCIES, Money
from migration import source
from migration.arguments import add_command
from migration.ledgers import Days, Ledger, Payment, old_system, platform
from migration.outcome import ExitCode
from pipeline.aws import PlatformOutputs, session
from pipeline.output import say

WAIT_SECONDS: Final = 30.0
_LOOKS: Final = 3
_MOST_SHOWN: Final = 50
_REFUSED: Final = "declined"
_FIELDS: Final = ("merchant_id", "customer_id", "currency", "minor", "status", "given_back")


class Difference(NamedTuple):
    """A payment that is not in the two ledgers as it must be. ``id``: in the system that took it."""

    id: str
    kind: str
    there: str
    here: str

    def __str__(self) -> str:
        sides = f": {self.there} there, {self.here} here" if self.there else ""
        return f"{mask_card_numbers(self.id)}: {self.kind}{sides}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Payments of one currency and status, as the two ledgers have them: those that the old system took (``old``), and
    those that were taken here (``new``). Sums are in minor units."""

    currency: str
    status: str
    old_there: int = 0
    old_there_minor: int = 0
    old_here: int = 0
    old_here_minor: int = 0
    new_there: int = 0
    new_there_minor: int = 0
    new_here: int = 0
    new_here_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """Of one day."""

    day: str
    exported: bool
    totals: tuple[Total, ...]
    differences: tuple[Difference, ...]
    unsettled: tuple[str, ...]
    """Payments here of which something is being recorded for longer: ask again."""
    payments: int = field(default=0)
    """How many the two systems took together."""

    @property
    def code(self) -> ExitCode:
        if self.differences:
            return ExitCode.FAILED
        return ExitCode.INCONCLUSIVE if self.unsettled or not self.payments else ExitCode.DONE

    def to_json(self) -> dict[str, Any]:
        return {
            "day": self.day,
            "agrees": not self.differences,
            "exported": self.exported,
            "payments": self.payments,
            "totals": [asdict(total) for total in self.totals],
            "differences": [each._asdict() for each in self.differences],
            "unsettled": list(self.unsettled),
        }

    def lines(self) -> Iterator[str]:
        yield f"{self.day}: {self.payments or 'no'} payments"
        yield from map(str.rstrip, _table(self.totals, exported=self.exported))
        for each in self.differences[:_MOST_SHOWN]:
            yield f"DIFFERENT {each}"
        if len(self.differences) > _MOST_SHOWN:
            yield f"… and {len(self.differences) - _MOST_SHOWN} more: --json names all"
        if self.differences:
            kinds = Counter(each.kind for each in self.differences)
            yield f"{len(self.differences)} differ: " + ", ".join(f"{number} {kind}" for kind, number in kinds.items())
        elif self.unsettled:
            number, first = len(self.unsettled), self.unsettled[0]
            yield f"UNFINISHED: {number} payments are being recorded, the first {first}: ask again"
        elif not self.payments:
            yield "NOTHING PROVEN: neither system took a payment of this day: is it the right day, and source?"
        else:
            yield "each payment was taken by one system, and stands the same in both ledgers that must have it"


def reconcile(day: str, there: Ledger, here: Ledger, *, exported: bool) -> Reconciliation:
    """Hold the ledgers of ``day`` against each other. ``exported``: what was taken here must be in the old system."""
    differences = [*_copied(there.own, here.copies, "imported"), *_taken_twice(there.own, here.own)]
    if exported or there.copies:
        found = _copied(here.own, there.copies, "exported")
        differences += [each._replace(there=each.here, here=each.there) for each in found]
    return Reconciliation(
        day=day,
        exported=exported,
        totals=tuple(_totals(there, here)),
        differences=tuple(sorted(differences)),
        unsettled=tuple(sorted(here.unsettled)),
        payments=len(there.own) + len(here.own),
    )


def _copied(own: Mapping[str, Payment], copies: Mapping[str, Payment], how: str) -> Iterator[Difference]:
    """What the system that has ``copies`` has otherwise than the system that took them."""
    for id, payment in own.items():
        copy = copies.get(id)
        if copy is None:
            yield Difference(id, f"not {how}", "", "")
            continue
        for name in _FIELDS:
            one, other = getattr(payment, name), getattr(copy, name)
            unsaid = name == "given_back" and None in (one, other)
            if one != other and not unsaid:
                kind = {"minor": "amount", "given_back": "given back"}.get(name, name)
                yield Difference(id, kind, _shown(payment, name), _shown(copy, name))
                break
    for id in copies.keys() - own.keys():
        yield Difference(id, f"{how}, and unknown where it should be from", "", "")


def _shown(payment: Payment, name: str) -> str:
    value = getattr(payment, name)
    return _amount(payment.currency, value) if name in ("minor", "given_back") else str(value)


def _taken_twice(there: Mapping[str, Payment], here: Mapping[str, Payment]) -> Iterator[Difference]:
    """Payments of one order that both systems took. A merchant may reuse its number after a decline."""
    orders: defaultdict[Payment, list[str]] = defaultdict(list)
    for id, payment in there.items():
        if payment.reference and payment.status != _REFUSED:
            orders[payment._replace(status="", given_back=None)].append(id)
    for id, payment in here.items():
        if payment.status != _REFUSED and (twins := orders.get(payment._replace(status="", given_back=None))):
            yield Difference(twins[0], "taken by both", payment.reference, id)


def _totals(there: Ledger, here: Ledger) -> Iterator[Total]:
    sums: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for name, payments in (
        ("old_there", there.own), ("old_here", here.copies), ("new_there", there.copies), ("new_here", here.own),
    ):  # fmt: skip
        for payment in payments.values():
            total = sums[payment.currency, payment.status]
            total[name] += 1
            total[f"{name}_minor"] += payment.minor
    for (currency, status), total in sorted(sums.items()):
        yield Total(currency=currency, status=status, **total)


def _table(totals: tuple[Total, ...], *, exported: bool) -> Iterator[str]:
    heads = ["", "taken there", "imported here", "taken here", *(["exported there"] if exported else [])]
    names = ["old_there", "old_here", "new_here", *(["new_there"] if exported else [])]
    rows = [heads]
    for total in totals:
        amounts = [_amount(total.currency, getattr(total, f"{name}_minor")) for name in names]
        numbers = [getattr(total, name) for name in names]
        cells = [f"{number:,}  {amount:>14}" for number, amount in zip(numbers, amounts, strict=True)]
        rows.append([f"{total.currency} {total.status}", *cells])
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    for first, *others in rows:
        cells = [each.rjust(width) for each, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells])


def _amount(currency: str, minor: int) -> str:
    return str(Money(minor, CURRENCIES[currency])) if currency in CURRENCIES else str(minor)


def read(
    there: Days,
    here: Days,
    day: date,
    *,
    exported: bool,
    wait_seconds: float = WAIT_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> Reconciliation:
    """Read both ledgers, and again after ``wait_seconds`` while they differ or a payment is being recorded: both may be
    at work, and a payment of one on its way to the other. What differs at each of three looks is a
    difference. What is being recorded at each of them is unsettled: under load, something always is at a single one.

    Raises ``Unavailable``.
    """
    looks: list[Reconciliation] = []
    while True:
        old = there(day)
        looks.append(reconcile(day.isoformat(), old, here(day), exported=exported))
        differences = set.intersection(*(set(look.differences) for look in looks))
        unsettled = set.intersection(*(set(look.unsettled) for look in looks))
        if not (differences or unsettled) or len(looks) == _LOOKS:
            return replace(looks[-1], differences=tuple(sorted(differences)), unsettled=tuple(sorted(unsettled)))
        sleep(wait_seconds)


def run(options: argparse.Namespace) -> ExitCode:
    aws = session(options.env.region, options.env.name)
    outputs = PlatformOutputs.read(options.env.stack_name, aws)
    connection = source.connect(options.source)
    try:
        found = read(
            old_system(connection),
            platform(aws.client("s3"), aws.client("dynamodb"), outputs),
            options.day,
            exported=options.exported,
            wait_seconds=options.wait,
        )
    finally:
        connection.close()
    say(json.dumps(found.to_json(), indent=2) if options.json else "\n".join(found.lines()))
    return found.code


def register(commands: Any) -> None:
    command = add_command(commands, "reconcile", run, help="hold a day's payments of both systems against each other")
    source.add_argument(command)
    command.add_argument(
        "--day", type=date.fromisoformat, default=datetime.now(UTC).date(), help="YYYY-MM-DD in UTC, default today"
    )
    command.add_argument("--exported", action="store_true", help="what was taken here must be in the old system, too")
    command.add_argument(
        "--wait", type=float, default=WAIT_SECONDS, metavar="SECONDS",
        help="between two looks at what differs: longer than a change takes to arrive; default %(default)g",
    )  # fmt: skip
    command.add_argument("--json", action="store_true", help="print the result as JSON, with every difference")
