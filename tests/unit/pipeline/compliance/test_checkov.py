"""The command that compares checkov's findings with the table. tests/infrastructure runs the real checkov."""

import json
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline.compliance.checkov import main

TODAY = date(2030, 6, 1)
FOUND = {"check_id": "CKV_AWS_18", "check_name": "Ensure the bucket has access logging enabled"}
OWNERS = 'owners = ["the tests"]'
ENTRY = """
[[acknowledgement]]
constructs = ["Platform/Logs/Resource"]
findings = ["checkov::CKV_AWS_18"]
reason = "The logs of logs would never end."
owner = "the tests"
expires = 2030-06-01
"""
TABLE = OWNERS + ENTRY
Run = Callable[..., tuple[int, str]]


def template(stage: str) -> str:
    bucket = {"Type": "AWS::S3::Bucket", "Metadata": {"aws:cdk:path": f"{stage}/Platform/Logs/Resource"}}
    return json.dumps({"Resources": {"Logs": bucket}})


def manifest(**artifacts: dict[str, Any]) -> str:
    return json.dumps({"artifacts": artifacts})


def nested(folder: str) -> dict[str, Any]:
    return {"type": "cdk:cloud-assembly", "properties": {"directoryName": folder}}


@pytest.fixture
def assembly(tmp_path: Path) -> Path:
    """Dev and staging with a bucket each, and the leftovers of an earlier synthesis."""
    folder = tmp_path / "cdk.out"
    for stage in ("Dev", "Staging"):
        (folder / stage).mkdir(parents=True)
        (folder / stage / "x.template.json").write_text(template(stage))
        stack = {"type": "aws:cloudformation:stack", "properties": {"templateFile": "x.template.json"}}
        (folder / stage / "manifest.json").write_text(manifest(stack=stack))
    (folder / "manifest.json").write_text(manifest(dev=nested("Dev"), staging=nested("Staging")))
    (folder / "old.template.json").write_text(template("Old"))
    return folder


@pytest.fixture
def checkov(assembly: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program on the PATH that prints this text in the place of checkov."""
    folder = assembly.parent / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def install(code: str) -> None:
        program = folder / "checkov"
        program.write_text(f"#!{sys.executable}\nimport os, sys\n{code}\n")
        program.chmod(0o755)

    return install


@pytest.fixture
def run(assembly: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command, and returns its exit code and output."""

    def run(table: str = TABLE, folder: Path = assembly, today: date = TODAY) -> tuple[int, str]:
        file = assembly.parent / "acknowledgements.toml"
        file.write_text(table)
        code = main([str(folder)], table=file, today=today)
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def report(assembly: Path, *stages: str, **instead: Any) -> str:
    """A program that reports ``FOUND`` of the buckets of these stages; ``instead`` replaces parts of the report."""
    failed = [
        FOUND | {"resource": "AWS::S3::Bucket.Logs", "file_abs_path": str(assembly / stage / "x.template.json")}
        for stage in stages
    ]
    passed = [
        {"file_abs_path": str(assembly / stage / "x.template.json")} for stage in {"Dev", "Staging"} - set(stages)
    ]
    results = {"failed_checks": failed, "passed_checks": passed, "skipped_checks": [], "parsing_errors": []}
    return f"print({json.dumps({'results': results | instead})!r})"


def test_findings_that_are_acknowledged_in_every_environment_pass(assembly: Path, checkov: Any, run: Run) -> None:
    checkov(report(assembly, "Dev", "Staging"))
    assert run() == (0, "checkov: 2 templates; each of the 2 findings is acknowledged\n")


def test_an_unacknowledged_finding_fails_and_says_how_to_acknowledge_it(assembly: Path, checkov: Any, run: Run) -> None:
    # Given a finding in two environments, acknowledged in one
    checkov(report(assembly, "Dev", "Staging"))
    code, said = run(TABLE + 'environments = ["dev"]\n')
    # Then the other one fails
    assert code == 1
    assert said == (
        "checkov: Staging/Platform/Logs/Resource breaks 'Ensure the bucket has access logging enabled'. Fix it, or"
        " accept it: python -m pipeline.compliance acknowledge"
        " --construct Platform/Logs/Resource --finding checkov::CKV_AWS_18\n"
    )


def test_an_acknowledgement_without_a_finding_fails(assembly: Path, checkov: Any, run: Run) -> None:
    checkov(report(assembly, "Dev"))
    code, said = run()
    assert code == 1
    assert said == (
        "checkov: Staging/Platform/Logs/Resource: acknowledgements.toml:2: checkov::CKV_AWS_18"
        " is not found here any more: remove it\n"
    )


def test_an_acknowledgement_about_a_part_counts_only_where_the_part_exists(
    assembly: Path, checkov: Any, run: Run
) -> None:
    checkov(report(assembly, "Dev", "Staging"))
    assert run(TABLE + 'part = "Platform/Logs"\n')[0] == 0
    gone = ENTRY.replace("Platform/Logs", "Platform/Gone") + 'part = "Platform/Gone"\n'
    assert run(TABLE + gone)[0] == 0


def test_an_acknowledgement_past_its_date_fails(assembly: Path, checkov: Any, run: Run) -> None:
    checkov(report(assembly, "Dev", "Staging"))
    code, said = run(today=date(2030, 6, 2))
    assert code == 1
    assert said.count("checkov::CKV_AWS_18 expired on 2030-06-01: the tests must look at it again") == 2


def test_acknowledgements_of_other_packs_are_left_to_the_synthesis(assembly: Path, checkov: Any, run: Run) -> None:
    checkov(report(assembly, "Dev", "Staging"))
    of_nag = ENTRY.replace("checkov::CKV_AWS_18", "AwsSolutions::AwsSolutions-S1").replace("2030", "2020")
    assert run(TABLE + of_nag)[0] == 0
    assert run(OWNERS + of_nag)[0] == 1, "and it accepts nothing of checkov's"


def test_a_malformed_table_does_not_pass(assembly: Path, checkov: Any, run: Run) -> None:
    checkov(report(assembly))
    assert run(TABLE.replace("owner =", "ower =")) == (2, "checkov: acknowledgements.toml:2: missing owner\n")


@pytest.mark.parametrize(
    ("instead", "message"),
    [
        ({"parsing_errors": ["/x.json"]}, "can't read /x.json"),
        ({"passed_checks": []}, "has no result for "),
        ({"skipped_checks": [{"resource": "AWS::S3::Bucket.Logs"}]}, "AWS::S3::Bucket.Logs skips checks by itself"),
        ({"failed_checks": [{"resource": "x"}]}, "checkov's report is not as expected"),
    ],
)
def test_an_incomplete_report_does_not_pass(
    assembly: Path, checkov: Any, run: Run, instead: dict[str, Any], message: str
) -> None:
    checkov(report(assembly, "Dev", **instead))
    code, said = run()
    assert code == 2
    assert message in said


def test_a_failing_or_missing_checkov_does_not_pass(assembly: Path, checkov: Any, run: Run) -> None:
    assert run() == (2, "checkov: the command checkov is not on the PATH: `make infrastructure` installs it\n")
    checkov("sys.exit('ImportError: no module named x')")
    code, said = run()
    assert code == 2
    assert "ended with code 1 and without a report:\nImportError: no module named x" in said


def test_a_folder_without_an_assembly_does_not_pass(assembly: Path, checkov: Any, run: Run) -> None:
    checkov(report(assembly))
    code, said = run(folder=assembly.parent)
    assert code == 2
    assert "is no cloud assembly" in said
    (assembly / "manifest.json").write_text(manifest())
    assert run() == (2, f"checkov: {assembly} holds no template\n")


def test_checkov_gets_no_settings_from_elsewhere(
    assembly: Path, checkov: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given settings in environment, folder and home that could make checkov skip rules or connect to a server
    monkeypatch.setenv("BC_API_KEY", "secret")
    monkeypatch.setenv("CKV_SKIP_CHECK", "CKV_AWS_18")
    monkeypatch.setenv("HOME", str(assembly))
    monkeypatch.chdir(assembly)
    # When it runs
    checkov("sys.exit(f'sees {sorted(os.environ)} {os.environ[\"HOME\"]} {os.getcwd()} {os.listdir()}')")
    _, said = run()
    # Then it sees none of them: its home and its working folder are an empty folder
    assert "sees ['HOME', 'PATH'" in said.replace("'LC_CTYPE', ", "")
    assert "BC_API_KEY" not in said
    assert "CKV_SKIP_CHECK" not in said
    assert str(assembly) not in said.split("without a report:")[1]
    assert said.endswith("[]\n")


def test_the_template_of_a_nested_stack_is_read_too_and_one_that_is_missing_stops_the_scan(
    assembly: Path, checkov: Callable[[str], None], run: Run
) -> None:
    # Given a stack in which another is nested, with a bucket that breaks a check
    bucket = {"Type": "AWS::S3::Bucket", "Metadata": {"aws:cdk:path": "Dev/Platform/Inner/Logs/Resource"}}
    inner = {
        "Type": "AWS::CloudFormation::Stack",
        "Metadata": {
            "aws:cdk:path": "Dev/Platform/Inner.NestedStackResource",
            "aws:asset:path": "inner.nested.template.json",
        },
    }
    (assembly / "Dev" / "x.template.json").write_text(json.dumps({"Resources": {"Inner": inner}}))
    (assembly / "Dev" / "inner.nested.template.json").write_text(json.dumps({"Resources": {"Logs": bucket}}))
    (assembly / "manifest.json").write_text(manifest(dev=nested("Dev")))
    # When checkov reports it
    results = {"passed_checks": [], "failed_checks": [], "parsing_errors": [], "skipped_checks": []}
    checkov(f"""
import json
results = {results!r}
for file in [each for before, each in zip(sys.argv, sys.argv[1:]) if before == "--file"]:
    results["passed_checks"].append({{"file_abs_path": file}})
    if file.endswith(".nested.template.json"):
        results["failed_checks"].append({{**{FOUND!r}, "file_abs_path": file, "resource": "AWS::S3::Bucket.Logs"}})
print(json.dumps({{"results": results}}))
""")
    code, said = run()
    # Then it is a finding of the nested stack's construct
    assert code == 1, said
    assert "Dev/Platform/Inner/Logs/Resource breaks" in said
    # And without its template, the scan does not pass
    (assembly / "Dev" / "inner.nested.template.json").unlink()
    code, said = run()
    assert code == 2
    assert "Dev/Platform/Inner.NestedStackResource is not in" in said
