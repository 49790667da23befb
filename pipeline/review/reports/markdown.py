"""A comparison as Markdown: for a pull request's comment, a step summary, a terminal.

A template may hold any text. It is put only into code spans and fenced blocks, where Markdown has no meaning. All
other foreign text is escaped.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.review import acknowledgements
from pipeline.review.comparison import Comparison
from pipeline.review.markers import MARKER
from pipeline.review.reports import summary
from pipeline.review.templates import entries
from pipeline.review.templates.changes import Section
from pipeline.review.templates.difference import Detail
from pipeline.review.templates.entries import Entry
from reporting.markdown import code, prose
from reporting.text import visible

LIMIT = 60_000
"""In bytes, for the whole text. GitHub accepts comments of up to 65,536 characters."""
LINE = 400
"""The most characters of one detail."""
DETAILS = 12
"""The most lines of one entry."""
MOST_LINES = 40
"""The most lines of an error."""
CONSTRUCTS = 6


@dataclass
class Part:
    """A heading with its entries. Those that do not fit are left out."""

    heading: list[str]
    entries: list[str]
    close: list[str] = field(default_factory=list)
    left_out: str = "- … and {} more, in `review.html`"
    """Stands after the entries if some do not fit."""

    @property
    def frame(self) -> int:
        return _size([*self.heading, *self.close, self.left_out, ""])


def render(comparison: Comparison) -> str:
    """The comment, with the most important part first. It says how many entries do not fit."""
    head, parts = _head(comparison), list(_parts(comparison))
    room = LIMIT - _size(head) - sum(part.frame for part in parts) - 500
    lines, left_out = head, 0
    for part in parts:
        shown = []
        for entry in part.entries:
            if (size := _size([entry])) <= room:
                shown.append(entry)
                room -= size
        missing = len(part.entries) - len(shown)
        left_out += missing
        note = [part.left_out.format(missing)] if missing else []
        lines += ["", *part.heading, *shown, *note, *part.close]
    if left_out:
        text = f"**{left_out} entries do not fit here. `review.html` and `review.json` contain all.**"
        lines = [*lines[:3], "", text, *lines[3:]]
    return "\n".join(lines) + "\n"


def not_compared(reason: str, *, base: str) -> str:
    """The comment if there is no comparison. It replaces an older comment."""
    return "\n".join(
        [
            MARKER,
            "### Review: the comparison could not be made",
            "",
            f"Nothing is known of this change against {code(base)}: neither findings, nor templates, nor costs.",
            "",
            *_fence("", [_cut(line) for line in reason.splitlines()[:MOST_LINES]]),
            "",
        ]
    )


def _head(comparison: Comparison) -> list[str]:
    sign = {"pass": "✅", "warn": "⚠️", "fail": "❌"}[summary.state(comparison)]
    counts = [str(len(findings)) for findings in comparison.findings.parts.values()]
    return [
        MARKER,
        f"### {sign} Review: {summary.verdict(comparison)}",
        f"Compared with {code(comparison.base)}: {'; '.join(_loud(*each) for each in summary.headlines(comparison))}.",
        "",
        f"| | {' | '.join(comparison.findings.parts)} |",
        f"| --- |{' --- |' * len(counts)}",
        f"| findings | {' | '.join(counts)} |",
        *(
            f"| {prose(name)} | {' | '.join(map(str, row))} |"
            for name, row in comparison.findings.counts(lambda finding: finding.pack).items()
        ),
    ]


def _loud(text: str, loud: bool) -> str:
    return f"**{prose(text)}**" if loud else prose(text)


def _parts(comparison: Comparison) -> Iterator[Part]:
    yield from _findings(comparison, "new")
    yield from _findings(comparison, "newly acknowledged")
    if acknowledged := comparison.acknowledgements.changes:
        yield Part([f"#### {summary.ACKNOWLEDGEMENTS}", ""], [_acknowledgement(each) for each in acknowledged])
    for section, heading in summary.CHANGES.items():
        if of := entries.of(section, comparison.changes):
            yield _changes(section, heading, of)
    yield from _findings(comparison, "fixed")
    if legend := summary.legend(comparison):
        yield Part([legend], [])
    yield from _costs(comparison)


def _findings(comparison: Comparison, name: str) -> Iterator[Part]:
    if groups := summary.group(comparison.findings.parts[name], summary.environments(comparison)):
        yield Part([f"#### {summary.FINDINGS[name]}", ""], [_finding(each) for each in groups])


def _finding(group: summary.Group) -> str:
    where = f" ({prose(', '.join(group.environments))})" if group.environments else ""
    place = f" in {code(group.place)}" if group.place else ""
    fault = f"- **{prose(_short(group.finding.description).rstrip('.'))}**: {code(group.construct)}{where}{place}"
    return (
        f"{fault}  \n  {code(group.finding.rule)}{f': {prose(group.finding.reason)}' if group.finding.reason else ''}"
    )


def _acknowledgement(change: acknowledgements.Change) -> str:
    where = "" if change.everywhere else f" ({', '.join(change.environments)})"
    first = f"- **{change.action}** {code(change.finding)} at {_constructs(change.constructs)}{where}"
    return _with_details(first, summary.terms(change))


def _short(description: str) -> str:
    """Without the list of controls that rule packs append, often dozens."""
    return description.partition(" - (Control IDs")[0]


def _changes(section: Section, heading: str, of: list[Entry]) -> Part:
    told = [_entry(entry, "🔴 " if section is Section.STATEFUL else "⚠️ " if entry.alarming else "") for entry in of]
    if section is Section.STATEFUL:
        return Part([f"#### 🔴 {heading}", ""], told)
    if section in (Section.REPLACEMENT, Section.REST):
        summary = f"<details><summary><b>{heading}</b>: {len(of)}</summary>"
        return Part([summary, ""], told, ["", "</details>"])
    return Part([f"#### {heading}", ""], told)


def _entry(entry: Entry, mark: str) -> str:
    constructs = _constructs(entry.constructs)
    first = f"- {mark}**{entry.action}** {code(summary.title(entry))} {constructs} ({prose(summary.where(entry))})"
    return _with_details(first, entry.details)


def _constructs(constructs: Sequence[str]) -> str:
    more = len(constructs) - CONSTRUCTS
    return ", ".join(code(each) for each in constructs[:CONSTRUCTS]) + (f" and {more} more" if more > 0 else "")


def _with_details(first: str, details: Sequence[Detail]) -> str:
    shown = [_detail(detail) for detail in details[:DETAILS]]
    if len(details) > DETAILS:
        shown.append(f"  … {len(details) - DETAILS} more lines in review.html")
    return "\n".join([first, *(f"  {line}" for line in _fence("diff", shown))]) if shown else first


def _detail(detail: Detail) -> str:
    return f"{detail.sign} {_cut(detail.text, ' … (longer; see review.html)')}"


def _cut(text: str, more: str = " …") -> str:
    return text if len(text) <= LINE else text[:LINE] + more


def _costs(comparison: Comparison) -> Iterator[Part]:
    base, head = (sum(getattr(cost, side) for cost in comparison.costs) for side in ("base", "head"))
    notes = [f"{prose(note)}  " for note in summary.cost_notes(comparison.costs)]
    if not any(item.difference for cost in comparison.costs for item in cost.items):
        yield Part([f"Standing costs: {summary.money(head)} USD a month, as before.  "], notes)
        return
    heading = ["#### Standing costs, USD a month", "", "| | base | this change | difference |"]
    total = (summary.money(base), summary.money(head), summary.money(head - base, signed=True))
    yield Part(
        [*heading, "| --- | ---: | ---: | ---: |"],
        list(_cost_rows(comparison)),
        [f"| **total** | {' | '.join(f'**{each}**' for each in total)} |"],
        left_out="| … and {} more, in `review.html` | | | |",
    )
    yield Part([], notes)


def _cost_rows(comparison: Comparison) -> Iterator[str]:
    for cost in comparison.costs:
        yield (
            f"| {prose(cost.environment)} | {summary.money(cost.base)} | {summary.money(cost.head)} "
            f"| {summary.money(cost.difference, signed=True)} |"
        )
        for item in cost.items:
            if item.difference:
                yield (
                    f"| · {prose(item.label)}: {item.base_quantity:g} → {item.head_quantity:g} "
                    f"| {summary.money(item.base)} | {summary.money(item.head)} "
                    f"| {summary.money(item.difference, signed=True)} |"
                )


def _fence(language: str, lines: list[str]) -> list[str]:
    longest = max((len(run) for line in lines for run in re.findall("`{3,}", line)), default=2)
    fence = "`" * (longest + 1)
    one_line_each = [re.sub(r"[\r\n\x0b\x0c\x85\u2028\u2029]+", " ⏎ ", visible(line)) for line in lines]
    return [f"{fence}{language}", *one_line_each, fence]


def _size(lines: list[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)
