"""A comparison as one self-contained HTML page. It holds all entries. The comment leaves out those that do not fit."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.review.comparison import Comparison
from pipeline.review.reports import summary
from pipeline.review.templates import entries
from reporting import render

PAGE = Path(__file__).with_name("review.html")
SIGNS = {"+": "added", "-": "removed", "!": "changed", " ": "explained"}
"""The style sheet's names for the signs of details."""


def page(comparison: Comparison) -> str:
    findings, environments = comparison.findings, summary.environments(comparison)
    changes = (
        (section, heading, entries.of(section, comparison.changes)) for section, heading in summary.CHANGES.items()
    )
    return render(
        PAGE,
        comparison=comparison,
        summary=summary,
        signs=SIGNS,
        environments=environments,
        by_pack=_with_total(findings.counts(lambda finding: finding.pack), len(findings.parts)),
        by_environment=_with_total(
            findings.counts(lambda finding: finding.environment, environments), len(findings.parts)
        ),
        changes=[change for change in changes if change[2]],
        costs=_costs(comparison),
    )


def _with_total(rows: dict[str, list[int]], columns: int) -> Iterator[tuple[str, list[int], str]]:
    """Name, numbers and style of each row."""
    yield from ((name, numbers, "") for name, numbers in rows.items())
    yield "all", [sum(numbers[column] for numbers in rows.values()) for column in range(columns)], "total"


def _costs(comparison: Comparison) -> Iterator[tuple[str, float, float, str]]:
    """Name, costs of base and head (USD a month) and style of each row."""
    for cost in comparison.costs:
        yield cost.environment, cost.base, cost.head, ""
        for item in cost.items:
            changed = item.base_quantity != item.head_quantity
            quantity = f"{item.base_quantity:g} → {item.head_quantity:g}" if changed else f"{item.head_quantity:g}"
            yield f"{item.label}: {quantity}", item.base, item.head, "item"
    base, head = (sum(getattr(cost, side) for cost in comparison.costs) for side in ("base", "head"))
    yield "total", base, head, "total"
