"""How much a customer, a card and a customer at a merchant did lately: what limits and velocity rules count.

Each of these subjects has one item with a version. A payment reads the items, is decided by them, and is written in one
transaction with their new values, on condition that their versions are still those that were read. So payments are
decided as if they came one after the other, however many functions run at once, and no limit is passed.

What was done is counted in slots of time, fine for the last minutes and coarse for the last weeks (an exponential
histogram: Datar et al., "Maintaining stream statistics over sliding windows", 2002). Any window can be asked for. A
slot that lies partly in a window counts whole, so a window counts a little too much, and never too little.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Protocol

DAY: Final = 24 * 3600
MONTH: Final = 30 * DAY
"""Seconds. Both windows slide."""

_LADDER: Final = ((120, 5), (1_200, 60), (7_200, 300), (2 * DAY, 3_600))
"""Up to the first age, slots have the second length. Older ones are a day long. Each length divides the next."""

_GROWS_AT: Final = {length: age for age, length in _LADDER}
"""The age at which a slot of this length becomes a longer one. One event's own second does so at once."""

MOST_DISTINCT: Final = 30
"""The largest threshold of a rule that counts different cards or customers."""
RECENT_AMOUNTS: Final = 20
"""The most approved amounts that a state keeps."""
KEPT_SECONDS: Final = MONTH + 2 * DAY
"""An item is deleted this long after its last change."""


Slot = tuple[int, int, int, int]
"""The sums of a stretch of time: its start (seconds since 1970), its seconds, its events, and their amount in minor
units. A plain tuple, because a request reads and makes hundreds."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Counts and amounts over time, oldest first."""

    slots: tuple[Slot, ...] = ()

    def count(self, seconds: int, now: int) -> int:
        """The number of events in the window of ``seconds`` that ends at ``now``."""
        begin = now - seconds
        return sum([events for start, length, events, _ in self.slots if start + length > begin])

    def minor(self, seconds: int, now: int) -> int:
        """The sum of amounts in the window, in minor units of the base currency."""
        begin = now - seconds
        return sum([total for start, length, _, total in self.slots if start + length > begin])

    def plus(self, moment: int, minor: int) -> "Sums":
        """With one more event. Slots that have become old are merged, and those over a month old are left out."""
        slots: list[Slot] = []
        oldest = moment - MONTH - DAY
        last: Slot = (0, 0, 0, 0)
        for slot in sorted((*self.slots, (moment, 1, 1, minor))):
            start, seconds, events, total = slot
            if seconds < DAY:
                if moment - start >= _GROWS_AT.get(seconds, -MONTH):
                    seconds = max(seconds, _length(moment - start))
                    start -= start % seconds
                if last[0] == start and last[1] == seconds:
                    slots[-1] = last = (start, seconds, last[2] + events, last[3] + total)
                    continue
                slot = (start, seconds, events, total)
            elif start + seconds <= oldest:
                continue
            slots.append(slot)
            last = slot
        return Sums(tuple(slots))

    def minus(self, moment: int, minor: int) -> "Sums":
        """Without one event of ``moment``. Nothing changes when its slot is gone."""
        slots = list(self.slots)
        for place, (start, seconds, events, total) in enumerate(slots):
            if start <= moment < start + seconds and events:
                slots[place] = (start, seconds, events - 1, total - minor)
                break
        return Sums(tuple(slots))


def _length(age: int) -> int:
    for oldest, seconds in _LADDER:
        if age < oldest:
            return seconds
    return DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What one subject did lately."""

    key: str
    version: int = 0
    """0: the subject has no item yet."""
    paid: Sums = field(default_factory=Sums)
    """Payments that were not declined."""
    near_limit: Sums = field(default_factory=Sums)
    """Those of them just under the customer's limit."""
    declined: Sums = field(default_factory=Sums)
    others: Mapping[str, int] = field(default_factory=dict)
    """The customers of a card, or the cards of a customer at a merchant, with the time they were last seen."""
    amounts: tuple[int, ...] = ()
    """The latest approved amounts, newest last."""

    def distinct_others(self, names: Sequence[str], seconds: int, now: int) -> int:
        """How many others there are in the window, with the one of ``names``. Exact up to ``MOST_DISTINCT``."""
        own = set(map(short, names))
        return 1 + len([name for name, seen in self.others.items() if seen > now - seconds and name not in own])

    def saw(self, names: Sequence[str], now: int) -> "State":
        """With one more other, under the first of its ``names``. The oldest are forgotten above ``MOST_DISTINCT``."""
        name, *former = map(short, names)
        others = {each: seen for each, seen in self.others.items() if each not in former}
        seen = sorted(({**others, name: now}).items(), key=lambda each: each[1])
        return replace(self, others=dict(seen[-MOST_DISTINCT:]))

    def approved(self, minor: int) -> "State":
        return replace(self, amounts=(*self.amounts, minor)[-RECENT_AMOUNTS:])

    def to_json(self) -> str:
        """The state without key and version."""
        sums = {name: getattr(self, name).slots for name in _SUMS}
        document = {**sums, "others": self.others, "amounts": self.amounts}
        return json.dumps({name: value for name, value in document.items() if value}, separators=(",", ":"))

    @classmethod
    def of(cls, key: str, version: int, text: str) -> "State":
        """The state that ``to_json`` gave."""
        document = json.loads(text)
        sums = {name: Sums(tuple(map(tuple, document.get(name, ())))) for name in _SUMS}
        return cls(
            key=key, version=version, **sums, others=document.get("others", {}),
            amounts=tuple(document.get("amounts", ())),
        )  # fmt: skip


_SUMS: Final = ("paid", "near_limit", "declined")


def short(name: str) -> str:
    """Sixteen characters of a fingerprint or a name; enough to tell thirty apart."""
    return name[:16] if len(name) >= 64 else name


class Activity(NamedTuple):
    """The states by which a payment is decided."""

    customer: State
    """Over all merchants."""
    card: State
    """Over all merchants and customers."""
    at_merchant: State
    """Of the customer at one merchant: declined payments and cards, which count at no other merchant."""
    next_card: tuple[State, ...] = ()
    """Of the card, under newer versions of its fingerprint, which count and do not decide yet."""

    @staticmethod
    def keys(customer_id: str, fingerprints: Sequence[str], merchant_id: str) -> list[str]:
        """The keys of the subjects. The first of ``fingerprints`` decides."""
        card, *next_card = [f"card#{each}" for each in fingerprints]
        return [f"customer#{customer_id}", card, f"at-merchant#{merchant_id}#{customer_id}", *next_card]

    @classmethod
    def of(cls, states: Sequence[State]) -> "Activity":
        """From the states of ``keys``, in their order."""
        customer, card, at_merchant, *next_card = states
        return cls(customer, card, at_merchant, tuple(next_card))


class Addition(NamedTuple):
    """An amount that a payment adds to a total. Nothing is asked of the total, so additions do not contend."""

    key: str
    minor: int
    """Of the base currency."""


class Watch(NamedTuple):
    """A set of cards that a rule against card testing watches, in one fixed window."""

    rule: str
    key: str
    card: str
    most: int
    """The rule fires at the first card above this number."""
    expires: int
    """Seconds since 1970."""


class Contended(Exception):
    """Another payment changed a state that this one was decided by. Read the states and decide again."""


class Velocity(Protocol):
    """The store of states and watched sets. Every method raises ``Unavailable``."""

    def read(self, keys: Sequence[str]) -> list[State]:
        """The states of ``keys``, as of now, in their order."""

    def total(self, keys: Sequence[str]) -> int:
        """The sum of the totals ``keys``, in minor units of the base currency, up to two seconds old."""

    def watch(self, watches: Iterable[Watch]) -> frozenset[str]:
        """Add each watch's card to its set. Returns the rules whose sets are full."""

    def full(self, watches: Iterable[Watch]) -> frozenset[str]:
        """The rules whose sets are full without the watch's card. Adds nothing."""
