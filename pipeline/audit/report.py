"""The result of a verification, for people and for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from lambdas.books.seal_verification import SealsOfDay
from lambdas.books.verification import Break, Verification, first_of_each
from lambdas.payments.audit import digest

_MOST_BREAKS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was found on one day."""

    environment: str
    day: str
    books: Verification
    seals: SealsOfDay
    unfinished: Sequence[str]
    """The transactions that are pending for longer than any request lasts."""
    stale: bool
    """Whether one of them is pending for so long that the sweeper should have finished it."""
    key_source: str
    """Where the public key came from."""

    @cached_property
    def breaks(self) -> tuple[Break, ...]:
        breaks = [*self.books.breaks, *self.seals.breaks, *self.seals.breaks_of(self.books.entries)]
        newest = self.seals.newest
        if not breaks and newest and (said := newest.seal.days[self.day].fault):
            reason = f"was made although the books did not agree: {said}"
            breaks.append(Break(created_at=newest.seal.at, key=newest.key, reason=reason))
        return first_of_each(breaks)

    @property
    def sealed(self) -> bool:
        """Whether seals hold the day as they should. An earlier day than the first seal's needs none."""
        return not self.seals.overdue

    def lines(self) -> list[str]:
        lines = [
            f"{self.environment} {self.day}: {len(self.books.entries)} records in {self.books.chains} chains",
            self._seals(),
        ]
        if self.books.imported:
            lines.append(f"{self.books.imported} payments were imported; the records of their imports hold them")
        if self.unfinished:
            lines.append(
                f"{len(self.unfinished)} transactions are pending, or one of their amendments is, or their import is "
                f"under way, the first {self.unfinished[0]}"
            )
        lines += [f"BROKEN {found.key}: {found.reason}" for found in self.breaks[:_MOST_BREAKS_SHOWN]]
        if self.breaks:
            count = len(self.breaks)
            return [*lines, f"{count} broken; the bucket keeps the earlier versions of changed and deleted records"]
        if not self.sealed:
            return [*lines, "NOT SEALED: records and ledger agree, and no seal vouches for them"]
        if self.stale:
            return [*lines, "UNFINISHED: whole, but something is pending for over 15 minutes (docs/audit.md)"]
        return [*lines, "whole"]

    def to_json(self) -> Mapping[str, Any]:
        newest = self.seals.newest
        return {
            "environment": self.environment,
            "day": self.day,
            "whole": not self.breaks,
            "sealed": self.sealed,
            "records": len(self.books.entries),
            "chains": self.books.chains,
            "imported": self.books.imported,
            "unfinished": list(self.unfinished),
            "seal": newest
            and {
                "key": newest.key,
                "at": newest.seal.at,
                "final": newest.seal.days[self.day].final,
                "sha256": digest(newest.body),
                "signing_key": newest.seal.signing_key,
            },
            "breaks": [asdict(found) for found in self.breaks],
        }

    def _seals(self) -> str:
        newest, first = self.seals.newest, self.seals.first_day
        if newest is None:
            if first is None:
                return "there is no seal: the sealing job has never run, or its seals were deleted"
            if self.day < first:
                return f"it has no seal: the first one is of {first}"
            return "no seal holds it: the sealing job has not run since, or its seals were deleted"
        kind = "finally sealed" if newest.seal.days[self.day].final else "sealed"
        late = ", and overdue since" if self.seals.overdue else ""
        return (
            f"{kind} at {newest.seal.at}{late}: {newest.key}, SHA-256 {digest(newest.body)}, key of {self.key_source}"
        )
