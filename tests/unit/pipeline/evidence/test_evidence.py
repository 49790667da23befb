"""The bundle of a release: what is in it, and when there is none."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from loadtest.reports import write_trouble
from pipeline.evidence.__main__ import main
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import Behaviour

from .conftest import COMMIT, ENVIRONMENT, Released, write_findings


def content(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def manifest(bundle: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(content(bundle)["manifest.json"])
    return found


def test_a_bundle_says_what_was_released_what_proved_it_and_who_approved(
    released: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a release that ann approved
    released.approve(by="ann")
    # When its evidence is collected
    bundle = released.collect()
    # Then the step's conclusion is where it lies
    assert capsys.readouterr().out.splitlines()[-1] == f"evidence test: {bundle}"
    assert bundle.name.startswith("test-20")
    assert bundle.name.endswith(f"Z-{COMMIT[:12]}.zip")
    # And the manifest names commit, run, approval, and what gate and shift concluded
    said = manifest(bundle)
    assert (said["environment"], said["commit"]) == ("test", COMMIT)
    assert said["promotion"] == {"engine": "local", "id": released.run.id}
    assert said["approvals"] == [
        {"step": "PromoteToTest", "by": "ann", "at": "2027-01-15T08:00:00+00:00", "comment": None}
    ]
    assert (said["gate"], said["shift"]) == ("pass", "promoted: version 2 is stable")
    # And that nobody signed it: on one machine there is no key that its user doesn't hold
    assert said["signature"] is None
    # And the files are the reports and templates as they were
    files = content(bundle)
    for name in ("gate.json", "gate.junit.xml", "outcome.json", "release.json", "release.md", "release.html"):
        assert files[f"reports/{name}"] == (released.reports / name).read_bytes()
    assert json.loads(files["templates/payment-platform-test.template.json"]) == {"Description": "Test"}
    assert json.loads(files["templates/payment-pipeline.template.json"]) == {"Description": "Pipeline"}
    assert not [name for name in files if "other" in name.lower()]
    assert b"[[acknowledgement]]" in files["acknowledgements.toml"]


def test_findings_are_those_of_this_environment_and_of_the_pipeline_each_with_its_reason(released: Released) -> None:
    released.approve()
    findings = json.loads(content(released.collect())["findings.json"])
    assert [(each["construct"], each["reason"]) for each in findings] == [
        ("Test/Platform/Api", "Needed, says delivery."),
        ("payment-pipeline/Key", "Needed, says delivery."),
    ]


def test_a_release_with_nothing_to_shift_is_evidence_too(released: Released) -> None:
    # Given a promotion of what is stable already
    released.approve()
    assert released.shift(Bench(stable="2", candidate="2")) == 0
    # When, then
    bundle = released.collect()
    assert manifest(bundle)["shift"] == "nothing to do: version 2 is stable already"
    assert "reports/release.json" not in content(bundle)


def test_each_steps_reports_may_lie_in_a_folder_of_their_own(released: Released) -> None:
    # Given the reports as CodePipeline hands them on: linked folders
    released.approve()
    for step, prefix in (("gate", "gate"), ("shift", "")):
        artifact = released.run.folder / f"artifact-{step}"
        artifact.mkdir()
        for file in released.reports.glob(f"{prefix}*.*"):
            file.rename(artifact / file.name)
        (released.reports / step).symlink_to(artifact)
    # When, then
    assert {"reports/gate.json", "reports/release.json", "reports/outcome.json"} <= content(released.collect()).keys()


def test_the_same_release_makes_the_same_bundle_but_for_its_time(released: Released) -> None:
    # Given one bundle
    released.approve()
    first = released.collect()
    before = content(first)
    # When the files are written anew, in another order
    first.unlink()
    for file in sorted(released.reports.iterdir(), reverse=True):
        data = file.read_bytes()
        file.unlink()
        file.write_bytes(data)
        os.utime(file, (0, 0))
    again = released.collect()
    # Then
    with zipfile.ZipFile(again) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.namelist() == list(before)
    assert {n: d for n, d in content(again).items() if n != "manifest.json"} == {
        n: d for n, d in before.items() if n != "manifest.json"
    }


@pytest.mark.parametrize("name", ["gate.json", "outcome.json", "release.json"])
def test_a_missing_report_is_named_and_there_is_no_bundle(
    released: Released, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    released.approve()
    (released.reports / name).unlink()
    assert released.refusal(capsys).startswith(f"{name} is missing in reports/test")


@pytest.mark.parametrize(
    "name",
    [
        "plan.json",
        "manifest.json",
        "validation-report.json",
        "payment-pipeline.template.json",
        "assembly-Test/TestPlatform.template.json",
    ],
)
def test_a_missing_part_of_the_assembly_is_named_and_there_is_no_bundle(
    released: Released, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    released.approve()
    (released.run.assembly / name).unlink()
    assert str(released.run.assembly / name) in released.refusal(capsys)


def test_without_the_approval_that_the_plan_asks_for_there_is_no_bundle(
    released: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "says of nobody that they approved PromoteToTest" in released.refusal(capsys)
    released.run.approvals.append({"step": "PromoteToTest", "decision": "rejected", "by": "bob", "at": 1.0})
    released.run.save()
    assert "says of nobody that they approved PromoteToTest" in released.refusal(capsys)


def test_an_unreadable_record_of_the_run_is_named(released: Released, capsys: pytest.CaptureFixture[str]) -> None:
    (released.run.folder / "run.json").write_text("{")
    assert f"{released.run.folder / 'run.json'} can't be read" in released.refusal(capsys)


def test_a_gate_without_verdict_is_no_evidence(released: Released, capsys: pytest.CaptureFixture[str]) -> None:
    released.approve()
    write_trouble(ENVIRONMENT, None, released.reports)
    assert released.refusal(capsys) == "gate.json: the verdict is 'unfinished', not 'pass'\n"


def test_a_release_that_was_rolled_back_is_no_evidence(released: Released, capsys: pytest.CaptureFixture[str]) -> None:
    # Given a candidate that fails
    released.approve()
    bench = Bench()
    bench.aws.behaviour["2"] = Behaviour(errors=0.5)
    assert released.shift(bench) == 1
    # When, then
    assert released.refusal(capsys).startswith("outcome.json: `shift` ended with 'rolled back to version 1")


def test_reports_of_another_environment_or_release_are_no_evidence(
    released: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    released.approve()
    for name, key, other, said in (
        ("release.json", "release_id", "20200101T000000Z", "release.json is of another release than outcome.json"),
        ("gate.json", "environment", "prod", "gate.json is about prod, not about test"),
    ):
        report = json.loads((released.reports / name).read_text())
        (released.reports / name).write_text(json.dumps(report | {key: other}))
        assert released.refusal(capsys).startswith(said)


def test_of_two_reports_of_one_name_none_is_chosen(released: Released, capsys: pytest.CaptureFixture[str]) -> None:
    released.approve()
    (released.reports / "older").mkdir()
    (released.reports / "older" / "gate.json").write_text("{}")
    assert "holds gate.json twice" in released.refusal(capsys)


def test_a_finding_that_nobody_acknowledged_is_no_evidence(
    released: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    released.approve()
    write_findings(released.run.assembly, "Test/Platform/Api", reason=None)
    assert "Rule at Test/Platform/Api is not acknowledged" in released.refusal(capsys)


def test_an_environment_that_wants_an_approval_must_have_one_in_its_plan(
    released: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a plan that lets prod through without asking
    plan = json.loads((released.run.assembly / "plan.json").read_text())
    plan["stages"][1] |= {"environment": "prod", "pre": []}
    (released.run.assembly / "plan.json").write_text(json.dumps(plan))
    released.reports.rename(released.reports.with_name("prod"))
    for report in Path("reports/prod").glob("*.json"):
        report.write_text(report.read_text().replace('"environment": "test"', '"environment": "prod"'))
    # When, then
    assert main(["collect", "--env", "prod"]) == 1
    assert "prod wants an approval, and the plan has none" in capsys.readouterr().err


def test_outside_of_a_promotion_there_is_nothing_to_collect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RUN_FOLDER", raising=False)
    monkeypatch.delenv("PIPELINE_EXECUTION_ID", raising=False)
    assert main(["collect", "--env", "test"]) == 1
    assert "no promotion is under way" in capsys.readouterr().err
