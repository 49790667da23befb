"""The bundle of a release: its content, and the reasons not to write it."""

import json
import os
import resource
import signal
import zipfile
from pathlib import Path
from typing import Any

import pytest

from loadtest.reports import write_trouble
from loadtest.result import ExitCode as GateExitCode
from loadtest.result import GateError
from pipeline.evidence import __main__ as evidence
from pipeline.evidence.__main__ import main
from pipeline.evidence.bundle import zipped
from pipeline.evidence.reports import GATE_REPORTS, RELEASE_REPORTS, REPORTS
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import Behaviour

from .conftest import COMMIT, ENVIRONMENT, Frozen, Released, pass_gate, traffic, write, write_findings


def content(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def manifest(bundle: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(content(bundle)["manifest.json"])
    return found


def test_a_bundle_holds_the_commit_the_reports_and_the_approval(
    released: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a release that ann approved
    released.approve(by="ann")
    # When its evidence is collected
    bundle = released.collect()
    # Then the step's conclusion is the bundle's location
    assert capsys.readouterr().out.splitlines()[-1] == f"evidence test: {bundle}"
    assert bundle.name.startswith("test-20")
    assert bundle.name.endswith(f"Z-{COMMIT[:12]}.zip")
    # And the manifest names commit, run, approval, and the conclusions of gate and shift
    said = manifest(bundle)
    assert (said["environment"], said["commit"]) == ("test", COMMIT)
    assert said["promotion"] == {"engine": "local", "id": released.run.id}
    assert said["approvals"] == [
        {
            "step": "PromoteToTest",
            "by": "ann",
            "at": "2026-01-15T08:00:00+00:00",
            "comment": None,
            "is_author": None,
        }
    ]
    assert (said["gate"], said["shift"]) == ("pass", "promoted: version 2 is stable")
    # And it is unsigned: on one machine the user holds every key
    assert said["signature"] is None
    # And the files are the reports and templates, unchanged
    files = content(bundle)
    for name in ("gate.json", "gate.junit.xml", "outcome.json", "release.json", "release.md", "release.html"):
        assert files[f"reports/{name}"] == (released.reports / name).read_bytes()
    assert json.loads(files["templates/payment-platform-test.template.json"])["Description"] == "Test"
    assert json.loads(files["templates/payment-pipeline.template.json"]) == {"Description": "Pipeline"}
    assert not [name for name in files if "other" in name.lower()]
    assert b"[[acknowledgement]]" in files["acknowledgements.toml"]


def test_a_comment_of_the_approver_is_evidence_too(released: Released) -> None:
    released.approve(by="ann")
    released.run.approvals[-1] |= {"name": "Ann", "comment": "gate is fine"}
    released.run.save()
    [approval] = manifest(released.collect())["approvals"]
    assert (approval["by"], approval["comment"]) == ("ann", "gate is fine")


def test_findings_are_those_of_this_environment_and_of_the_pipeline_each_with_its_reason(released: Released) -> None:
    released.approve()
    findings = json.loads(content(released.collect())["findings.json"])
    assert [(each["construct"], each["reason"]) for each in findings] == [
        ("Test/Platform/Api", "Needed, says delivery."),
        ("payment-pipeline/Key", "Needed, says delivery."),
    ]


def test_the_losses_of_a_release_within_its_budget_are_told(
    released: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a shift during which one request was lost
    released.approve()
    write(released.reports / "traffic.json", traffic(lost=1))
    # When
    bundle = released.collect()
    # Then the bundle says so, and so does its verification
    assert manifest(bundle)["traffic"] == {"sent": 100, "lost": 1, "wrong": 0}
    assert manifest(bundle)["failure"] is None
    assert main(["verify", str(bundle)]) == 0
    assert "traffic   100 sent, 1 lost, 0 wrong" in capsys.readouterr().out


def test_a_release_that_went_live_over_its_budget_leaves_evidence(released: Released) -> None:
    released.approve()
    write(released.reports / "traffic.json", traffic(lost=40, overspent=True))

    said = manifest(released.collect_failed())

    assert said["shift"] == "promoted: version 2 is stable"
    assert said["release"]
    assert said["traffic"]["lost"] == 40
    assert said["failure"] == "requests were lost or answered wrongly beyond the budget; what the shift did stands"


def test_a_retry_after_the_release_went_live_names_it(released: Released) -> None:
    # Given a release that is promoted, and whose step failed afterwards
    released.approve()
    bench = Bench()
    assert released.shift(bench) == 0
    first = json.loads((released.reports / "release.json").read_text())["release_id"]
    # When the stage is tried again, and there is nothing to do
    assert released.shift(bench) == 0
    bundle = released.collect()
    # Then the bundle names the release that made the version stable, and has its story
    assert manifest(bundle)["shift"] == "nothing to do: version 2 is stable already"
    assert manifest(bundle)["release"]["id"] == first
    assert "reports/release.json" in content(bundle)


def test_a_release_that_was_rolled_back_leaves_evidence(released: Released, capsys: pytest.CaptureFixture[str]) -> None:
    # Given a candidate that fails
    released.approve()
    bench = Bench()
    bench.aws.behaviour["2"] = Behaviour(errors=0.5)
    assert released.shift(bench) == 1
    capsys.readouterr()
    # When the step keeps its evidence, then what it prints is a detail of the step's conclusion
    bundle = released.collect_failed()
    assert capsys.readouterr().out == f"  evidence test: {bundle}\n"
    # And the bundle says how it ended, with the findings, templates and approvals of any other
    said = manifest(bundle)
    assert said["failure"] == said["shift"]
    assert said["shift"].startswith("rolled back to version 1: analysis:")
    assert said["release"]["id"] == json.loads(content(bundle)["reports/release.json"])["release_id"]
    assert [each["by"] for each in said["approvals"]] == ["ann"]
    assert "findings.json" in content(bundle)
    assert main(["verify", str(bundle)]) == 0
    assert "FAILED    rolled back to version 1" in capsys.readouterr().out


def test_a_release_that_failed_at_the_gate_leaves_evidence(released: Released) -> None:
    # Given a gate without a verdict, and no shift
    released.approve()
    write_trouble(
        ENVIRONMENT, GateError(GateExitCode.BROKEN_ROUTE, "every request to /process failed"), released.reports
    )
    for name in ("outcome.json", "traffic.json", *RELEASE_REPORTS):
        (released.reports / name).unlink()

    said = manifest(released.collect_failed())

    assert (said["gate"], said["shift"], said["release"], said["traffic"]) == ("error", "not begun", None, None)
    assert said["failure"] == "the load gate did not pass: every request to /process failed"


def test_a_shift_that_did_not_begin_leaves_evidence(released: Released) -> None:
    released.approve()
    for name in ("outcome.json", "traffic.json", *RELEASE_REPORTS):
        (released.reports / name).unlink()

    said = manifest(released.collect_failed())

    assert (said["gate"], said["shift"]) == ("pass", "no outcome")
    assert said["failure"] == "the shift did not begin, or left no outcome"


def test_the_gates_reports_may_be_in_the_folder_of_a_build_of_the_shift(released: Released) -> None:
    released.approve()
    GATE_REPORTS.mkdir()
    for file in [*released.reports.glob("gate*.*"), released.reports / "locust.html"]:
        file.rename(GATE_REPORTS / file.name)

    assert "reports/gate.json" in content(released.collect_failed())


@pytest.mark.parametrize("forged", [{"failure": ["x"]}, {"traffic": {"sent": "many"}}, {"traffic": [1]}])
def test_a_bundle_whose_conclusions_are_no_conclusions_is_refused(
    released: Released, forged: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    released.approve()
    bundle = released.collect()
    files = content(bundle)
    files["manifest.json"] = json.dumps(json.loads(files["manifest.json"]) | forged).encode()
    bundle.write_bytes(zipped(files))

    assert main(["verify", str(bundle)]) == 1
    assert "is no manifest" in capsys.readouterr().err


def test_a_bundle_from_before_failures_and_losses_were_told_still_verifies(released: Released) -> None:
    released.approve()
    bundle = released.collect()
    files = content(bundle)
    told = json.loads(files["manifest.json"])
    told = {name: each for name, each in told.items() if name not in ("failure", "traffic", "source")}
    files["manifest.json"] = json.dumps(told | {"format": 1}).encode()
    bundle.write_bytes(zipped(files))

    assert main(["verify", str(bundle)]) == 0


def test_a_release_with_nothing_to_shift_is_evidence_too(released: Released) -> None:
    # Given a promotion of the stable version, which is the first
    released.approve()
    assert released.shift(Bench(stable="2", candidate="2")) == 0
    # When, then
    bundle = released.collect()
    assert manifest(bundle)["shift"] == "nothing to do: version 2 is stable already"
    assert manifest(bundle)["release"] is None
    assert "reports/release.json" not in content(bundle)


def test_each_steps_reports_may_be_in_a_folder_of_their_own(released: Released) -> None:
    # Given the reports in linked folders, as CodePipeline passes them
    released.approve()
    for step, prefix in (("gate", "gate"), ("shift", "")):
        artifact = released.run.folder / f"artifact-{step}"
        artifact.mkdir()
        for file in released.reports.glob(f"{prefix}*.*"):
            file.rename(artifact / file.name)
        (released.reports / step).symlink_to(artifact)
    # When, then
    assert {"reports/gate.json", "reports/release.json", "reports/outcome.json"} <= content(released.collect()).keys()


def test_the_same_release_makes_the_same_bundle_except_its_time(released: Released) -> None:
    # Given one bundle
    released.approve()
    first = released.collect()
    before = content(first)
    # When the files are written again, in another order
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
    dated = {"manifest.json", "sbom.cdx.json", "provenance.json"}
    assert {n: d for n, d in content(again).items() if n not in dated} == {
        n: d for n, d in before.items() if n not in dated
    }


@pytest.mark.parametrize("name", [*REPORTS, *RELEASE_REPORTS])
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


def test_without_the_approval_of_the_plan_there_is_no_bundle(
    released: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "has no approval of PromoteToTest" in released.refusal(capsys)
    released.run.approvals.append({"step": "PromoteToTest", "decision": "rejected", "by": "bob", "at": 1.0})
    released.run.save()
    assert "has no approval of PromoteToTest" in released.refusal(capsys)


def test_an_unreadable_record_of_the_run_is_named(released: Released, capsys: pytest.CaptureFixture[str]) -> None:
    (released.run.folder / "run.json").write_text("{")
    assert f"{released.run.folder / 'run.json'} can't be read" in released.refusal(capsys)


def test_unknown_fields_in_the_record_of_a_newer_engine_are_ignored(released: Released) -> None:
    # Given a record with fields that this code does not know
    released.approve()
    record = json.loads((released.run.folder / "run.json").read_text())
    write(released.run.folder / "run.json", record | {"version": 2, "colour": "green", "stages": "elsewhere"})
    # When, then
    assert manifest(released.collect())["approvals"][0]["by"] == "ann"


def test_a_half_written_bundle_never_has_its_final_name(
    released: Released, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a disk that is full after the first bytes
    released.approve()
    (released.run.folder / "evidence").mkdir()
    size = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, size[1]))
    # When
    try:
        code = main(["collect", "--env", ENVIRONMENT])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, size)
        signal.signal(signal.SIGXFSZ, before)
    # Then
    assert code == 1
    assert "can't be written: File too large" in capsys.readouterr().err
    assert not list((released.run.folder / "evidence").iterdir())


def test_a_bundle_on_this_machine_never_replaces_another(
    released: Released, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a bundle written in this second
    released.approve()
    monkeypatch.setattr(evidence, "datetime", Frozen)
    bundle = released.collect()
    bundle.write_bytes(b"the first")
    # When
    assert main(["collect", "--env", ENVIRONMENT]) == 1
    # Then
    assert "can't be written: File exists" in capsys.readouterr().err
    assert [each.read_bytes() for each in bundle.parent.iterdir()] == [b"the first"]


def test_a_folder_that_cannot_be_created_is_reported(released: Released, capsys: pytest.CaptureFixture[str]) -> None:
    released.approve()
    (released.run.folder / "evidence").write_text("in the way")
    assert main(["collect", "--env", ENVIRONMENT]) == 1
    assert "can't be written" in capsys.readouterr().err


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


def test_the_shifted_version_must_be_the_loaded_one(released: Released, capsys: pytest.CaptureFixture[str]) -> None:
    # Given the report of a gate on the version before
    released.approve()
    pass_gate(released.reports, version="1")
    assert released.refusal(capsys) == "gate.json: version 1 answered /validate, but 2 was shifted\n"
    # Or of one that met both
    pass_gate(released.reports)
    gate = json.loads((released.reports / "gate.json").read_text())
    gate["versions"]["/process"]["1"] = 1
    write(released.reports / "gate.json", gate)
    assert released.refusal(capsys) == "gate.json: version 1 and 2 answered /process, but 2 was shifted\n"


def test_the_bundle_names_the_shifted_commit_which_may_be_older(
    released: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a shift that finished the interrupted release of an older commit
    released.approve()
    bench = Bench()
    bench.commit = "0ldc0mm17"
    assert released.shift(bench) == 0
    # When
    bundle = released.collect()
    # Then
    said = manifest(bundle)
    assert said["commit"] == COMMIT
    assert said["release"] == {
        "id": json.loads(content(bundle)["reports/release.json"])["release_id"],
        "commit": "0ldc0mm17",
    }
    assert main(["verify", str(bundle)]) == 0
    assert "commit 0ldc0mm17" in capsys.readouterr().out


def test_two_reports_of_one_name_are_refused(released: Released, capsys: pytest.CaptureFixture[str]) -> None:
    released.approve()
    (released.reports / "older").mkdir()
    (released.reports / "older" / "gate.json").write_text("{}")
    assert "holds gate.json twice" in released.refusal(capsys)


def test_a_finding_without_acknowledgement_is_no_evidence(
    released: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    released.approve()
    write_findings(released.run.assembly, "Test/Platform/Api", reason=None)
    assert "Rule at Test/Platform/Api is not acknowledged" in released.refusal(capsys)


def test_an_environment_that_requires_an_approval_must_have_one_in_its_plan(
    released: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a plan without an approval of prod
    plan = json.loads((released.run.assembly / "plan.json").read_text())
    plan["stages"][1]["environment"] = "prod"
    plan["stages"][1]["stacks"][0]["change_set"] = []
    (released.run.assembly / "plan.json").write_text(json.dumps(plan))
    released.reports.rename(released.reports.with_name("prod"))
    for report in Path("reports/prod").glob("*.json"):
        report.write_text(report.read_text().replace('"environment": "test"', '"environment": "prod"'))
    # When, then
    assert main(["collect", "--env", "prod"]) == 1
    assert "prod requires an approval, and the plan has none" in capsys.readouterr().err


def test_outside_a_promotion_there_is_nothing_to_collect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RUN_FOLDER", raising=False)
    monkeypatch.delenv("PIPELINE_EXECUTION_ID", raising=False)
    assert main(["collect", "--env", "test"]) == 1
    assert "no promotion is under way" in capsys.readouterr().err
