"""The report of a release: JSON for programs, Markdown for reviews, one self-contained HTML page for people."""

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path

from pipeline.release.analysis import Look
from pipeline.release.chart import chart
from pipeline.release.git import Disagreement
from pipeline.release.record import Release
from pipeline.release.samples import total
from pipeline.release.view import name, when

STYLE = Path(__file__).with_name("report.css")


def write_reports(folder: Path, release: Release) -> None:
    """Write ``release.json``, ``release.md`` and ``release.html`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "release.json").write_text(json.dumps(json.loads(release.to_json()), indent=1) + "\n", encoding="utf-8")
    (folder / "release.md").write_text("\n".join(_markdown(release)) + "\n", encoding="utf-8")
    (folder / "release.html").write_text(_html(release), encoding="utf-8")


def _facts(release: Release) -> Iterator[tuple[str, str]]:
    yield "Versions", f"{name(release.stable)} → {name(release.candidate)}{' (undo)' if release.undoes else ''}"
    yield "Commit", f"{release.commit or 'unknown'} (stable: {release.stable_commit or 'unknown'})"
    yield "Started", f"{when(release.events[0].at)} by {release.started_by}"
    yield "Took", f"{release.events[-1].at - release.events[0].at:.0f} s"
    if release.cause:
        yield "Cause", release.cause
    if release.defect:
        yield "Defect", release.defect.strip().rpartition("\n")[2] + " (traceback in release.json)"
    if release.override:
        yield "Override", release.override
    if release.ignored_alarms:
        yield "Ignored alarms", ", ".join(release.ignored_alarms)
    if disagreement := Disagreement.after(release):
        yield "Git", disagreement.advice


def _rows(look: Look) -> Iterator[tuple[str, str, str, str, str]]:
    for label, samples in (("stable", look.stable), ("candidate", look.candidate)):
        sample = total(samples.values())
        p90, p99 = sample.quantile(0.9), sample.quantile(0.99)
        yield (
            label,
            str(sample.requests),
            f"{sample.error_rate:.2%}",
            "-" if p90 is None else f"{p90:.0f} ms",
            "-" if p99 is None else f"{p99:.0f} ms",
        )


def _markdown(release: Release) -> Iterator[str]:
    yield f"# Release {release.release_id} of {release.environment}: {release.phase}"
    yield ""
    for label, value in _facts(release):
        yield f"- {label}: {value}"
    yield ""
    yield "| Time | Weight | Decision |"
    yield "|---|---:|---|"
    for event in release.events:
        yield f"| {when(event.at)} | {event.weight} % | {_cell(event.text)} |"
    for look in release.looks:
        yield ""
        yield f"## {look.weight} %: {look.verdict}"
        yield ""
        yield "| Version | Requests | Errors | p90 | p99 |"
        yield "|---|---:|---:|---:|---:|"
        for row in _rows(look):
            yield f"| {' | '.join(row)} |"
        yield ""
        for finding in look.findings:
            yield f"- {finding.verdict}: {finding.text}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _html(release: Release) -> str:
    facts = "".join(f"<tr><th>{label}</th><td>{escape(value)}</td></tr>" for label, value in _facts(release))
    events = "".join(
        f'<tr><td class="n">{when(event.at)}</td><td class="n">{event.weight} %</td><td>{escape(event.text)}</td></tr>'
        for event in release.events
    )
    looks = "".join(_look_html(look) for look in release.looks) or '<p class="soft">No step was analysed.</p>'
    title = f"Release {release.release_id} of {release.environment}"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)}</title><style>
{STYLE.read_text(encoding="utf-8")}</style></head><body>
<h1>{escape(title)} <span class="badge {release.phase}">{release.phase}</span></h1>
<table>{facts}</table>
<h2>Traffic, latency and errors</h2>
<p class="key soft">Minutes and seconds since the start.
<span class="blue">stable</span><span class="green">candidate</span></p>
{chart(release)}
<h2>Decisions</h2>
<table><tr><th>Time</th><th>Weight</th><th>Decision and reason</th></tr>{events}</table>
<h2>Analysis</h2>
{looks}
</body></html>
"""


def _look_html(look: Look) -> str:
    rows = "".join("<tr>" + "".join(f'<td class="n">{cell}</td>' for cell in row) + "</tr>" for row in _rows(look))
    findings = "".join(
        f'<li><span class="{finding.verdict}">{finding.verdict}</span> {escape(finding.text)}</li>'
        for finding in look.findings
    )
    return (
        f'<h3>{look.weight} %: <span class="{look.verdict}">{look.verdict}</span></h3>'
        "<table><tr><th>Version</th><th>Requests</th><th>Errors</th><th>p90</th><th>p99</th></tr>"
        f"{rows}</table><ul>{findings}</ul>"
    )
