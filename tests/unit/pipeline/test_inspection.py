"""The inspection of a cloud assembly: what is refused, its digest, and whether it changes the pipeline."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import inspection
from pipeline.inspection import Refused, digest, inspect

PIPELINE = "payment-pipeline"
CODE = f"asset.{'a' * 64}"
BUCKET = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"
TEMPLATE = "payment-pipeline.template.json"


@pytest.fixture
def assembly(tmp_path: Path) -> Path:
    """The pipeline's stack and that of dev, with one artefact of code."""
    folder = tmp_path / "cdk.out"
    stack(folder, PIPELINE, {"Resources": {"Pipeline": {"Type": "AWS::CodePipeline::Pipeline"}}})
    stack(folder / "assembly-Dev", "DevPlatform", {"Resources": {}}, code=f"../{CODE}")
    change(folder / "manifest.json", lambda it: it["artifacts"].update(
        {"assembly-Dev": {"type": "cdk:cloud-assembly", "properties": {"directoryName": "assembly-Dev"}},
         "Tree": {"type": "cdk:tree", "properties": {"file": "tree.json"}}}))  # fmt: skip
    (folder / CODE).mkdir()
    (folder / CODE / "handler.py").write_text("ANSWER = 1\n")
    for name in ("tree.json", "plan.json", "validation-report.json", "Pipeline3EF6.dot"):
        (folder / name).write_text("{}")
    return folder


def stack(folder: Path, id: str, template: dict[str, Any], code: str = "") -> None:
    folder.mkdir(parents=True)
    text = json.dumps(template)
    (folder / f"{id}.template.json").write_text(text)
    hash = hashlib.sha256(text.encode()).hexdigest()
    here = "${AWS::AccountId}-${AWS::Region}"
    role = f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/cdk-hnb659fds-file-publishing-role-{here}"

    def file(id: str, path: str, kind: str) -> dict[str, Any]:
        place = {"bucketName": BUCKET, "objectKey": f"{id}.{kind}", "assumeRoleArn": role}
        return {id: {"source": {"path": path, "packaging": "file"}, "destinations": {"here": place}}}

    files = file(hash, f"{id}.template.json", "json") | (file("a" * 64, code, "zip") if code else {})
    assets = {"version": "55.0.0", "files": files, "dockerImages": {}}
    (folder / f"{id}.assets.json").write_text(json.dumps(assets))
    artifact: dict[str, Any] = {
        "type": "aws:cloudformation:stack",
        "environment": "aws://unknown-account/unknown-region",
        "properties": {
            "templateFile": f"{id}.template.json",
            "stackTemplateAssetObjectUrl": f"s3://{BUCKET}/{hash}.json",
        },
    }
    artifact["displayName"] = id if id == PIPELINE else "Dev/Platform"
    of_assets = {"type": "cdk:asset-manifest", "properties": {"file": f"{id}.assets.json"}}
    (folder / "manifest.json").write_text(json.dumps({"artifacts": {id: artifact, f"{id}.assets": of_assets}}))


def change(file: Path, how: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(file.read_text())
    how(document)
    file.write_text(json.dumps(document))


def test_an_assembly_of_the_synthesis_is_named_by_its_content(assembly: Path, tmp_path: Path) -> None:
    # Given a copy that was unpacked elsewhere at another time
    copy = shutil.copytree(assembly, tmp_path / "copy")
    for file in copy.rglob("*"):
        os.utime(file, (0, 0))
    # Then its name is the same, and that of any other assembly differs
    named = inspect(assembly, PIPELINE)
    assert len(named) == 64
    assert inspect(copy, PIPELINE) == digest(copy) == named
    (copy / CODE / "handler.py").write_text("ANSWER = 2\n")
    assert digest(copy) != named
    (assembly / CODE / "handler.py").rename(assembly / CODE / "other.py")
    assert digest(assembly) not in (named, digest(copy))


@pytest.mark.parametrize(
    "name",
    ["cdk.json", "cdk.context.json", ".npmrc", "package.json", "json.py", "aws", "assembly-Dev/cdk.json",
     "assembly-Dev/assembly-X/manifest.json", "node_modules/x.json", ".git/hooks/x", "asset.x/y",
     f"assembly-Dev/{CODE}/x"],
)  # fmt: skip
def test_a_file_that_no_synthesis_writes_is_refused(assembly: Path, name: str) -> None:
    (assembly / name).parent.mkdir(parents=True, exist_ok=True)
    (assembly / name).write_text("{}")
    with pytest.raises(Refused, match="no part of an assembly"):
        inspect(assembly, PIPELINE)


@pytest.mark.parametrize("name", ["tree.json", f"{CODE}/secret", "assembly-Prod"])
def test_a_link_is_refused_also_in_an_asset(assembly: Path, name: str, tmp_path: Path) -> None:
    (assembly / name).unlink(missing_ok=True)
    (assembly / name).symlink_to(tmp_path)
    with pytest.raises(Refused, match="neither a file nor a folder"):
        inspect(assembly, PIPELINE)


DEV = "assembly-Dev/DevPlatform.assets.json"


def of_code(assets: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = assets["files"]["a" * 64]
    return found


def to(field: str, value: str) -> Callable[[dict[str, Any]], Any]:
    return lambda assets: of_code(assets)["destinations"]["here"].update({field: value})


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda assets: of_code(assets)["source"].update(executable=["sh", "-c", "id"]), "has executable"),
        (lambda assets: assets.update(dockerImages={"x": {"source": {"directory": "."}}}), "has dockerImages"),
        (lambda assets: of_code(assets)["source"].update(path="../../secret"), "no part of the assembly"),
        (lambda assets: of_code(assets)["source"].update(path="/etc/passwd"), "no part of the assembly"),
        (to("bucketName", "somebody-elses"), "goes to bucketName"),
        (to("objectKey", "b" * 64 + ".zip"), "another one's place"),
        (to("objectKey", "../x"), "goes to objectKey"),
        (to("objectKey", "a" * 64 + ".json"), "and is no template"),
        (to("bucketName", BUCKET.replace("hnb659fds", "x")), "goes to bucketName"),
        (to("assumeRoleArn", "arn:aws:iam::111111111111:role/admin"), "goes to assumeRoleArn"),
        (to("assumeRoleExternalId", "x"), "goes to assumeRoleExternalId"),
        (lambda assets: assets["files"]["a" * 64].pop("source"), "unknown form"),
    ],
)
def test_only_files_of_the_assembly_are_published_and_only_to_their_place(
    assembly: Path, how: Callable[[dict[str, Any]], Any], said: str
) -> None:
    change(assembly / DEV, how)
    with pytest.raises(Refused, match=said):
        inspect(assembly, PIPELINE)


def of_pipeline(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifest["artifacts"][PIPELINE]
    return found


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda it: of_pipeline(it)["properties"].update(stackName="payment-platform-prod"), "no part of the pipeline"),
        (lambda it: of_pipeline(it)["properties"].update(stackName=f"{PIPELINE}-artifacts-x"), "no part of the"),
        (lambda it: it["artifacts"].update(evil=of_pipeline(it)), "no part of the pipeline"),
        (lambda it: of_pipeline(it)["properties"].update(templateFile="cdk.json"), "is in 'cdk.json'"),
        (lambda it: of_pipeline(it)["properties"].update(parameters={"Connection": "mine"}), "has parameters"),
        (lambda it: of_pipeline(it)["properties"].update(
            stackTemplateAssetObjectUrl=f"s3://{BUCKET}/{'b' * 64}.json"), "is not payment-pipeline"),
        (lambda it: of_pipeline(it)["properties"].update(
            stackTemplateAssetObjectUrl=of_pipeline(it)["properties"]["stackTemplateAssetObjectUrl"].replace(
                "${AWS::AccountId}", "999999999999")), "is not in its own account"),
        (lambda it: of_pipeline(it)["properties"].update(
            stackTemplateAssetObjectUrl=of_pipeline(it)["properties"]["stackTemplateAssetObjectUrl"].replace(
                "hnb659fds", "x")), "is not payment-pipeline"),
        (lambda it: of_pipeline(it)["properties"].update(tags={"a": "b"}), "has tags"),
        (lambda it: of_pipeline(it)["properties"].update(assumeRoleArn="arn:aws:iam::1:role/x"), "has the assumeRole"),
        (lambda it: of_pipeline(it).update(metadata={"/": [{"type": "aws:cdk:asset", "data": {}}]}), "in its metadata"),
        (lambda it: of_pipeline(it).update(displayName="other"), "calls itself 'other'"),
        (lambda it: it["artifacts"][f"{PIPELINE}.assets"]["properties"].update(file="tree.json"), "is in 'tree.json'"),
        (lambda it: it["artifacts"].update({"x.assets": it["artifacts"].pop(f"{PIPELINE}.assets")}), "is in 'pay"),
        (lambda it: it["artifacts"]["Tree"]["properties"].update(file="plan.json"), "is in 'plan.json'"),
        (lambda it: of_pipeline(it).update(environment="aws://unknown-account/x.example.com/"), "is in aws:"),
        (lambda it: it["artifacts"].update(x={"type": "cdk:plugin"}), "unknown type"),
        (lambda it: it["artifacts"]["assembly-Dev"]["properties"].update(directoryName="../x"), "is in '../x'"),
    ],
)  # fmt: skip
def test_only_the_pipelines_stacks_can_be_deployed_with_it(
    assembly: Path, how: Callable[[dict[str, Any]], Any], said: str
) -> None:
    change(assembly / "manifest.json", how)
    with pytest.raises(Refused, match=said):
        inspect(assembly, PIPELINE)


@pytest.mark.parametrize("name", [PIPELINE, f"Dev/{PIPELINE}/x", ""])
def test_a_stack_of_a_stage_can_not_pose_as_the_pipelines(assembly: Path, name: str) -> None:
    change(assembly / "assembly-Dev/manifest.json", lambda it: it["artifacts"]["DevPlatform"].update(displayName=name))
    with pytest.raises(Refused, match="calls itself"):
        inspect(assembly, PIPELINE)


def test_a_template_that_is_not_what_its_hash_says_is_refused(assembly: Path) -> None:
    (assembly / "assembly-Dev/DevPlatform.template.json").write_text('{"Resources": {"Another": {}}}')
    with pytest.raises(Refused, match=r"DevPlatform\.template\.json is not what its hash says"):
        inspect(assembly, PIPELINE)


def test_a_name_that_stands_twice_is_refused(assembly: Path) -> None:
    file = assembly / DEV
    file.write_text(file.read_text().replace('{"version"', '{"files": {}, "version"', 1))
    with pytest.raises(Refused, match="stands twice"):
        inspect(assembly, PIPELINE)


@pytest.mark.parametrize("regional", [False, True])
@pytest.mark.parametrize(
    ("answer", "said"),
    [("deployed", "unchanged"), ('{"Resources": {}}', "changed"), ("", "changed"), ("refused", "changed")],
)
def test_a_changed_pipeline_is_told_by_what_aws_has_deployed(
    assembly: Path, tmp_path: Path, answer: str, said: str, regional: bool
) -> None:
    # Given an account that answers with the deployed template
    deployed = (assembly / TEMPLATE).read_text() if answer == "deployed" else answer
    aws = tmp_path / "bin" / "aws"
    aws.parent.mkdir()
    (aws.parent / "template").write_text(deployed)
    end = "exit 255" if answer == "refused" else 'cat "${0%/*}/template"'
    aws.write_text(f'#!/bin/sh\necho "$*" > "${{0%/*}}/asked"\n{end}\n')
    aws.chmod(0o755)
    if regional:
        text = (assembly / "manifest.json").read_text()
        for here, there in (("${AWS::AccountId}", "111111111111"), ("${AWS::Region}", "eu-west-1")):
            text = text.replace(here, there)
        text = text.replace("unknown-account/unknown-region", "111111111111/eu-west-1")
        (assembly / "manifest.json").write_text(text)
    # When the text of the module is run as the build does, in the folder of the assembly
    done = subprocess.run(
        [sys.executable, "-I", "-", ".", PIPELINE],
        cwd=assembly,
        input=Path(inspection.__file__).read_text(),
        env={"PATH": f"{aws.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    # Then it says the digest, and whether a person must look
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"assembly {digest(assembly)}\npipeline {said}\n"
    asked = (aws.parent / "asked").read_text()
    assert f"--stack-name {PIPELINE} --template-stage Original" in asked
    assert ("--region eu-west-1" in asked) is regional


def test_no_code_of_the_assembly_runs_while_it_is_inspected(assembly: Path, tmp_path: Path) -> None:
    # Given an assembly with modules that the inspection could import
    for module in ("json", "hashlib", "sitecustomize", "subprocess"):
        (assembly / f"{module}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    # When
    done = subprocess.run(
        [sys.executable, "-I", "-", ".", PIPELINE],
        cwd=assembly,
        input=Path(inspection.__file__).read_text(),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(assembly)},
        capture_output=True,
        text=True,
    )
    # Then
    assert (done.returncode, done.stderr) == (1, "The assembly is refused: hashlib.py is no part of an assembly\n")
    assert not (tmp_path / "ran").exists()
