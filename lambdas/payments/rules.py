"""The fraud rules as configuration: what a document of rules may say, and which rules are in force.

A version of the functions ships with rules, ``fraud_rules.json``. So a release takes rules forward and a roll-back
takes them back, with the code. An override replaces them in an emergency. It lies in the parameter of the fraud rules,
and names the shipped rules that it replaces: a version that ships others does not follow it, and so ends it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from lambdas.payments.limits import BASE
from lambdas.payments.velocity import DAY, MOST_DISTINCT, RECENT_AMOUNTS

LONGEST_WINDOW: Final = DAY
"""Seconds. No rule's window may be longer."""
MOST_EVENTS_A_SECOND: Final = 100
"""Payments of one customer or card take turns of at least two round trips, so no window can hold more."""
NO_OVERRIDE: Final = "de8809b4f4"
"""The version of the parameter's first value, which stands for no override. The functions before followed it."""


class Allowed(NamedTuple):
    """The whole numbers that a field may have."""

    least: int
    most: int

    def __contains__(self, value: object) -> bool:
        return type(value) is int and self.least <= value <= self.most

    def __str__(self) -> str:
        return f"a whole number from {self.least} to {self.most}"


_NEVER: Final = 101
"""A threshold that no score reaches."""
_THRESHOLD: Final = Allowed(1, _NEVER)
_SECONDS: Final = Allowed(1, LONGEST_WINDOW)
_COUNT: Final = Allowed(1, LONGEST_WINDOW * MOST_EVENTS_A_SECOND)
_DISTINCT: Final = Allowed(1, MOST_DISTINCT)
_PERCENT: Final = Allowed(1, 10_000)
_SMALL: Final = Allowed(1, BASE.limit)

FIELDS: Final[Mapping[str, Mapping[str, Allowed]]] = {
    name: {"score": Allowed(0, 100), **fields}
    for name, fields in {
        "customer_velocity_count": {"seconds": _SECONDS, "count": _COUNT},
        "customer_velocity_amount": {"seconds": _SECONDS, "percent_of_limit": _PERCENT},
        "card_velocity_count": {"seconds": _SECONDS, "count": _COUNT},
        "card_velocity_amount": {"seconds": _SECONDS, "percent_of_limit": _PERCENT},
        "amount_anomaly": {"at_least": Allowed(1, RECENT_AMOUNTS), "times_median": Allowed(1, 1_000)},
        "many_cards_on_customer": {"seconds": _SECONDS, "cards": _DISTINCT},
        "many_customers_on_card": {"seconds": _SECONDS, "customers": _DISTINCT},
        "country_mismatch": {},
        "just_under_limit": {"seconds": _SECONDS, "percent_of_limit": Allowed(1, 100), "count": _COUNT},
        "repeated_declines": {"seconds": _SECONDS, "count": _COUNT},
        "many_cards_from_address": {"seconds": _SECONDS, "cards": _DISTINCT},
        "many_small_payments_in_bin": {"seconds": _SECONDS, "cards": _DISTINCT, "small": _SMALL},
        "many_small_payments_of_caller": {"seconds": _SECONDS, "cards": _DISTINCT, "small": _SMALL},
    }.items()
}
"""Every rule by its name, which is its reason code, with its fields."""
_THRESHOLDS: Final = ("review_at", "decline_at")


class Fault(NamedTuple):
    """What is wrong with a document, and what is allowed there."""

    path: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        return f"{'.'.join(self.path)}: {self.message}" if self.path else self.message


class BadRules(ValueError):
    """A document of rules that is not followed."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Thresholds and rules. ``values`` maps each rule's name to its ``score`` and its other fields."""

    review_at: int
    decline_at: int
    values: Mapping[str, Mapping[str, int]]
    version: str = "unnamed"
    """``shipped-`` or ``override-``, and the first ten characters of the SHA-256 of their text. Decisions record it."""

    @classmethod
    def parse(cls, document: Mapping[str, Any], version: str = "unnamed") -> "Rules":
        """The rules of ``document``. Raises ``BadRules``, with all faults."""
        if found := list(faults(document)):
            raise BadRules(found)
        return cls(
            review_at=document["review_at"], decline_at=document["decline_at"], values=document["rules"],
            version=version,
        )  # fmt: skip


def faults(document: object) -> Iterator[Fault]:
    """All faults of a document of rules."""
    if not isinstance(document, dict):
        yield Fault((), "must be an object with review_at, decline_at and rules")
        return
    yield from _wrong_names(document, (), (*_THRESHOLDS, "rules"), required=(*_THRESHOLDS, "rules"))
    yield from _wrong_values(document, (), dict.fromkeys(_THRESHOLDS, _THRESHOLD))
    review_at, decline_at = document.get("review_at"), document.get("decline_at")
    if review_at in _THRESHOLD and decline_at in _THRESHOLD and review_at > decline_at:
        yield Fault(("review_at",), f"is {review_at}; at most decline_at, which is {decline_at}")
    rules = document.get("rules", {})
    if not isinstance(rules, dict):
        yield Fault(("rules",), "must be an object")
        return
    yield from _wrong_names(rules, ("rules",), tuple(FIELDS))
    for name, values in rules.items():
        if name in FIELDS:
            yield from _rule_faults(name, values)


def _rule_faults(name: str, values: object) -> Iterator[Fault]:
    path = ("rules", name)
    if not isinstance(values, dict):
        yield Fault(path, "must be an object")
        return
    yield from _wrong_names(values, path, tuple(FIELDS[name]), required=tuple(FIELDS[name]))
    yield from _wrong_values(values, path, FIELDS[name])
    count, seconds = values.get("count"), values.get("seconds")
    if count in _COUNT and seconds in _SECONDS and count > seconds * MOST_EVENTS_A_SECOND:
        most = seconds * MOST_EVENTS_A_SECOND
        yield Fault((*path, "count"), f"is {count}, which no window of {seconds} seconds reaches; at most {most}")


def _wrong_names(
    found: Mapping[str, Any], path: tuple[str, ...], allowed: Sequence[str], required: Sequence[str] = ()
) -> Iterator[Fault]:
    for name in found:
        if name not in allowed:
            yield Fault((*path, name), f"is unknown; allowed are {', '.join(allowed)}")
    for name in required:
        if name not in found:
            yield Fault((*path, name), "is missing")


def _wrong_values(found: Mapping[str, Any], path: tuple[str, ...], allowed: Mapping[str, Allowed]) -> Iterator[Fault]:
    for name, range_ in allowed.items():
        if name in found and found[name] not in range_:
            yield Fault((*path, name), f"is {json.dumps(found[name])[:40]}; allowed is {range_}")


def read(text: str) -> Any:
    """The JSON document ``text``. Raises ``BadRules`` for a syntax error, and for a name that an object has twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise BadRules([Fault((name,), "stands twice in one object") for name in twice])
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise BadRules([Fault((), f"is no JSON: {error.msg} at line {error.lineno}, column {error.colno}")]) from None
    except BadRules:
        raise
    except (ValueError, RecursionError) as error:  # a number with thousands of digits, a thousand brackets
        raise BadRules([Fault((), f"is no document of rules: {type(error).__name__}")]) from None


def version_of(text: str) -> str:
    """The version of rules, or of an override, by their text."""
    return hashlib.sha256(text.encode()).hexdigest()[:10]


@cache
def shipped() -> Rules:
    """The rules of this version of the functions."""
    text = Path(__file__).with_name("fraud_rules.json").read_bytes().decode()
    return Rules.parse(read(text), f"shipped-{version_of(text)}")


def in_force(parameter: str, own: Rules) -> Rules:
    """The rules that a version follows which ships ``own``, while the parameter has the value ``parameter``.

    Raises ``BadRules`` when the value is no override, or one that would replace ``own`` and can't be followed. What an
    override of other rules says is not looked at: it may be made for a newer version.
    """
    if version_of(parameter) == NO_OVERRIDE:
        return own
    document = read(parameter)
    override = document.get("override") if isinstance(document, dict) else None
    replaced = override.get("replaces") if isinstance(override, dict) else None
    if not isinstance(replaced, list):
        raise BadRules([Fault(("override", "replaces"), "is missing: use python -m pipeline.rules put")])
    if own.version.removeprefix("shipped-") not in replaced:
        return own
    rules = {name: value for name, value in document.items() if name != "override"}
    return Rules.parse(rules, f"override-{version_of(parameter)}")
