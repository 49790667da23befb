"""The changes to the table of acknowledgements.

The table itself is compared, because the synthesis reports none of checkov's acknowledgements, and because a reason, an
owner or a date can change while the finding stays the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pipeline.compliance.acknowledgements import ENVIRONMENTS, TABLE, load

FOLDER = "pipeline/compliance"
LONGEST_FAULT = 300
"""Characters. A fault may quote the table."""
ADDED, CHANGED, REMOVED = ACTIONS = ("added", "changed", "removed")


@dataclass(frozen=True, order=True, kw_only=True)
class Terms:
    """The terms of one acknowledgement."""

    reason: str
    owner: str
    expires: str
    """Date, ISO 8601."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """The acknowledgements of one commit."""

    terms: Mapping[tuple[str, str, str], Terms]
    """By finding, construct (as the table names it) and environment."""
    fault: str = ""
    """Why the table could not be read; empty if it was."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change to the acknowledgement of one finding, at all constructs with the same change."""

    finding: str
    constructs: tuple[str, ...]
    environments: tuple[str, ...]
    before: Terms | None
    after: Terms | None

    @property
    def action(self) -> str:
        return ADDED if self.before is None else REMOVED if self.after is None else CHANGED

    @property
    def everywhere(self) -> bool:
        return self.environments == ENVIRONMENTS


@dataclass(frozen=True, kw_only=True)
class Acknowledgements:
    """The changes of the table from base to head."""

    changes: tuple[Change, ...]
    """In the order of ``ACTIONS``, by finding."""
    fault: str
    """Why the tables could not be compared; empty if they were."""

    def count(self, action: str) -> int:
        """The number of pairs of finding and construct."""
        return sum(len(each.constructs) for each in self.changes if each.action == action)

    def expired(self, today: date) -> int:
        """The number of those pairs that were added or changed, and whose new date is past."""
        past = (each for each in self.changes if each.after and each.after.expires < today.isoformat())
        return sum(len(each.constructs) for each in past)


def read(tree: Path) -> Table:
    """The table in ``tree``. It has a ``fault`` if it is missing or has another form than today's."""
    file = tree / FOLDER / TABLE.name
    try:
        entries = load(file)
    except FileNotFoundError:
        return Table(terms={}, fault=f"has no {FOLDER}/{TABLE.name}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Table(terms={}, fault=f"has a table of another form ({str(error)[:LONGEST_FAULT]})")
    return Table(
        terms={
            (finding, construct, environment): Terms(
                reason=each.reason, owner=each.owner, expires=each.expires.isoformat()
            )
            for each in entries
            for finding, construct in each.pairs()
            for environment in each.environments
        }
    )


def compare(base: Table, head: Table) -> Acknowledgements:
    fault = "; ".join(f"{name} {side.fault}" for name, side in (("base", base), ("this change", head)) if side.fault)
    found = [] if fault else sorted(_changes(base, head), key=lambda each: (ACTIONS.index(each.action), each.finding))
    return Acknowledgements(changes=tuple(found), fault=fault)


def _changes(base: Table, head: Table) -> Iterator[Change]:
    """The differences. Equal ones are joined, first those of several environments, then those of several constructs."""
    environments: dict[tuple[str, str, Terms | None, Terms | None], list[str]] = {}
    for key in dict.fromkeys([*head.terms, *base.terms]):
        finding, construct, environment = key
        before, after = base.terms.get(key), head.terms.get(key)
        if before != after:
            environments.setdefault((finding, construct, before, after), []).append(environment)
    constructs: dict[tuple[str, tuple[str, ...], Terms | None, Terms | None], list[str]] = {}
    for (finding, construct, before, after), where in environments.items():
        ordered = tuple(each for each in ENVIRONMENTS if each in where)
        constructs.setdefault((finding, ordered, before, after), []).append(construct)
    for (finding, ordered, before, after), at in constructs.items():
        yield Change(finding=finding, constructs=tuple(at), environments=ordered, before=before, after=after)
