"""The barriers between a commit's own code and the roles of the pipeline: inspection, approvals, folders."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline.bootstrap.account import EXECUTION
from pipeline.inspection import digest, inspect
from tests.infrastructure.promotion import Assembly, elsewhere, pipeline_template, promotion, resources
from tests.infrastructure.test_pipeline import (
    APPROVAL,
    action,
    artifact_bucket,
    pipeline,
    policy_of_artifacts,
    project,
    statements,
)


def actions() -> list[tuple[str, dict[str, Any]]]:
    return [(stage["Name"], each) for stage in pipeline()["Stages"] for each in stage["Actions"]]


def artifacts(each: dict[str, Any], kind: str) -> list[str]:
    return [artifact["Name"] for artifact in each.get(f"{kind}Artifacts", ())]


@pytest.mark.parametrize("synthesised", [promotion, elsewhere])
def test_what_the_synthesis_writes_passes_the_inspection(synthesised: Any) -> None:
    assembly: Assembly = synthesised()
    assert len(inspect(assembly.folder, "payment-pipeline")) == 64


def test_the_inspection_is_a_part_of_the_deployed_pipeline_and_runs_on_any_assembly(tmp_path: Path) -> None:
    # Given what the synthesis hands on, and an account in which no pipeline is deployed
    folder = shutil.copytree(promotion().folder, tmp_path / "assembly")
    aws = tmp_path / "bin" / "aws"
    aws.parent.mkdir()
    aws.write_text("#!/bin/sh\nexit 255\n")
    aws.chmod(0o755)
    # When the commands that stand in the pipeline's template run there
    specification = json.loads(project("Build", "Inspect")["Source"]["BuildSpec"])
    commands = specification["phases"]["build"]["commands"]
    environment = {"PATH": f"{aws.parent}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    script = "\n".join([*commands, 'echo "$ASSEMBLY $PIPELINE"'])
    done = subprocess.run(["/bin/sh", "-ec", script], cwd=folder, env=environment, capture_output=True, text=True)
    # Then they find the digest, and that a person must look
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{digest(folder)} changed"
    # And nothing was added to what is handed on
    assert digest(folder) == digest(promotion().folder)
    # And the execution remembers both
    assert specification["env"]["exported-variables"] == ["ASSEMBLY", "PIPELINE"]
    # And an assembly with something to execute ends the build
    (folder / "cdk.json").write_text('{"build": "id"}')
    refused = subprocess.run(["/bin/sh", "-ec", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "cdk.json is no part of an assembly" in refused.stderr


def test_nothing_reads_the_output_of_the_synthesis_but_the_inspection() -> None:
    [written] = artifacts(action("Build", "Synth"), "Output")
    assert [each["Name"] for _, each in actions() if written in artifacts(each, "Input")] == ["Inspect"]
    [inspected] = artifacts(action("Build", "Inspect"), "Output")
    for stage, name in (("UpdatePipeline", "SelfMutate"), ("Assets", "FileAssets")):
        assert artifacts(action(stage, name), "Input") == [inspected]
    prepared = [each for _, each in actions() if each["Name"].endswith(".Prepare")]
    assert {each["Configuration"]["TemplatePath"].partition("::")[0] for each in prepared} == {inspected}


def test_a_change_of_the_pipeline_itself_waits_for_a_person_and_others_pass_by() -> None:
    names = [stage["Name"] for stage in pipeline()["Stages"]]
    [stage] = [each for each in pipeline()["Stages"] if each["Name"] == "ApprovePipeline"]
    assert names.index("UpdatePipeline") == names.index("ApprovePipeline") + 1
    assert [each["Name"] for each in sorted(stage["Actions"], key=lambda each: each["RunOrder"])] == [
        "Summary", "ChangePipeline",
    ]  # fmt: skip
    [condition] = stage["BeforeEntry"]["Conditions"]
    [rule] = condition["Rules"]
    assert condition["Result"] == "SKIP"
    assert (rule["RuleTypeId"]["Provider"], rule["RuleTypeId"]["Category"]) == ("VariableCheck", "Rule")
    assert rule["Configuration"] == {
        "Variable": f"#{{{action('Build', 'Inspect')['Namespace']}.PIPELINE}}",
        "Operator": "EQ",
        "Value": "changed",
    }


@pytest.mark.parametrize(
    ("found", "deployed", "updates"),
    [
        ("unchanged", "its own", True),  # nothing to approve, then and now
        ("changed", "another", True),  # a person has approved this execution
        ("unchanged", "another", False),  # an execution before it has changed the pipeline meanwhile
        ("unchanged", "unreadable", False),
        ("", "another", False),  # an execution from before this check
    ],
)
def test_the_pipeline_updates_itself_only_to_what_was_approved(
    found: str, deployed: str, updates: bool, tmp_path: Path
) -> None:
    # Given the inspection's verdict of this execution, and the template that is deployed when it comes to update
    template = promotion().read("payment-pipeline.template.json")
    (tmp_path / "deployed").write_text(json.dumps(template if deployed == "its own" else {"Resources": {}}))
    for tool, does in {
        "aws": f"cat {tmp_path}/deployed" if deployed != "unreadable" else "exit 254",
        "cdk": f'echo "$*" > {tmp_path}/updated',
    }.items():
        (tmp_path / tool).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / tool).chmod(0o755)
    # When the commands run that stand in the pipeline's template
    commands = json.loads(project("UpdatePipeline", "SelfMutate")["Source"]["BuildSpec"])["phases"]["build"]["commands"]
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TMPDIR": str(tmp_path), "FOUND": found}
    done = subprocess.run(
        ["/bin/sh", "-ec", "\n".join(commands)], cwd=promotion().folder, env=environment, capture_output=True, text=True
    )
    # Then the CDK CLI updates the pipeline, or the step fails and says what to do
    assert (done.returncode == 0) is (tmp_path / "updated").exists() is updates, done.stderr
    assert updates or "Release the change again" in done.stderr


def test_the_update_knows_what_the_inspection_of_its_execution_found() -> None:
    variables = json.loads(action("UpdatePipeline", "SelfMutate")["Configuration"]["EnvironmentVariables"])
    said = {each["name"]: each["value"] for each in variables}
    assert said["FOUND"] == f"#{{{action('Build', 'Inspect')['Namespace']}.PIPELINE}}"
    assert "_PROJECT_CONFIG_HASH" in said
    # And it may read the same templates
    inspection, update = (
        [each for each in statements(project(*where)["ServiceRole"]) if "cloudformation:GetTemplate" in each["Action"]]
        for where in (("Build", "Inspect"), ("UpdatePipeline", "SelfMutate"))
    )
    assert update == inspection
    assert len(update) == 1


@pytest.mark.parametrize(("stage", "name"), [("ApprovePipeline", "ChangePipeline"), ("Prod", APPROVAL)])
def test_an_approval_names_the_commit_and_the_assembly(stage: str, name: str) -> None:
    said = action(stage, name)["Configuration"]["CustomData"]
    assert f"Commit #{{{action('Source', 'Source')['Namespace']}.CommitId}}" in said
    assert f"assembly #{{{action('Build', 'Inspect')['Namespace']}.ASSEMBLY}}" in said


def test_the_commands_that_publish_assets_are_not_in_the_assembly_and_name_no_asset(tmp_path: Path) -> None:
    # Given the commands in the pipeline's template
    specification = json.loads(project("Assets", "FileAssets")["Source"]["BuildSpec"])
    [command] = specification["phases"]["build"]["commands"]
    # When they run, with a script that stands for cdk-assets
    tool = tmp_path / "cdk-assets"
    tool.write_text(f'#!/bin/sh\necho "$2" >> {tmp_path}/published\n[ "$2" != "$FAILS" ]\n')
    tool.chmod(0o755)
    manifests = sorted(str(each.relative_to(promotion().folder)) for each in promotion().folder.glob("*/*.assets.json"))

    def publish(fails: str) -> int:
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FAILS": fails}
        return subprocess.run(["/bin/sh", "-ec", command], cwd=promotion().folder, env=environment).returncode

    # Then they publish the assets of every environment, and fail when one can't be published
    assert publish("none") == 0
    assert (tmp_path / "published").read_text().splitlines() == manifests
    assert publish(manifests[0]) != 0
    assert not re.search("[0-9a-f]{64}", json.dumps(project("Assets", "FileAssets")))


def test_each_artifact_has_a_folder_of_its_own() -> None:
    made = [name for _, each in actions() for name in artifacts(each, "Output")]
    assert len({name[:10] for name in made}) == len(made) == 3 + 2 * 3 + 2


def folder(artifact: str) -> dict[str, Any]:
    return {"Fn::Join": ["", [{"Fn::GetAtt": [artifact_bucket()[0], "Arn"]}, f"/payment-pipeline/{artifact[:10]}/*"]]}


def builds() -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Stage, name, action and service role of each build."""
    return [
        (stage, each["Name"], each, project(stage, each["Name"])["ServiceRole"])
        for stage, each in actions()
        if each["ActionTypeId"]["Provider"] == "CodeBuild"
    ]


def test_each_build_reads_its_inputs_and_writes_its_output_and_nothing_else() -> None:
    for stage, name, each, role in builds():
        allowed = {
            right: [json.dumps(r) for s in statements(role) if right in s["Action"] for r in s["Resource"]
                    if "/evidence/" not in json.dumps(r)]
            for right in ("s3:GetObject", "s3:PutObject")
        }  # fmt: skip
        for right, kind in (("s3:GetObject", "Input"), ("s3:PutObject", "Output")):
            expected = sorted(json.dumps(folder(artifact)) for artifact in artifacts(each, kind))
            assert sorted(allowed[right]) == expected, f"{stage}/{name} {right}"


def test_the_bucket_lets_only_the_action_of_an_artifact_write_it() -> None:
    own = pipeline()["RoleArn"]
    writers = {artifacts(each, "Output")[0]: role for _, _, each, role in builds() if artifacts(each, "Output")}
    writers[artifacts(action("Source", "Source"), "Output")[0]] = action("Source", "Source")["RoleArn"]
    denied = {
        json.dumps(each["Resource"]): each["Condition"]
        for each in policy_of_artifacts()
        if each["Effect"] == "Deny" and str(each.get("Sid", "")).startswith("Artifact")
    }
    assert denied == {
        json.dumps(folder(artifact)): {"ArnNotEquals": {"aws:PrincipalArn": [role, own]}}
        for artifact, role in writers.items()
    }
    [rest] = [each for each in policy_of_artifacts() if each.get("Sid") == "NothingElseIsWritten"]
    assert (rest["Effect"], rest["Action"], rest["Principal"]) == ("Deny", "s3:PutObject", {"AWS": "*"})
    assert rest["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": [own]}}
    assert len(rest["NotResource"]) == len(writers) + 1
    assert len(json.dumps(policy_of_artifacts())) < 20_000


def test_no_build_can_act_as_codepipeline_itself() -> None:
    id = pipeline()["RoleArn"]["Fn::GetAtt"][0]
    role = resources(pipeline_template(), "AWS::IAM::Role")[id]
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "codepipeline.amazonaws.com"}


def test_the_execution_policy_of_prods_account_has_every_service_of_its_template() -> None:
    # Given the policy whose command the bootstrap prints
    execution = json.loads(EXECUTION.read_text())
    allowed = {right.partition(":")[0] for each in execution["Statement"] for right in each["Action"] if ":*" in right}
    # Then the services of prod's resources are the ones that it allows, and iam for roles of the platform
    [file] = (elsewhere().folder / "assembly-Prod").glob("*.template.json")
    kinds = [each["Type"].split("::") for each in json.loads(file.read_text())["Resources"].values()]
    names = {"apigatewayv2": "apigateway", "elasticloadbalancingv2": "elasticloadbalancing"}
    services = {kind[1].lower() for kind in kinds if kind[0] == "AWS"}
    assert {names.get(each, each) for each in services} - {"iam"} <= allowed
