"""Base and head, compared: findings, acknowledgements, templates and costs."""

from dataclasses import dataclass

from pipeline.review import acknowledgements, costs, findings, stable, templates
from pipeline.review.acknowledgements import Acknowledgements
from pipeline.review.costs.estimate import Cost
from pipeline.review.findings import Findings
from pipeline.review.synthesis import Synthesis
from pipeline.review.templates.entries import Entry


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All differences between base and head."""

    base: str
    """The base commit, as the reports name it."""
    findings: Findings
    acknowledgements: Acknowledgements
    changes: tuple[Entry, ...]
    """The changes of the templates, the most important first."""
    costs: tuple[Cost, ...]
    """By environment."""
    rules: tuple[str, ...] = ()
    """The files of rules that change."""

    @property
    def passes(self) -> bool:
        """Only new findings fail a review. People judge everything else."""
        return self.findings.passes


def compare(base: Synthesis, head: Synthesis, *, name: str) -> Comparison:
    """``name``: the base, as the reports name it."""
    return Comparison(
        base=name,
        findings=findings.compare(base.findings, [*head.findings, *stable.taken(base.stacks, head.stacks, base.code)]),
        acknowledgements=acknowledgements.compare(base.acknowledgements, head.acknowledgements),
        changes=tuple(templates.condense(templates.compare(base.stacks, head.stacks))),
        costs=costs.compare(base.stacks, head.stacks),
        rules=tuple(
            name for name in sorted({*base.rules, *head.rules}) if base.rules.get(name) != head.rules.get(name)
        ),
    )
