"""Base and head, compared in all that a reviewer asks about."""

from dataclasses import dataclass

from pipeline.review import acknowledgements, costs, findings, templates
from pipeline.review.acknowledgements import Acknowledgements
from pipeline.review.costs.estimate import Cost
from pipeline.review.findings import Findings
from pipeline.review.sides import Side
from pipeline.review.templates.entries import Entry


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the change does."""

    base: str
    """What the reader calls the commit."""
    findings: Findings
    acknowledgements: Acknowledgements
    changes: tuple[Entry, ...]
    """Of the templates; most important first."""
    costs: tuple[Cost, ...]
    """By environment."""

    @property
    def passes(self) -> bool:
        """Only new findings fail a review; everything else is for people to judge."""
        return self.findings.passes


def compare(base: Side, head: Side, *, name: str) -> Comparison:
    """``name`` is what the reader calls the base."""
    return Comparison(
        base=name,
        findings=findings.compare(base.findings, head.findings),
        acknowledgements=acknowledgements.compare(base.acknowledgements, head.acknowledgements),
        changes=tuple(templates.condense(templates.compare(base.stacks, head.stacks))),
        costs=costs.compare(base.stacks, head.stacks),
    )
