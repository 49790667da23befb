"""The setting ``another_approves`` in the pipeline's template: what stands between an approval and what it allows."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import assertions

from environments import DEV, PIPELINE
from pipeline.stack import PipelineStack
from pipeline_app import committed_context
from stages.platform_stage import PlatformStage
from tests.infrastructure.promotion import pipeline_template, resources

ANN, BOB = ("arn:aws:sts::111111111111:assumed-role/Approver/ann@company.net", "arn:aws:iam::111111111111:user/bob")


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """A pipeline whose only environment waits for another one than the author."""
    app = cdk.App(context=committed_context(), builtin_cloud_formation_validation=False, analytics_reporting=False)
    dev = replace(DEV, requires_approval=True)
    settings = replace(PIPELINE, another_approves=True, addresses={"bob": ("bob@company.net", "it's@company.net")})
    platforms = {dev: PlatformStage(app, "Dev", environment=dev)}
    stack = PipelineStack(app, "payment-pipeline", settings=settings, platforms=platforms)
    found: dict[str, Any] = assertions.Template.from_stack(stack).to_json()
    return found


def stage(template: dict[str, Any], name: str) -> list[dict[str, Any]]:
    [pipeline] = resources(template, "AWS::CodePipeline::Pipeline").values()
    [found] = [each for each in pipeline["Stages"] if each["Name"] == name]
    return sorted(found["Actions"], key=lambda each: each["RunOrder"])


def project_of(template: dict[str, Any], stage_name: str, name: str) -> dict[str, Any]:
    [action] = [each for each in stage(template, stage_name) if each["Name"].endswith(name)]
    return resources(template, "AWS::CodeBuild::Project")[action["Configuration"]["ProjectName"]["Ref"]]


def rights(template: dict[str, Any], project: dict[str, Any]) -> set[str]:
    """The actions of CodePipeline and STS that the build may call."""
    attached = {"Ref": project["ServiceRole"]["Fn::GetAtt"][0]}
    return {
        action
        for policy in resources(template, "AWS::IAM::ManagedPolicy").values()
        if attached in policy["Roles"]
        for statement in policy["PolicyDocument"]["Statement"]
        for action in statement["Action"]
        if action.startswith(("codepipeline:", "sts:"))
    }


def run(project: dict[str, Any], folder: Path, *, approver: str, at: str, **variables: str) -> tuple[int, str]:
    """Run the project's commands where CodePipeline says that ``approver`` approved in stage ``at`` what Ann wrote."""
    told = {"AuthorDisplayName": "Ann", "AuthorEmail": "ann@company.net"}
    actions = [
        {"stageName": "Source", "actionName": "Source", "status": "Succeeded", "startTime": "1",
         "input": {"actionTypeId": {"category": "Source"}}, "output": {"outputVariables": told}},
        {"stageName": at, "actionName": "x", "status": "Succeeded", "startTime": "2", "updatedBy": approver,
         "input": {"actionTypeId": {"category": "Approval"}}},
    ]  # fmt: skip
    (folder / "actions").write_text(json.dumps({"actionExecutionDetails": actions}))
    for tool, does in {"aws": f"cat {folder}/actions", "cdk": f"touch {folder}/updated", "grep": "exit 1"}.items():
        (folder / tool).write_text(f"#!/bin/sh\n{does}\n")
        (folder / tool).chmod(0o755)
    commands = json.loads(project["Source"]["BuildSpec"])["phases"]["build"]["commands"]
    # The inspection has a test of its own, and needs an assembly.
    commands = [each for each in commands if "END_OF_INSPECTION" not in each]
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "PIPELINE_EXECUTION_ID": "x", "TMPDIR": str(folder)}
    done = subprocess.run(
        ["/bin/sh", "-ec", "\n".join(commands)],
        env={**environment, **variables},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(("approver", "goes_on"), [(ANN, False), (BOB, True)])
def test_nothing_is_deployed_that_its_author_has_approved(
    template: dict[str, Any], tmp_path: Path, approver: str, goes_on: bool
) -> None:
    names = [each["Name"].rpartition(".")[2] for each in stage(template, "Dev")]
    assert names[:4] == ["Prepare", "PromoteToDev", "AnotherApproved", "Deploy"]
    check = project_of(template, "Dev", "AnotherApproved")
    code, said = run(check, tmp_path, approver=approver, at="Dev")
    assert (code == 0) is goes_on, said
    assert goes_on or "Somebody else must approve it. Retry all actions of Dev" in said
    assert rights(template, check) == {"codepipeline:ListActionExecutions"}


@pytest.mark.parametrize(
    ("approver", "found", "updates"), [(ANN, "changed", False), (BOB, "changed", True), (ANN, "unchanged", False)]
)
def test_the_author_can_not_let_a_change_of_the_pipeline_take_effect(
    template: dict[str, Any], tmp_path: Path, approver: str, found: str, updates: bool
) -> None:
    mutation = project_of(template, "UpdatePipeline", "SelfMutate")
    code, said = run(mutation, tmp_path, approver=approver, at="ApprovePipeline", FOUND=found)
    assert (code == 0) is (tmp_path / "updated").exists() is updates, said
    assert "codepipeline:ListActionExecutions" in rights(template, mutation)
    [action] = stage(template, "UpdatePipeline")
    variables = {each["name"]: each["value"] for each in json.loads(action["Configuration"]["EnvironmentVariables"])}
    assert variables["PIPELINE_EXECUTION_ID"] == "#{codepipeline.PipelineExecutionId}"


def test_without_the_setting_the_pipeline_has_none_of_it() -> None:
    assert "END_OF_APPROVER" not in json.dumps(pipeline_template())
