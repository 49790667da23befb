"""Evidence and compliance: verified bundles, open findings, and what was accepted until when."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from console.evidence import reading
from pipeline.compliance.acknowledgements import PACKS, Acknowledgement, MalformedAcknowledgements
from pipeline.evidence.bundle import pack
from pipeline.local.run import Run
from pipeline.local.state import State
from tests.recorded import record

from .conftest import Open

FACTS = {
    "format": 1, "environment": "prod", "commit": "c0ffee" * 6 + "abcd", "promotion": {"engine": "local", "id": "1"},
    "created": "2026-11-29T01:00:00+00:00", "gate": "pass", "shift": "promoted <b>2</b>", "release": None,
    "approvals": [{"step": "PromoteToProd", "by": "ann", "at": "2026-11-29T00:00:00+00:00", "comment": "gate is fine"}],
    "acknowledged_findings": [],
}  # fmt: skip

FILES = {
    "findings.json": b"[]", "acknowledgements.toml": b"",
    "reports/gate.json": json.dumps({"environment": "prod", "verdict": "pass"}).encode(),
    "reports/outcome.json": json.dumps({"environment": "prod", "text": FACTS["shift"], "exit_code": 0}).encode(),
}  # fmt: skip


def keep(run: Run, content: bytes, name: str = "prod-1.zip") -> Path:
    file = run.folder / "evidence" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    return file


def test_a_whole_bundle_shows_what_it_proves(browser: Open, state: State) -> None:
    keep(record(state), pack(FACTS, FILES, None))
    html = browser().get("/evidence").text
    assert '<span class="badge pass">whole</span>' in html
    assert "promoted &lt;b&gt;2&lt;/b&gt;" in html
    assert "PromoteToProd by ann, 2026-11-29T00:00:00+00:00: gate is fine" in html
    assert "unsigned: who can write this file can forge it" in html


def test_a_bundle_that_was_changed_is_said_at_once(browser: Open, state: State) -> None:
    # Given a bundle that was shown as whole
    file = keep(record(state), pack(FACTS, FILES, None))
    client = browser()
    assert "not trustworthy" not in client.get("/evidence").text
    # When a file in it is changed, then it is trusted no longer
    file.write_bytes(file.read_bytes().replace(b"reports/gate.json", b"reports/g<b>.json"))
    assert "not trustworthy" in client.get("/evidence").text


@pytest.mark.parametrize("content", [b"", b"PK", b"<script>"])
def test_what_is_no_bundle_is_no_bundle(browser: Open, state: State, content: bytes) -> None:
    keep(record(state), content)
    assert "not trustworthy" in browser().get("/evidence").text


def report(run: Run, violations: list[dict[str, Any]]) -> None:
    run.assembly.mkdir()
    plugins = [{"pluginName": name, "violations": violations if name == "PCI.DSS.401" else []} for name in PACKS]
    (run.assembly / "validation-report.json").write_text(json.dumps({"pluginReports": plugins}))


def test_an_open_finding_is_shown_with_its_construct(browser: Open, state: State) -> None:
    construct = {"constructPath": "Prod/Platform/<Bucket>"}
    report(record(state), [{"ruleName": "Logs", "description": "It has no log.", "violatingConstructs": [construct]}])
    html = browser().get("/evidence").text
    assert "1 open, 0 accepted." in html
    assert "PCI.DSS.401::Logs" in html
    assert "Prod/Platform/&lt;Bucket&gt;" in html


def test_findings_that_can_not_be_read_are_not_said_to_be_none(browser: Open, state: State) -> None:
    run = record(state)
    run.assembly.mkdir()
    (run.assembly / "validation-report.json").write_text("{}")
    html = browser().get("/evidence").text
    assert "is no validation report" in html
    assert "No open" not in html


def entry(days: int, finding: str) -> Acknowledgement:
    expires = date.today() + timedelta(days=days)
    return Acknowledgement(
        line=1, findings=(finding,), constructs=("Platform/A",), reason="<i>why</i>", owner="team", expires=expires
    )


def test_what_ends_soon_stands_first_and_is_marked(browser: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "load", lambda: [entry(300, "P::Late"), entry(3, "P::Soon"), entry(-1, "P::Over")])
    html = browser().get("/evidence").text
    assert html.index("P::Over") < html.index("P::Soon") < html.index("P::Late")
    assert '<span class="badge fail">expired</span>' in html
    assert '<span class="badge warn">in 3 days</span>' in html
    assert "&lt;i&gt;why&lt;/i&gt;" in html


def test_a_table_that_is_malformed_is_said(browser: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> list[Acknowledgement]:
        raise MalformedAcknowledgements("acknowledgements.toml:3: missing owner")

    monkeypatch.setattr(reading, "load", load)
    assert "acknowledgements.toml:3: missing owner" in browser().get("/evidence").text


def test_the_table_of_this_checkout_is_shown(browser: Open) -> None:
    assert "Nothing was accepted" not in browser().get("/evidence").text
