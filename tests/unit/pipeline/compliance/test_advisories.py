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
LOCK = {
    "packages": {
        "": {"name": "the project"},
        "node_modules/tool": {"version": "1.0.0"},
        "node_modules/@of/tar": {"version": "3.0.0"},
        "node_modules/tool/node_modules/@of/tar": {"version": "2.1.0"},
    }
}
BAD_TAR = {
    "name": "@of/tar",
    "via": [
        {"source": 42, "url": f"https://example.com/advisories/{GHSA}", "range": ">=2.0.0 <2.1.4 || >=3.0.0 <3.0.1"}
    ],
    "nodes": ["node_modules/@of/tar", "node_modules/tool/node_modules/@of/tar"],
}
BAD_TOOL = {"name": "tool", "via": ["@of/tar"], "nodes": ["node_modules/tool"]}
"""The tool needs the package that has the advisory."""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with three lock files. pip-audit and npm answer with the file beside each."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / "lambdas").mkdir()
    tool = tmp_path / "bin" / "pip-audit"
    tool.parent.mkdir()
    tool.write_text(
        "#!/bin/sh\nwhile [ $# -gt 0 ]; do case $1 in --output) out=$2;; --requirement) in=$2;; esac; shift; done\n"
        'cp "$in.report" "$out" 2> /dev/null || { echo "no network" >&2; exit 1; }\nexit 1\n'
    )
    npm = tool.with_name("npm")
    npm.write_text('#!/bin/sh\necho "$@" > asked\ncat package-lock.json.report || exit 1\n')
    tool.chmod(0o755)
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    answer(tmp_path, "requirements/dev.txt", CLEAN)
    answer(tmp_path, "lambdas/requirements.txt", CLEAN)
    (tmp_path / "package-lock.json").write_text(json.dumps(LOCK))
    npm_answers(tmp_path)
    return tmp_path


def answer(root: Path, lock: str, *packages: dict[str, Any]) -> None:
    (root / lock).write_text("")
    (root / f"{lock}.report").write_text(json.dumps({"dependencies": packages, "fixes": []}))


def npm_answers(root: Path, *vulnerable: dict[str, Any]) -> None:
    report = {"auditReportVersion": 2, "vulnerabilities": {each["name"]: each for each in vulnerable}}
    (root / "package-lock.json.report").write_text(json.dumps(report))


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
    assert (
        capsys.readouterr().out == "advisories: 4 packages of 3 lock files; each of the 0 advisories is acknowledged\n"
    )


def test_the_report_says_what_was_found_and_who_accepted_it(root: Path) -> None:
    # Given an accepted advisory
    answer(root, "lambdas/requirements.txt", CLEAN, VULNERABLE)
    table, report = root / "table.toml", root / "reports" / "audit.json"
    table.write_text(OWNERS + entry(GHSA))
    # When
    assert main(["--report", str(report)], root=root, table=table, today=TODAY) == 0
    # Then
    said = json.loads(report.read_text())
    assert (said["result"], said["at"], said["packages"]) == ("passed", "2027-01-01", 5)
    assert said["lock_files"] == {"lambdas/requirements.txt": 2, "requirements/dev.txt": 1, "package-lock.json": 2}
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


# --- npm's packages ---------------------------------------------------------------------------------------------------


def test_an_advisory_about_a_package_of_npm_fails_at_the_package_that_has_it(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    npm_answers(root, BAD_TAR, BAD_TOOL)
    assert audited(root) == 1
    said = capsys.readouterr().err
    assert f"package-lock.json/@of/tar 2.1.0, 3.0.0 has {GHSA}, fixed in 2.1.4, 3.0.1" in said
    assert len(said.splitlines()) == 1


def test_the_table_accepts_it_until_a_date_and_until_it_is_gone(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tar = "package-lock.json/@of/tar"
    npm_answers(root, BAD_TAR)
    assert audited(root, entry(GHSA, construct=tar)) == 0
    assert audited(root, entry(GHSA, construct=tar, expires="2026-12-31")) == 1
    assert f"{GHSA} expired on 2026-12-31" in capsys.readouterr().err
    npm_answers(root)
    assert audited(root, entry(GHSA, construct=tar)) == 1
    assert f"{GHSA} is not found here any more" in capsys.readouterr().err


def test_no_configuration_leaves_out_packages_and_nothing_is_installed(root: Path) -> None:
    assert audited(root) == 0
    asked = (root / "asked").read_text().split()
    assert {"--package-lock-only", "--include=dev", "--include=optional"} <= {*asked}


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ('{"message": "request failed, reason: getaddrinfo ENOTFOUND", "error": {}}', "getaddrinfo ENOTFOUND"),
        ("", "npm ended with code 0, and no report"),
        ("[]", "npm ended with code 0, and no report"),
        ('{"vulnerabilities": {"x": {"via": [{"title": "no address"}]}}}', "npm ended with code 0, and no report"),
        ('{"vulnerabilities": {"x": {"via": [1], "nodes": []}}}', "npm ended with code 0, and no report"),
    ],
)
def test_what_npm_could_not_look_up_never_passes(
    root: Path, report: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "package-lock.json.report").write_text(report)
    assert audited(root) == 2
    assert said in capsys.readouterr().err


def test_without_npm_or_its_lock_file_nothing_passes(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for each in ("cp", "cat"):
        (root / "bin" / each).symlink_to(f"/bin/{each}")
    monkeypatch.setenv("PATH", str(root / "bin"))
    (root / "bin" / "npm").rename(root / "npm")
    assert audited(root) == 2
    assert "the command npm is not on the PATH" in capsys.readouterr().err
    (root / "npm").rename(root / "bin" / "npm")
    (root / "package-lock.json").unlink()
    assert audited(root) == 2
    assert "package-lock.json" in capsys.readouterr().err
