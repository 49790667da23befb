"""A comparison as Markdown: for a pull request's comment, a step summary, a terminal."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from pipeline.environments import PROMOTION_ORDER
from pipeline.review.comparison import Comparison
from pipeline.review.findings import Finding
from pipeline.review.names import MARKER

STAGES = tuple(each.name.capitalize() for each in PROMOTION_ORDER)


def render(comparison: Comparison, *, base: str, head: str) -> str:
    """The whole text; ``base`` and ``head`` are what the reader calls the two commits."""
    verdict = "No new findings" if comparison.passes else f"{len(comparison.new)} new findings"
    sections = [
        ("New: fix them, or acknowledge them one by one", comparison.new),
        ("Newly acknowledged: do the reasons hold?", comparison.newly_acknowledged),
        ("Fixed", comparison.fixed),
    ]
    lines = [
        MARKER,
        f"### Compliance: {verdict}",
        "",
        f"| from {base} to {head} | new | newly acknowledged | fixed | unchanged |",
        "| --- | --- | --- | --- | --- |",
        f"| findings | {' | '.join(str(len(each)) for each in _parts(comparison))} |",
    ]
    for title, findings in sections:
        if findings:
            lines += ["", f"#### {title}", "", *_list(findings)]
    return "\n".join(lines) + "\n"


def _parts(comparison: Comparison) -> tuple[tuple[Finding, ...], ...]:
    return comparison.new, comparison.newly_acknowledged, comparison.fixed, comparison.unchanged


def _list(findings: Iterable[Finding]) -> Iterator[str]:
    """One line for the same finding in several environments."""

    def same(finding: Finding) -> tuple[str, str, str]:
        return finding.rule, _split(finding.construct)[1], finding.reason or ""

    for (rule, construct, reason), group in groupby(sorted(findings, key=same), key=same):
        members = list(group)
        stages = [stage for each in members if (stage := _split(each.construct)[0])]
        where = f"{construct} ({', '.join(stages)})" if stages else construct
        place = f" in `{members[0].file}:{members[0].line}`" if members[0].file else ""
        yield f"- `{rule}` at `{where}`{place}  "
        yield f"  {reason or members[0].description}"


def _split(construct: str) -> tuple[str, str]:
    stage, _, rest = construct.partition("/")
    return (stage, rest) if stage in STAGES else ("", construct)
