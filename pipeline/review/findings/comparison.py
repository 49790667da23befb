"""The findings of two sides, compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.review.findings.reading import Finding


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Each finding of base or head, by what happened to it."""

    new: tuple[Finding, ...]
    """Not acknowledged, and either not in base or acknowledged there. These fail the review."""
    newly_acknowledged: tuple[Finding, ...]
    """Acknowledged in head but not in base. A reviewer judges these."""
    fixed: tuple[Finding, ...]
    """In base only."""
    unchanged: tuple[Finding, ...]
    """In both, and acknowledged or not in both."""

    @property
    def passes(self) -> bool:
        return not self.new

    @property
    def parts(self) -> dict[str, tuple[Finding, ...]]:
        return {
            "new": self.new,
            "newly acknowledged": self.newly_acknowledged,
            "fixed": self.fixed,
            "unchanged": self.unchanged,
        }

    def counts(self, by: Callable[[Finding], str], order: Sequence[str] = ()) -> dict[str, list[int]]:
        """The number of findings in each of the ``parts``, grouped ``by``. Groups in ``order`` come first."""
        rows: dict[str, list[int]] = {}
        for column, findings in enumerate(self.parts.values()):
            for finding in findings:
                rows.setdefault(by(finding), [0] * len(self.parts))[column] += 1
        return {name: rows[name] for name in (*(each for each in order if each in rows), *sorted({*rows} - {*order}))}

    @property
    def head(self) -> list[Finding]:
        """All findings of head."""
        return sorted((*self.new, *self.newly_acknowledged, *self.unchanged), key=lambda finding: finding.key)


def compare(base: Sequence[Finding], head: Sequence[Finding]) -> Findings:
    """Two findings are the same if rule and construct are equal. The line may differ."""
    before, after = ({each.key: each for each in side} for side in (base, head))
    new, newly_acknowledged, unchanged = [], [], []
    for key, finding in after.items():
        former = before.get(key)
        if finding.reason is None and (former is None or former.reason is not None):
            new.append(finding)
        elif finding.reason is not None and (former is None or former.reason is None):
            newly_acknowledged.append(finding)
        else:
            unchanged.append(finding)
    return Findings(
        new=tuple(new),
        newly_acknowledged=tuple(newly_acknowledged),
        fixed=tuple(finding for key, finding in before.items() if key not in after),
        unchanged=tuple(unchanged),
    )
