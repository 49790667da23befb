"""What happened to the rows of a file. It goes on where it was when a file is read in several calls."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lambdas.migration.files import canonical
from lambdas.migration.tables import Fault

MOST_LISTED: Final = 1000
_CHECKSUM_END: Final = 1 << 256
_COUNTS: Final = ("read", "inserted", "updated", "unchanged", "deleted", "superseded", "skipped", "rejected")


@dataclass(slots=True, kw_only=True)
class Report:
    """``superseded``: rows that a newer change has replaced already. ``skipped``: rows of tables that do not move.

    ``checksum``: the sum of the SHA-256 of all rows that were read, so equal for the same rows in any order.
    """

    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    superseded: int = 0
    skipped: int = 0
    rejected: int = 0
    listed: list[tuple[int, str, str]] = field(default_factory=list)
    """The first rejected rows: line, column, reason."""
    notes: list[str] = field(default_factory=list)
    fault: str = ""
    """Why the whole file was refused."""
    given_up: str = ""
    """Since when, by whom and why a person skipped the rest of the file."""
    checksum: int = 0
    sums: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    """Of payments that were written: number (``records``) and sum (``minor``) by currency and status."""

    def row(self, values: Mapping[str, str | None]) -> None:
        """Count a row that was read."""
        self.read += 1
        digest = hashlib.sha256(canonical(values)).digest()
        self.checksum = (self.checksum + int.from_bytes(digest)) % _CHECKSUM_END

    def reject(self, line: int, fault: Fault) -> None:
        self.rejected += 1
        if len(self.listed) < MOST_LISTED:
            self.listed.append((line, *fault))

    def reject_all(self, faults: Iterable[tuple[int, Fault]]) -> None:
        for line, fault in faults:
            self.reject(line, fault)

    def note(self, text: str) -> None:
        """Say something about the file, once."""
        if text not in self.notes:
            self.notes.append(text)

    def add(self, other: Mapping[str, int]) -> None:
        """Count what a merge did."""
        for name, number in other.items():
            setattr(self, name, getattr(self, name) + number)

    def add_sums(self, added: Mapping[str, Mapping[str, Mapping[str, int]]]) -> None:
        """Count payments that were written."""
        for currency, statuses in added.items():
            for status, total in statuses.items():
                known = self.sums.setdefault(currency, {}).setdefault(status, {"records": 0, "minor": 0})
                for name, number in total.items():
                    known[name] += number

    def to_json(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in _COUNTS},
            "rejected_rows": [
                {"line": line, "column": column, "reason": reason} for line, column, reason in sorted(self.listed)
            ],
            "notes": self.notes,
            "fault": self.fault,
            "given_up": self.given_up,
            "checksum": f"{self.checksum:064x}",
            "sums": self.sums,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Report":
        return cls(
            **{name: value[name] for name in _COUNTS},
            listed=[(each["line"], each["column"], each["reason"]) for each in value["rejected_rows"]],
            notes=list(value["notes"]),
            fault=value["fault"],
            given_up=value.get("given_up", ""),
            checksum=int(value["checksum"], 16),
            sums=value["sums"],
        )
