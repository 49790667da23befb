"""Changes, condensed: the same change in several environments or at several constructs becomes one entry."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pipeline.review.templates.changes import Action, Change, Section
from pipeline.review.templates.difference import Detail

ANY = "{env}"
"""Stands for the environment's name in an entry for several environments."""
ORDER = tuple(Section)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One change that all ``constructs`` share in all ``environments``."""

    section: Section
    environments: tuple[str, ...]
    action: Action
    type: str
    constructs: tuple[str, ...]
    details: tuple[Detail, ...]

    @property
    def alarming(self) -> bool:
        return any(detail.alarming for detail in self.details)


def condense(changes: Sequence[Change]) -> list[Entry]:
    """Entries, the most important first."""
    same: dict[tuple[object, ...], list[Change]] = {}
    for change in changes:
        general = _general(change)
        same.setdefault((general.section, general.action, general.type, general.construct, general.details), []).append(
            change
        )
    entries: dict[tuple[object, ...], Entry] = {}
    for group in same.values():
        shown = group[0] if len(group) == 1 else _general(group[0])
        environments = tuple(dict.fromkeys(change.environment for change in group))
        key = (shown.section, shown.action, shown.type, shown.details, environments)
        former = entries.get(key)
        entries[key] = Entry(
            section=shown.section,
            environments=environments,
            action=shown.action,
            type=shown.type,
            constructs=(*(former.constructs if former else ()), shown.construct),
            details=shown.details,
        )
    return sorted(entries.values(), key=_rank)


def _rank(entry: Entry) -> tuple[int, bool, bool]:
    return ORDER.index(entry.section), not entry.alarming, not entry.action.certain


def _general(change: Change) -> Change:
    """The change with ``ANY`` in place of its environment's name."""
    name = change.environment
    stage = name.capitalize()
    patterns = (
        # CDK makes some ids from a whole path. They end in a hash of the path.
        (re.compile(rf"\b{stage}(\w+?)[0-9A-F]{{8}}\b"), rf"{ANY}\1"),
        (re.compile(rf"(?<![A-Za-z0-9])({re.escape(name)}|{stage})(?![A-Za-z0-9])"), ANY),
    )

    def general(text: str) -> str:
        for pattern, instead in patterns:
            text = pattern.sub(instead, text)
        return text

    details = (Detail(each.sign, general(each.text), each.alarming) for each in change.details)
    return replace(change, construct=general(change.construct), details=tuple(details))


def of(section: Section, entries: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.section == section]
