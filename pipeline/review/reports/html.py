"""A comparison as one self-contained HTML page, whole: nothing is cut, as it is in the comment."""

from collections.abc import Collection, Iterator, Sequence
from html import escape
from pathlib import Path

from pipeline.review import acknowledgements
from pipeline.review.comparison import Comparison
from pipeline.review.reports import words
from pipeline.review.templates import entries
from pipeline.review.templates.changes import Section
from pipeline.review.templates.difference import Detail
from pipeline.review.templates.entries import Entry

STYLE = Path(__file__).with_name("page.css")
SIGNS = {"+": "added", "-": "removed", "!": "changed", " ": "said"}


def render(comparison: Comparison) -> str:
    sections = [
        _header(comparison),
        _counts(comparison),
        _findings(comparison, "new"),
        _findings(comparison, "newly acknowledged"),
        _acknowledgements(comparison),
        *(_changes(section, heading, comparison) for section, heading in words.CHANGES.items()),
        _findings(comparison, "fixed"),
        _costs(comparison),
        _footer(comparison),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Review: {words.verdict(comparison)}</title>"
        f"<style>{STYLE.read_text(encoding='utf-8')}</style></head><body><main>{''.join(sections)}</main></body></html>\n"
    )


def _header(comparison: Comparison) -> str:
    said = "".join(
        f'<li class="{"bad" if loud else ""}">{escape(text)}</li>' for text, loud in words.headlines(comparison)
    )
    return (
        f'<header><h1>Review</h1><span class="verdict {words.state(comparison)}">{words.verdict(comparison)}</span>'
        f'<span class="dim">compared with <code>{escape(comparison.base)}</code></span></header>'
        f'<ul class="headlines">{said}</ul>'
    )


def _counts(comparison: Comparison) -> str:
    findings = comparison.findings
    by_pack = _count_table("rule pack", findings.counts(lambda finding: finding.pack), findings.parts)
    places = findings.counts(lambda finding: finding.environment, words.environments(comparison))
    by_place = _count_table("environment", places, findings.parts)
    return f'<h2>Findings, counted</h2><section class="grid">{by_pack}{by_place}</section>'


def _count_table(first: str, rows: dict[str, list[int]], columns: Collection[str]) -> str:
    head = "".join(f"<th>{escape(each)}</th>" for each in (first, *columns))
    body = "".join(f"<tr><td>{escape(name)}</td>{_numbers(row)}</tr>" for name, row in rows.items())
    total = [sum(column) for column in zip(*rows.values(), strict=True)] or [0] * len(columns)
    return (
        f'<div class="card scroll"><table><tr>{head}</tr>{body}'
        f'<tr class="total"><td>all</td>{_numbers(total)}</tr></table></div>'
    )


def _numbers(row: Sequence[int]) -> str:
    """The first column is of new findings."""
    return "".join(
        f'<td class="bad">{number}</td>' if number and column == 0 else f"<td>{number}</td>"
        for column, number in enumerate(row)
    )


def _findings(comparison: Comparison, name: str) -> str:
    groups = words.group(comparison.findings.parts[name], words.environments(comparison))
    if not groups:
        return ""
    cards = "".join(_finding(each, "alarming" if name == "new" else "") for each in groups)
    return f"<h2>{escape(words.FINDINGS[name])}</h2>{cards}"


def _acknowledgements(comparison: Comparison) -> str:
    cards = "".join(_acknowledgement(each) for each in comparison.acknowledgements.changes)
    return f"<h2>{escape(words.ACKNOWLEDGEMENTS)}</h2>{cards}" if cards else ""


def _acknowledgement(change: acknowledgements.Change) -> str:
    environments = () if change.everywhere else change.environments
    return (
        f'<article class="card"><b>{change.action}</b> <code>{escape(change.finding)}</code> at '
        f"{_constructs(change.constructs)} {_tags(environments)}{_details(words.terms(change))}</article>"
    )


def _finding(group: words.Group, style: str) -> str:
    finding = group.finding
    place = f" in <code>{escape(group.place)}</code>" if group.place else ""
    return (
        f'<article class="card {style}"><code>{escape(finding.rule)}</code> at <code>{escape(group.construct)}</code> '
        f"{_tags(group.environments)}{place}<p>{escape(finding.reason or finding.description)}</p></article>"
    )


def _changes(section: Section, heading: str, comparison: Comparison) -> str:
    of = entries.of(section, comparison.changes)
    if not of:
        return ""
    cards = "".join(_card(entry) for entry in of)
    if section is Section.REST:
        return f"<details open><summary>{escape(heading)}: {len(of)}</summary>{cards}</details>"
    style = ' class="stateful-title"' if section is Section.STATEFUL else ""
    return f"<h2{style}>{escape(heading)}</h2>{cards}"


def _card(entry: Entry) -> str:
    style = "stateful" if entry.section is Section.STATEFUL else "alarming" if entry.alarming else ""
    return (
        f'<article class="card {style}"><b>{escape(entry.action)}</b> <code>{escape(words.title(entry))}</code> '
        f"{_constructs(entry.constructs)} {_tags(entry.environments)}{_details(entry.details)}</article>"
    )


def _constructs(constructs: Sequence[str]) -> str:
    return ", ".join(f"<code>{escape(each)}</code>" for each in constructs)


def _details(details: Sequence[Detail]) -> str:
    listed = "".join(_detail(each) for each in details)
    return f'<ul class="details">{listed}</ul>' if listed else ""


def _detail(detail: Detail) -> str:
    loud = " loud" if detail.alarming else ""
    return f'<li class="{SIGNS[detail.sign]}{loud}">{escape(f"{detail.sign} {detail.text}")}</li>'


def _tags(names: Sequence[str]) -> str:
    return " ".join(f'<span class="tag">{escape(name)}</span>' for name in names)


def _costs(comparison: Comparison) -> str:
    return (
        "<h2>Standing costs <small>USD a month, before the first request</small></h2>"
        '<div class="card scroll"><table><tr><th></th><th>base</th><th>this change</th><th>difference</th></tr>'
        f"{''.join(_cost_rows(comparison))}</table></div>"
        + "".join(f'<p class="dim">{escape(note)}</p>' for note in words.cost_notes(comparison.costs))
    )


def _cost_rows(comparison: Comparison) -> Iterator[str]:
    for cost in comparison.costs:
        yield _cost_row(cost.environment, cost.base, cost.head, "")
        for item in cost.items:
            changed = item.base_quantity != item.head_quantity
            quantity = f"{item.base_quantity:g} → {item.head_quantity:g}" if changed else f"{item.head_quantity:g}"
            yield _cost_row(f"{item.label}: {quantity}", item.base, item.head, "item")
    base, head = (sum(getattr(cost, side) for cost in comparison.costs) for side in ("base", "head"))
    yield _cost_row("total", base, head, "total")


def _cost_row(name: str, base: float, head: float, style: str) -> str:
    difference = words.money(head - base, signed=True)
    cells = "".join(f"<td>{each}</td>" for each in (words.money(base), words.money(head), difference))
    return f'<tr class="{style}"><td>{escape(name)}</td>{cells}</tr>'


def _footer(comparison: Comparison) -> str:
    return (
        f"<footer><p>{escape(words.legend(comparison))}</p><p>Both sides were synthesised without AWS credentials; "
        "nothing is known of what is deployed. Whether a change replaces a resource is read from CloudFormation's "
        "provider schemas, as cfn-lint ships them; “may be” where the schema, or a reference, leaves it open. "
        "Only new findings fail a review.</p></footer>"
    )
