"""Text of others (commits, logs, names in templates, reasons) is data in every report, whatever it holds."""

import unicodedata
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loadtest.reports import html as gate_report
from pipeline.release import report as release_report
from pipeline.release.record import Release
from pipeline.review.acknowledgements import Table, Terms
from pipeline.review.reports import html as review_report
from reporting.text import visible
from tests.unit.loadtest.test_judge import run
from tests.unit.pipeline.release.test_reports_and_git import rolled_back
from tests.unit.pipeline.review.given import comparison, finding, resource
from tests.unit.reporting.reading import self_contained

FRAGMENTS = (
    "<script>alert(1)</script>", "</style>", "</title>", "</svg>", "<!--", "]]>", "&lt;", "&#60;", '"', "'", "`",
    '" onload="alert(1)', "{{7*7}}", "{% raw %}", "{#", "javascript:alert(1)", "\x00", "\x1b[31m", "\r", "\u2028",
    "\u202e", "\u2066", "\u200f", "\ufeff", "\udc80", "\U000e0041",
)  # fmt: skip
HOSTILE = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), min_size=1, max_size=6).map(
    lambda parts: "a" + "".join(parts)
)
"""Never empty: a report may leave out what there is nothing of."""
HARMLESS = "harmless"
RESULT = run(stall=2.0)
RELEASE = rolled_back(running="a" * 40, ahead="b" * 40)


def of_gate(text: str) -> str:
    """The page of a run with ``text`` for environment, URL, route, reasons and version."""
    [route, *_] = RESULT.routes
    name = f"/{text}"
    subject = replace(RESULT.subject, environment=text, url=text, run_id=text, started=text)
    return gate_report.page(
        replace(
            RESULT,
            subject=subject,
            reasons=[text],
            routes=[replace(route, route=name)],
            warmth={name: RESULT.warmth[route.route]},
            processor={name: RESULT.processor[route.route]},
            versions={name: {text: 400}},
            histograms={name: RESULT.histograms[route.route]},
            timeline=[replace(point, route=name) for point in RESULT.timeline if point.route == route.route],
        )
    )


def of_release(text: str) -> str:
    """The page of a release with ``text`` wherever a person, a commit or AWS can put it."""
    analysis = RELEASE.analysis_runs[0]
    told: Release = replace(
        RELEASE,
        environment=text,
        started_by=text,
        commit=text,
        cause=f"because {text}",
        override=f"though {text}",
        ignored_alarms=(text,),
        stable=dict.fromkeys(RELEASE.stable, text),
        analysis_runs=(replace(analysis, findings=tuple(replace(each, text=text) for each in analysis.findings)),),
        events=tuple(replace(each, text=text) for each in RELEASE.events),
    )
    return release_report.html(told)


def of_review(text: str) -> str:
    """The page of a review with ``text`` in templates, findings and acknowledgements."""
    before = resource(text, {text: text, "FunctionName": text}, path=text)
    known = finding(f"Dev/{text}", reason=text)
    terms = Terms(reason=text, owner=text, expires=text)
    acknowledged = Table(terms={}), Table(terms={(text, text, "dev"): terms})
    after = before | {"Properties": {"B": text}}
    return review_report.page(
        comparison(head=[known], before={"R": before}, after={"R": after}, acknowledged=acknowledged)
    )


@pytest.mark.parametrize("page_with", [of_gate, of_release, of_review])
@given(text=HOSTILE)
@example("".join(FRAGMENTS))
@settings(max_examples=20, deadline=None)
def test_hostile_text_is_shown_and_changes_nothing_else_in_the_page(page_with: Callable[[str], str], text: str) -> None:
    page = page_with(text)
    # It is there, in full, as it was written, and in it what can't be seen is spelled out
    read = self_contained(page)
    assert visible(text) in read.text
    # The page has the elements and attributes that it has with any other text
    assert read.elements == self_contained(page_with(HARMLESS)).elements
    # And none of its characters is invisible or turns the text around
    hidden = [each for each in page if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert {*hidden} <= {*"\n\t\u200c\u200d"}
