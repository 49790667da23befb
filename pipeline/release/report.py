"""The report of a release: JSON for programs, Markdown for reviews, one self-contained HTML page for people."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.release import charts
from pipeline.release.analysis import AnalysisRun, AnalysisVerdict, Finding
from pipeline.release.git import Disagreement
from pipeline.release.record import Release
from pipeline.release.samples import total
from pipeline.release.view import name, when
from reporting import render

PAGE = Path(__file__).with_name("release.html")


def write_reports(folder: Path, release: Release) -> None:
    """Write ``release.json``, ``release.md`` and ``release.html`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "release.json").write_text(json.dumps(json.loads(release.to_json()), indent=1) + "\n", encoding="utf-8")
    (folder / "release.md").write_text("\n".join(_markdown(release)) + "\n", encoding="utf-8")
    (folder / "release.html").write_text(html(release), encoding="utf-8")


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


def rows(run: AnalysisRun) -> Iterator[tuple[str, str, str, str, str]]:
    """Both versions: label, requests, errors, p90, p99."""
    for label, samples in (("stable", run.stable), ("candidate", run.candidate)):
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
    for run in release.analysis_runs:
        yield ""
        yield f"## {run.weight} %: {run.verdict}"
        yield ""
        yield "| Version | Requests | Errors | p90 | p99 |"
        yield "|---|---:|---:|---:|---:|"
        for row in rows(run):
            yield f"| {' | '.join(row)} |"
        yield ""
        for finding in run.findings:
            yield f"- {finding.verdict}: {finding.text}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def html(release: Release) -> str:
    """The page for people."""
    weight, latency, errors = charts.draw(release)
    return render(
        PAGE,
        release=release,
        facts=_facts(release),
        weight=weight,
        latency=latency,
        errors=errors,
        samples=lambda run: ((version, cells) for version, *cells in rows(run)),
        by_verdict=worst_first,
        when=when,
    )


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    order = (AnalysisVerdict.FAIL, AnalysisVerdict.INCONCLUSIVE, AnalysisVerdict.PASS)
    return sorted(findings, key=lambda finding: order.index(finding.verdict))
