"""The judgement of a change's templates: main's rules over data, whatever the change's own code says of them."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.compliance import checkov
from pipeline.compliance.acknowledgements import Acknowledgement, load
from pipeline.review import NotCompared, reports
from pipeline.review.judge import judge, main, unpack
from tests.unit.archives import archive

Resources = dict[str, dict[str, Any]]
GROUP = "Dev/Platform/Network/Group/Resource"
OPEN = {"CidrIp": "0.0.0.0/0", "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}


def resource(kind: str, path: str, **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "Properties": properties, "Metadata": {"aws:cdk:path": path}}


def group(*ingress: dict[str, Any], path: str = GROUP) -> dict[str, Any]:
    vpc = {"VpcId": "vpc-1", "GroupDescription": "Database"}
    return resource("AWS::EC2::SecurityGroup", path, SecurityGroupIngress=list(ingress), **vpc)


def write(folder: Path, resources: Resources, *, path: str = "Dev/Platform", id: str = "P") -> Path:
    """An assembly with one more stack."""
    folder.mkdir(exist_ok=True)
    manifest = folder / "manifest.json"
    artifacts = json.loads(manifest.read_text())["artifacts"] if manifest.exists() else {}
    artifacts[id] = {
        "type": "aws:cloudformation:stack",
        "displayName": path,
        "environment": "aws://unknown-account/unknown-region",
        "properties": {"templateFile": f"{id}.template.json"},
    }
    manifest.write_text(json.dumps({"artifacts": artifacts}))
    (folder / f"{id}.template.json").write_text(json.dumps({"Resources": resources}))
    return folder


@pytest.fixture(autouse=True)
def no_checkov(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make unit` installs none. tests/infrastructure/test_judge.py has it."""
    monkeypatch.setattr(checkov, "scan", lambda _: [])


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write(tmp_path / "base", {"G": group()})


def judged(base: Path, change: Resources, table: list[Acknowledgement] | None = None) -> list[str]:
    return judge(write(base.parent / "head", change), base, table or [])


def test_nobody_must_look_at_the_same_templates(base: Path) -> None:
    assert judged(base, {"G": group()}) == []


def test_a_group_that_is_opened_to_the_world_is_found_by_each_kind_of_rule_and_is_far_reaching(base: Path) -> None:
    reasons = judged(base, {"G": group(OPEN)})
    assert f"new finding: PCI.DSS.401::PCI.DSS.401-1.3.1-NoOpenIngress at {GROUP}" in reasons
    assert f"new finding: AwsSolutions::AwsSolutions-EC23 at {GROUP}" in reasons
    assert any(each.startswith("far-reaching: changed AWS::EC2::SecurityGroup") for each in reasons)


def test_a_template_cannot_acknowledge_its_own_finding(base: Path) -> None:
    # Given the metadata with which cdk-nag, CDK and checkov accept findings
    change = group(OPEN)
    change["Metadata"] |= {
        "cdk_nag": {"rules_to_suppress": [{"id": "AwsSolutions-EC23", "reason": "It must be so, believe me."}]},
        "aws:cdk:acknowledged-rules": ["AwsSolutions::AwsSolutions-EC23"],
        "checkov": {"skip": [{"id": "CKV_AWS_24", "comment": "no"}]},
    }
    assert f"new finding: AwsSolutions::AwsSolutions-EC23 at {GROUP}" in judged(base, {"G": change})


def test_only_the_table_of_main_accepts_a_finding(base: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.toml"
    table.write_text(
        f"""owners = ["security"]
[[acknowledgement]]
constructs = ["{GROUP.partition("/")[2]}"]
findings = ["AwsSolutions::AwsSolutions-EC23"]
reason = "A bastion stands behind it, and it has no other door."
owner = "security"
expires = 2099-01-01
"""
    )
    reasons = judged(base, {"G": group(OPEN)}, load(table))
    assert not any("EC23" in each for each in reasons)
    assert any("NoOpenIngress" in each for each in reasons)


def test_a_stack_that_is_gone_is_a_reason(base: Path) -> None:
    write(base, {}, path="Prod/Platform", id="Q")
    assert "the stack Prod/Platform is gone" in judged(base, {"G": group()})


def test_a_new_stack_is_a_reason(base: Path) -> None:
    head = write(write(base.parent / "head", {"G": group()}), {}, path="Evil/Platform", id="Q")
    assert "the stack Evil/Platform is new, and nothing to compare it with" in judge(head, base, [])


def test_another_command_of_a_step_is_a_reason_even_if_no_rule_minds(base: Path) -> None:
    def project(command: str) -> Resources:
        properties = {
            "Artifacts": {"Type": "CODEPIPELINE"},
            "Environment": {"ComputeType": "SMALL", "Image": "i", "Type": "LINUX_CONTAINER"},
            "ServiceRole": "arn:aws:iam::111122223333:role/inspect",
            "Source": {"Type": "CODEPIPELINE", "BuildSpec": command},
        }
        return {"P": resource("AWS::CodeBuild::Project", "Dev/Platform/Inspect/Resource", **properties)}

    write(base, project("python3 -I -"))
    [reason] = judged(base, project("true"))
    assert reason == "the pipeline itself changes: changed AWS::CodeBuild::Project Inspect"


def test_a_nested_template_is_a_reason(base: Path) -> None:
    head = write(base.parent / "head", {"G": group()})
    (head / "N.nested.template.json").write_text('{"Resources": {}}')
    assert judge(head, base, []) == [
        "the template N.nested.template.json is of a nested stack, which only some rules see"
    ]


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"G": group(), "H": group(OPEN)}, "two resources are called"),
        ({"G": group(OPEN, path="Prod/Platform/Accepted/Resource")}, "G of Dev/Platform calls itself Prod/Platform/"),
        ({"G": group(), "H": {"Type": "AWS::SQS::Queue"}}, "H of Dev/Platform calls itself H"),
        ({"G": {"Type": 1}}, "Error"),
        ({"G": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Ref": "Nobody"}}}}, "Nobody"),
    ],
)
def test_a_template_that_cannot_be_judged_never_passes(base: Path, resources: Resources, said: str) -> None:
    [reason] = judged(base, resources)
    assert reason.startswith("the templates can't be judged: ")
    assert said in reason


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ('{"Resources": {}, "Resources": {}}', "repeated"),
        ('{"Resources": ' + "[" * 100_000, "RecursionError"),
        ("[]", "AttributeError"),
        ("{}", "KeyError"),
    ],
)
def test_a_file_that_is_no_template_never_passes(base: Path, template: str, said: str) -> None:
    head = write(base.parent / "head", {"G": group()})
    (head / "P.template.json").write_text(template)
    [reason] = judge(head, base, [])
    assert said in reason


def test_a_manifest_cannot_name_the_templates_of_the_base(base: Path) -> None:
    head = write(base.parent / "head", {"G": group(OPEN)})
    for place in ("../base/P.template.json", str(base / "P.template.json")):
        manifest = json.loads((head / "manifest.json").read_text())
        manifest["artifacts"]["P"]["properties"]["templateFile"] = place
        (head / "manifest.json").write_text(json.dumps(manifest))
        [reason] = judge(head, base, [])
        assert reason.startswith("the templates can't be judged: ")


@pytest.mark.parametrize(
    "more",
    [
        {"Transform": "AWS::Include"},
        {"Transform": ["AWS::LanguageExtensions"]},
        {"Outputs": {"X": {"Value": {"Fn::Transform": {"Name": "M"}}}}},
    ],
)
def test_a_template_that_cloudformation_turns_into_another_one_is_a_reason(base: Path, more: dict[str, Any]) -> None:
    head = write(base.parent / "head", {"G": group()})
    (head / "P.template.json").write_text(json.dumps({"Resources": {"G": group()}, **more}))
    assert any("transformed" in each or "can't be judged" in each for each in judge(head, base, []))


# What a review leaves, and the archive of a stranger's run


def test_a_review_leaves_manifests_and_templates_and_removes_those_of_the_review_before(tmp_path: Path) -> None:
    # Given a folder in which somebody keeps a file, and an assembly with more than templates
    folder, assembly = tmp_path / "reports", write(tmp_path / "cdk.out", {"G": group()})
    (assembly / "asset.0").mkdir()
    (assembly / "asset.0" / "manifest.json").write_text("{}")
    (assembly / "tree.json").write_text("{}")
    (folder / "assembly").mkdir(parents=True)
    (folder / "assembly" / "mine.txt").write_text("precious")
    # When
    reports.keep_assembly(assembly, folder)
    # Then
    left = {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()}
    assert left == {"assembly/mine.txt", "assembly/manifest.json", "assembly/P.template.json"}
    assert judge(folder / "assembly", assembly, []) == []
    # And the next review takes away what this one left
    reports.remove(folder)
    assert [each.name for each in folder.rglob("*") if each.is_file()] == ["mine.txt"]


def test_manifests_and_templates_are_unpacked_and_nothing_else_is_read(tmp_path: Path) -> None:
    names = ("manifest.json", "assembly-Dev/manifest.json", "assembly-Dev/P.template.json")
    unpack(archive(**{f"assembly/{name}": name for name in names}, **{"review.md": "", "../x": ""}), tmp_path)
    assert sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*.json")) == sorted(names)


@pytest.mark.parametrize(
    "content",
    [
        archive(**{"assembly/../../x.template.json": "{}"}),
        archive(**{"assembly//etc/x.template.json": "{}"}),
        archive(**{"assembly/cdk.json": "{}"}),
        archive(**{"assembly/assembly-A/assembly-B/manifest.json": "{}"}),
        archive(**{f"assembly/{n}.template.json": "{}" for n in range(201)}),
        archive(**{"assembly/manifest.json": " " * (10 * 1024 * 1024 + 1)}),
        b"no archive",
    ],
    ids=range(7),
)
def test_a_forged_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(NotCompared, match="the review left no assembly"):
        unpack(content, tmp_path / "folder")
    assert not list(tmp_path.glob("*.json"))


def test_an_entry_that_stands_twice_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        packed.writestr("assembly/manifest.json", "{}")
        with pytest.warns(UserWarning, match="Duplicate name"):
            packed.writestr("assembly/manifest.json", "{}")
    with pytest.raises(NotCompared, match="two of one name"):
        unpack(content.getvalue(), tmp_path)


# The command


def test_the_command_hands_its_reasons_to_the_next_job_as_one_line_of_ascii(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = "Dev/Platform/\n::set-output name=x::y\u202e"
    head = write(tmp_path / "head", {"G": group(OPEN, path=path)})
    assert main([str(base), "--head", str(head)]) == 1
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    assert main([str(base), "--head", str(head)]) == 0
    [line] = (tmp_path / "output").read_text().splitlines()
    name, _, reasons = line.partition("=")
    assert name == "judgement"
    assert line.isascii()
    assert any("NoOpenIngress" in each for each in json.loads(reasons))
    assert not any(each.startswith("::") for each in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize("given", [lambda base: [str(base / "none"), "--head", str(base)], lambda base: [str(base)]])
def test_the_command_says_why_it_could_not_judge(
    base: Path, given: Callable[[Path], list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITHUB_EVENT_PATH", raising=False)
    assert main(given(base)) == 2
    assert capsys.readouterr().err.startswith("judge: ")
