"""Two commits' findings, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.review.findings import Finding


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What became of each finding from base to head."""

    new: tuple[Finding, ...]
    """Not acknowledged, and not in base: these fail the review."""
    newly_acknowledged: tuple[Finding, ...]
    """Acknowledged in head and not in base: for a reviewer to judge."""
    fixed: tuple[Finding, ...]
    """In base and gone."""
    unchanged: tuple[Finding, ...]

    @property
    def passes(self) -> bool:
        return not self.new

    @property
    def head(self) -> list[Finding]:
        """All that head has."""
        return sorted((*self.new, *self.newly_acknowledged, *self.unchanged), key=lambda finding: finding.key)


def compare(base: Sequence[Finding], head: Sequence[Finding]) -> Comparison:
    """A finding is the same if rule and construct are; its line may move."""
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
    return Comparison(
        new=tuple(new),
        newly_acknowledged=tuple(newly_acknowledged),
        fixed=tuple(finding for key, finding in before.items() if key not in after),
        unchanged=tuple(unchanged),
    )
