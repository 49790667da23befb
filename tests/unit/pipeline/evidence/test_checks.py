"""What a release was tested with stands in its evidence, and so does what was not done."""

import json
from pathlib import Path

import pytest

from pipeline.evidence import __main__ as evidence
from pipeline.evidence.__main__ import main
from pipeline.inspection import digest
from tests.unit.pipeline.evidence.conftest import COMMIT, Released

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.unit.lambdas.test_cards" name="a"/>
<testcase classname="tests.unit.lambdas.test_cards" name="b"><skipped/></testcase>
<testcase classname="tests.unit.pipeline.release.test_shift" name="c">{more}</testcase>
</testsuite></testsuites>"""
AUDITED = {
    "result": "passed",
    "said": "300 packages of 7 lock files; each of the 2 advisories is acknowledged",
    "lock_files": {"requirements/dev.txt": 277, "package-lock.json": 23},
}


@pytest.fixture
def synthesised(released: Released, monkeypatch: pytest.MonkeyPatch) -> Released:
    """The step of the synthesis has left its results, and the assembly was inspected and approved."""
    monkeypatch.setenv("CODEBUILD_RESOLVED_SOURCE_VERSION", COMMIT)
    monkeypatch.setattr(evidence, "ASSEMBLY", released.run.assembly)
    record(released)
    return released


def record(released: Released, *, more: str = "", advisories: object = AUDITED, code: int = 0) -> None:
    Path("unit.xml").write_text(JUNIT.format(more=more))
    Path("advisories.json").write_text(json.dumps(advisories))
    given = ["--tests", "unit.xml", "--advisories", "advisories.json", "--passed", "cfn-lint"]
    assert main(["record", *given]) == code
    released.run.assembly_digest = digest(released.run.assembly)
    released.approve()


def verified(released: Released, capsys: pytest.CaptureFixture[str]) -> list[str]:
    bundle = released.collect()
    capsys.readouterr()
    assert main(["verify", str(bundle)]) == 0
    return [line.strip() for line in capsys.readouterr().out.splitlines()]


def test_the_bundle_says_what_was_tested_and_what_was_not(
    synthesised: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    said = verified(synthesised, capsys)
    assert "checked   unit tests: passed, 3 tests: 0 failed, 1 skipped" in said
    assert "checked   cfn-lint: passed, nothing found that is not accepted" in said
    assert f"checked   advisories: passed, {AUDITED['said']}" in said
    told = json.loads((synthesised.run.assembly / "checks.json").read_text())
    assert told["checks"]["advisories"] == AUDITED, "the whole report, with the lock files"
    assert "NOT DONE  checkov: it did not run" in said


def test_tests_are_counted_by_part(synthesised: Released) -> None:
    told = json.loads((synthesised.run.assembly / "checks.json").read_text())
    assert told["checks"]["unit tests"]["parts"] == {"lambdas": 2, "pipeline": 1}


@pytest.mark.parametrize(
    ("advisories", "said"),
    [
        ({"result": "failed", "said": "six has GHSA-1"}, "FAILED    advisories: six has GHSA-1"),
        ({"result": "not done", "said": "no network"}, "NOT DONE  advisories: no network"),
    ],
)
def test_an_audit_that_failed_or_found_no_network_is_never_silent(
    synthesised: Released, advisories: object, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record(synthesised, advisories=advisories)
    assert said in verified(synthesised, capsys)


def test_an_audit_that_left_no_report_ends_nothing_and_is_told(
    synthesised: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["record", "--tests", "unit.xml", "--advisories", "none.json"]) == 0
    assert "NOT DONE  cfn-lint, checkov, advisories: it did not run" in capsys.readouterr().out


def test_a_promotion_that_tested_nothing_says_so(released: Released, capsys: pytest.CaptureFixture[str]) -> None:
    released.approve()
    said = verified(released, capsys)
    nothing = "the synthesis of this promotion left no result"
    assert f"NOT DONE  unit tests, cfn-lint, checkov, advisories: {nothing}" in said
    assert not any(line.startswith("checked") for line in said)


def test_results_of_another_commit_are_no_evidence(
    synthesised: Released, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CODEBUILD_RESOLVED_SOURCE_VERSION", "f" * 40)
    record(synthesised)
    assert f"checks.json is about commit {'f' * 40}" in synthesised.refusal(capsys)


def test_results_that_changed_after_the_approval_are_no_evidence(
    synthesised: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    file = synthesised.run.assembly / "checks.json"
    file.write_text(file.read_text().replace("0 failed", "0 failed at all"))
    assert "the cloud assembly is not the one that was approved" in synthesised.refusal(capsys)


def test_results_that_are_missing_are_no_results(released: Released, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEBUILD_RESOLVED_SOURCE_VERSION", COMMIT)
    monkeypatch.setattr(evidence, "ASSEMBLY", released.run.assembly)
    assert main(["record", "--tests", "none.xml", "--advisories", "none.json"]) == 1
    assert not (released.run.assembly / "checks.json").exists()


def test_a_failed_test_is_told(synthesised: Released, capsys: pytest.CaptureFixture[str]) -> None:
    record(synthesised, more="<failure/>")
    assert "FAILED    unit tests: 3 tests: 1 failed, 1 skipped" in verified(synthesised, capsys)


def test_the_bundle_names_the_author_as_the_commit_does(released: Released, capsys: pytest.CaptureFixture[str]) -> None:
    released.run.origin = {
        "author": "Ann <ann@company.net>",
        "committer": "Bob <b@x>",
        "signature": "N",
        "started": "root",
    }
    released.approve()
    said = verified(released, capsys)
    assert {"author    Ann <ann@company.net>", "committer Bob <b@x>", "signature N", "started   by root"} <= set(said)
