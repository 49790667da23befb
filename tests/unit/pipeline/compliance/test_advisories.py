"""Advisories about locked packages: each is fixed or accepted, and no package is left out."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline.compliance.advisories import main

OWNERS = 'owners = ["payments"]\n'
TODAY = date(2027, 1, 1)
GHSA, CVE = "GHSA-aaaa-bbbb-cccc", "CVE-2027-0001"
VULNERABLE = {
    "name": "pg8000",
    "version": "1.0.0",
    "vulns": [{"id": "PYSEC-2027-1", "aliases": [CVE, GHSA], "fix_versions": ["1.0.1"], "description": "Bad."}],
}
CLEAN = {"name": "six", "version": "1.17.0", "vulns": []}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two lock files, and a pip-audit that answers with the file beside each."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / "lambdas").mkdir()
    tool = tmp_path / "bin" / "pip-audit"
    tool.parent.mkdir()
    tool.write_text(
        "#!/bin/sh\nwhile [ $# -gt 0 ]; do case $1 in --output) out=$2;; --requirement) in=$2;; esac; shift; done\n"
        'cp "$in.report" "$out" 2> /dev/null || { echo "no network" >&2; exit 1; }\nexit 1\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    answer(tmp_path, "requirements/dev.txt", CLEAN)
    answer(tmp_path, "lambdas/requirements.txt", CLEAN)
    return tmp_path


def answer(root: Path, lock: str, *packages: dict[str, Any]) -> None:
    (root / lock).write_text("")
    (root / f"{lock}.report").write_text(json.dumps({"dependencies": packages, "fixes": []}))


def audited(root: Path, *entries: str) -> int:
    table = root / "table.toml"
    table.write_text(OWNERS + "\n".join(entries))
    return main([], root=root, table=table, today=TODAY)


def entry(finding: str, *, construct: str = "lambdas/requirements.txt/pg8000", expires: str = "2027-06-30") -> str:
    return f"""[[acknowledgement]]
constructs = ["{construct}"]
findings = ["Advisories::{finding}"]
reason = "The function that is vulnerable is never called."
owner = "payments"
expires = {expires}
"""


def test_packages_without_advisories_pass(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audited(root) == 0
    assert capsys.readouterr().out == "advisories: 2 locked packages; each of the 0 advisories is acknowledged\n"


def test_the_report_says_what_was_found_and_who_accepted_it(root: Path) -> None:
    # Given an accepted advisory
    answer(root, "lambdas/requirements.txt", CLEAN, VULNERABLE)
    table, report = root / "table.toml", root / "reports" / "audit.json"
    table.write_text(OWNERS + entry(GHSA))
    # When
    assert main(["--report", str(report)], root=root, table=table, today=TODAY) == 0
    # Then
    said = json.loads(report.read_text())
    assert (said["result"], said["at"], said["packages"]) == ("passed", "2027-01-01", 3)
    assert GHSA in said["advisories"][0]["names"]
    assert (said["accepted"][0]["owner"], said["accepted"][0]["expires"]) == ("payments", "2027-06-30")


def test_a_report_never_calls_what_failed_or_was_not_done_passed(root: Path) -> None:
    table, report = root / "table.toml", root / "audit.json"
    table.touch()
    answer(root, "lambdas/requirements.txt", VULNERABLE)
    assert main(["--report", str(report)], root=root, table=table, today=TODAY) == 1
    said = json.loads(report.read_text())
    assert said["result"] == "failed"
    assert "pg8000 1.0.0 has PYSEC-2027-1" in said["said"]
    (root / "requirements/dev.txt.report").unlink()
    assert main(["--report", str(report)], root=root, table=table, today=TODAY) == 2
    said = json.loads(report.read_text())
    assert said["result"] == "not done"
    assert "no network" in said["said"]


def test_an_advisory_fails_and_names_package_and_fix(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer(root, "lambdas/requirements.txt", CLEAN, VULNERABLE)
    assert audited(root) == 1
    assert "lambdas/requirements.txt/pg8000 1.0.0 has PYSEC-2027-1, fixed in 1.0.1" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["PYSEC-2027-1", GHSA, CVE])
def test_the_table_accepts_it_by_any_of_its_names_in_one_lock_file(root: Path, name: str) -> None:
    answer(root, "lambdas/requirements.txt", CLEAN, VULNERABLE)
    assert audited(root, entry(name)) == 0
    answer(root, "requirements/dev.txt", VULNERABLE)
    assert audited(root, entry(name)) == 1


@pytest.mark.parametrize(
    ("acknowledgement", "said"),
    [
        (entry(GHSA, expires="2026-12-31"), "expired on 2026-12-31"),
        (entry(GHSA, expires="2029-12-31"), "for more than a year"),
        (entry("GHSA-gone"), "is not found here any more"),
    ],
)
def test_an_acknowledgement_that_no_longer_holds_fails(
    root: Path, acknowledgement: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(root, "lambdas/requirements.txt", VULNERABLE)
    assert audited(root, acknowledgement) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "report", ["", "[]", '{"dependencies": [{"name": "x"}]}', '{"dependencies": [{"name": "x", "skip_reason": "why"}]}']
)
def test_what_could_not_be_audited_never_passes(root: Path, report: str, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "requirements/dev.txt.report").write_text(report)
    assert audited(root) == 2
    assert "requirements/dev.txt: pip-audit" in capsys.readouterr().err


def test_without_a_network_or_without_the_program_nothing_passes(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "requirements/dev.txt.report").unlink()
    assert audited(root) == 2
    assert "no network" in capsys.readouterr().err
    monkeypatch.setenv("PATH", "/nonexistent")
    assert audited(root) == 2
    assert "`make audit` installs it" in capsys.readouterr().err
