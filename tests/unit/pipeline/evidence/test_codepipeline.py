"""Evidence of an execution on AWS. CodePipeline names the approver, KMS signs, S3 keeps the bundle."""

import io
import json
import shutil
import subprocess
import sys
import zipfile
from datetime import timedelta, timezone
from pathlib import Path
from subprocess import PIPE

import pytest

from pipeline.evidence import __main__ as evidence
from pipeline.evidence.__main__ import main
from pipeline.evidence.bundle import zipped

from .conftest import COMMIT, Frozen, Released
from .fake_aws import APPROVED_AT, EXECUTION, KEY, FakeAws

ROOT = Path(__file__).parents[4]
VARIABLES = {
    "PIPELINE_EXECUTION_ID": EXECUTION,
    "PIPELINE_NAME": "payment-pipeline",
    "ASSEMBLY_DIGEST": "of the inspection",
    "EVIDENCE_BUCKET": "artifacts",
    "EVIDENCE_KEY_ARN": KEY,
    "CODEBUILD_RESOLVED_SOURCE_VERSION": COMMIT,
}


@pytest.fixture
def aws(released: Released, monkeypatch: pytest.MonkeyPatch) -> FakeAws:
    """The same release, by a step of CodePipeline."""
    account = FakeAws()
    monkeypatch.delenv("RUN_FOLDER")
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ASSEMBLY_DIGEST", str(released.run.assembly_digest))
    monkeypatch.setattr(evidence, "session", lambda region: account.session)
    shutil.move(released.run.assembly, "cdk.out")
    return account


@pytest.fixture
def bundle(aws: FakeAws, tmp_path: Path) -> Path:
    """Downloaded, with the public key beside it."""
    assert main(["collect", "--env", "test"]) == 0
    [data] = aws.objects.values()
    (tmp_path / "key.der").write_bytes(aws.public_key)
    (tmp_path / "bundle.zip").write_bytes(data)
    return tmp_path / "bundle.zip"


def test_the_step_runs_with_the_packages_that_it_installs() -> None:
    # Given the packages of requirements/loadtest.txt, without CDK and cryptography
    code = "import sys; sys.modules |= dict.fromkeys(['aws_cdk', 'constructs', 'cryptography']); import {}"
    # Then the collecting modules can be imported, and the verifying one can't
    assert subprocess.run([sys.executable, "-c", code.format("pipeline.evidence.__main__")], cwd=ROOT).returncode == 0
    verifying = subprocess.run([sys.executable, "-c", code.format("pipeline.evidence.verify")], cwd=ROOT, stderr=PIPE)
    assert b"cryptography" in verifying.stderr


def refusal(aws: FakeAws, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["collect", "--env", "test"]) == 1
    assert not aws.objects
    return capsys.readouterr().err


def test_the_bundle_is_kept_in_the_bucket_in_the_folder_of_its_environment(
    aws: FakeAws, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["collect", "--env", "test"]) == 0
    [(bucket, key)] = aws.objects
    assert bucket == "artifacts"
    assert key.startswith("evidence/test/test-20")
    assert key.endswith(f"Z-{COMMIT[:12]}.zip")
    assert capsys.readouterr().out == f"evidence test: s3://artifacts/{key}\n"


def test_the_manifest_names_the_execution_and_codepipelines_approver(aws: FakeAws, bundle: Path) -> None:
    said = json.loads(zipfile.ZipFile(io.BytesIO(bundle.read_bytes())).read("manifest.json"))
    assert said["promotion"] == {"engine": "codepipeline", "id": EXECUTION}
    assert said["commit"] == COMMIT
    assert said["approvals"] == [
        {
            "step": "PromoteToTest",
            "by": "arn:aws:sts::111111111111:assumed-role/Approver/ann",
            "at": APPROVED_AT.isoformat(),
            "comment": "Seen the gate's report.",
            "is_author": None,
        }
    ]


def test_the_manifest_names_what_the_source_action_tells_and_who_started_the_execution(aws: FakeAws) -> None:
    # Given an action that names the author
    aws.source |= {"AuthorDisplayName": "Ann", "AuthorEmail": "ann@company.net"}
    # When
    assert main(["collect", "--env", "test"]) == 0
    # Then the author is a text of the commit, and whether it is signed nobody knows here
    [data] = aws.objects.values()
    assert json.loads(zipfile.ZipFile(io.BytesIO(data)).read("manifest.json"))["source"] == {
        "author": "Ann <ann@company.net>",
        "committer": None,
        "signature": None,
        "branch": "main",
        "started": "StartPipelineExecution arn:aws:iam::111111111111:user/bob",
    }


def test_an_author_that_the_source_action_does_not_tell_is_unknown(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(bundle), "--key", str(tmp_path / "key.der")]) == 0
    said = capsys.readouterr().out
    assert "author    unknown\n" in said
    assert "started   by StartPipelineExecution arn:aws:iam::111111111111:user/bob\n" in said


def test_the_signature_is_verified_with_the_public_key_alone(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(bundle), "--key", str(tmp_path / "key.der")]) == 0
    assert f"signed    with {KEY}" in capsys.readouterr().out


def test_a_signed_bundle_is_refused_without_the_key(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(bundle)]) == 1
    assert f"manifest.json is signed with {KEY}: give its public key with --key" in capsys.readouterr().err


def test_a_bundle_of_the_pipeline_without_its_signature_is_refused(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a bundle without its signature, and no --key
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if name != "manifest.sig"}
    files["manifest.json"] = json.dumps(json.loads(files["manifest.json"]) | {"signature": None}).encode()
    bundle.write_bytes(zipped(files))
    # When, then
    assert main(["verify", str(bundle)]) == 1
    assert "manifest.json is not signed, but codepipeline signs" in capsys.readouterr().err


def test_a_bundle_that_another_key_signed_is_refused(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key.der").write_bytes(FakeAws().public_key)
    assert main(["verify", str(bundle), "--key", str(tmp_path / "key.der")]) == 1
    assert "manifest.json was changed, or signed with another key" in capsys.readouterr().err


@pytest.mark.parametrize("unsigned", [False, True])
def test_a_changed_file_with_a_changed_hash_fails_the_signature(
    bundle: Path, tmp_path: Path, unsigned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a bundle whose approver was replaced, with or without the signature
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files["manifest.json"].replace(b"/ann", b"/bob"))
    if unsigned:
        manifest["signature"] = None
        del files["manifest.sig"]
    files["manifest.json"] = json.dumps(manifest).encode()
    bundle.write_bytes(zipped(files))
    # When, then
    assert main(["verify", str(bundle), "--key", str(tmp_path / "key.der")]) == 1
    said = "manifest.json is not signed" if unsigned else "manifest.json was changed, or signed with another key"
    assert said in capsys.readouterr().err


def test_a_bundle_never_replaces_another(
    aws: FakeAws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a bundle written in this second
    monkeypatch.setattr(evidence, "datetime", Frozen)
    assert main(["collect", "--env", "test"]) == 0
    before = dict(aws.objects)
    # When another one gets the same name
    assert main(["collect", "--env", "test"]) == 1
    # Then
    assert "can't be written" in capsys.readouterr().err
    assert aws.objects == before


def test_a_retry_accepts_the_bundle_of_its_first_attempt(aws: FakeAws, capsys: pytest.CaptureFixture[str]) -> None:
    # Given an answer that gets lost, so that the SDK retries
    aws.lost_answers = 1
    # When, then
    assert main(["collect", "--env", "test"]) == 0
    [(_, key)] = aws.objects
    assert capsys.readouterr().out == f"evidence test: s3://artifacts/{key}\n"


def test_the_time_of_an_approval_is_in_utc(aws: FakeAws) -> None:
    aws.decision["lastStatusChange"] = APPROVED_AT.astimezone(timezone(timedelta(hours=2)))
    assert main(["collect", "--env", "test"]) == 0
    [data] = aws.objects.values()
    said = json.loads(zipfile.ZipFile(io.BytesIO(data)).read("manifest.json"))
    assert said["approvals"][0]["at"] == "2026-01-15T08:00:00+00:00"


@pytest.mark.parametrize("lost", [{"status": "InProgress"}, {"lastUpdatedBy": ""}, {"lastStatusChange": None}])
def test_an_incomplete_approval_of_codepipeline_is_no_approval(
    aws: FakeAws, lost: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    aws.decision |= lost
    assert "CodePipeline does not say who approved PromoteToTest, and when" in refusal(aws, capsys)


def test_the_approval_of_another_execution_does_not_count(aws: FakeAws, capsys: pytest.CaptureFixture[str]) -> None:
    aws.execution = "another"
    assert f"stage Test of payment-pipeline is not at execution {EXECUTION}" in refusal(aws, capsys)


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ("GetPipelineState", "the approver of PromoteToTest can't be read"),
        ("ListActionExecutions", "the source of the commit can't be read"),
        ("Sign", "the manifest can't be signed"),
        ("PutObject", "s3://artifacts/evidence/test/"),
    ],
)
def test_a_refusal_of_aws_is_reported_and_nothing_is_kept(
    aws: FakeAws, operation: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.refused.add(operation)
    told = refusal(aws, capsys)
    assert said in told
    assert "not for you" in told


def test_an_assembly_that_is_not_the_approved_one_makes_no_evidence(
    aws: FakeAws, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("cdk.out/assembly-Test/TestPlatform.template.json").write_text("{}")
    assert "the cloud assembly is not the one that was approved" in refusal(aws, capsys)


def test_the_manifest_names_the_assembly(aws: FakeAws, bundle: Path, released: Released) -> None:
    said = json.loads(zipfile.ZipFile(bundle).read("manifest.json"))
    assert said["assembly"] == released.run.assembly_digest


@pytest.mark.parametrize("variable", sorted(VARIABLES.keys() - {"PIPELINE_EXECUTION_ID"}))
def test_a_missing_variable_is_named(
    aws: FakeAws, variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(variable)
    assert f"the environment variable {variable} is not set" in refusal(aws, capsys)


@pytest.mark.parametrize(
    ("author", "said"),
    [
        ("ann@company.net", "WHO MADE THE COMMIT"),
        ("bob@company.net", "by e-mail not who made the commit"),
        (None, "unknown whether they made the commit"),
    ],
)
def test_the_bundle_says_whether_the_approver_made_the_commit(
    aws: FakeAws, tmp_path: Path, author: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a session of IAM Identity Center, and what the source action tells
    aws.decision["lastUpdatedBy"] = "arn:aws:sts::111111111111:assumed-role/Approver/ann@company.net"
    aws.source |= {"AuthorEmail": author} if author else {}
    # When
    assert main(["collect", "--env", "test"]) == 0
    (tmp_path / "key.der").write_bytes(aws.public_key)
    [data] = aws.objects.values()
    (tmp_path / "bundle.zip").write_bytes(data)
    # Then
    assert main(["verify", str(tmp_path / "bundle.zip"), "--key", str(tmp_path / "key.der")]) == 0
    assert f"2026-01-15T08:00:00+00:00, {said}\n" in capsys.readouterr().out
