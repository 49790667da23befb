"""What stands between the code of a commit and the roles of the pipeline.

The synthesis runs that code, and so do the steps of each environment. These functions change the pipeline that CDK
makes, so that this code can neither change the pipeline before a person agrees, nor run under a role that publishes or
deploys, nor replace what another step wrote. `docs/threat-model.md` has the attacks.
"""

import json
import re
from typing import Any, cast

import aws_cdk as cdk
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_codepipeline_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import pipelines

import names
from pipeline.artifact_folders import Folders
from pipeline.artifacts import ARTIFACT_FOLDER
from pipeline.evidence.bundle import FOLDER as EVIDENCE
from pipeline.steps import CHANGE, Asking, InspectAssembly, Synth

SYNTH_LOGICAL_ID = "PipelineBuildSynthCdkBuildProject6BEFA8E6"


def keep_logical_id(synth: Synth) -> None:
    """Keep the id that the project had before its output was inspected. CloudFormation can't make another project of
    the same name before it deletes the former one."""
    project = cast(codebuild.CfnProject, synth.project.node.default_child)
    project.override_logical_id(SYNTH_LOGICAL_ID)


def publish_all_assets(engine: pipelines.CodePipeline, *, cdk_assets: str) -> None:
    """Replace the commands that publish assets. CDK puts its own into the assembly, where a commit could change them.

    These name no asset, so another asset does not change the pipeline. What is stored already is not published again.
    """
    publish = 'for each in assembly-*/*.assets.json; do cdk-assets --path "$each" --verbose publish || exit 1; done'
    specification = {
        "version": "0.2",
        "phases": {
            "install": {"runtime-versions": {"nodejs": "22"}, "commands": [f"npm install -g cdk-assets@{cdk_assets}"]},
            "build": {"commands": [publish]},
        },
    }
    project = engine.node.find_child("Assets").node.find_child("FileAsset").node.default_child
    cast(codebuild.CfnProject, project).add_property_override("Source.BuildSpec", json.dumps(specification))


def ask_before_self_mutation(pipeline: codepipeline.Pipeline, inspect: InspectAssembly, asking: Asking) -> None:
    """Add a stage before ``UpdatePipeline`` in which a person approves a change of the pipeline itself. Executions that
    change nothing of it skip the stage.

    Source: CodePipeline user guide, "VariableCheck" and "Configure conditions for a stage".
    """
    # CDK resolves a variable only where a step of its own uses it.
    digest: str = cdk.Stack.of(pipeline).resolve(inspect.assembly_digest)
    changes = codepipeline.Rule(
        name="PipelineChanges",
        provider="VariableCheck",
        version="1",
        configuration={"Variable": re.sub(r"\.\w+}$", f".{CHANGE}}}", digest), "Operator": "EQ", "Value": "changed"},
    )
    pipeline.add_stage(
        stage_name=names.PIPELINE_APPROVAL,
        placement=codepipeline.StagePlacement(right_before=pipeline.stage("UpdatePipeline")),
        before_entry=codepipeline.Conditions(
            conditions=[codepipeline.Condition(result=codepipeline.Result.SKIP, rules=[changes])]
        ),
        actions=[
            actions.ManualApprovalAction(
                action_name="ChangePipeline",
                notification_topic=asking.notices,
                additional_information=(
                    "This commit changes the pipeline itself: its steps, its roles, or who must approve. Compare the"
                    f" template with the deployed one, and approve to update the pipeline. {asking.about}"
                ),
            )
        ],
    )


def let_only_actions_write(pipeline: codepipeline.Pipeline, artifacts: s3.Bucket, folders: Folders) -> None:
    """Let nobody write an artifact but the action that makes it, and CodePipeline, whose role no build can assume.

    A step that runs the code of a commit could otherwise replace an assembly that waits for approval.
    """

    def deny(sid: str, writers: list[str], **where: Any) -> None:
        artifacts.add_to_resource_policy(
            iam.PolicyStatement(
                sid=sid,
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=["s3:PutObject"],
                conditions={"ArnNotEquals": {"aws:PrincipalArn": writers}},
                **where,
            )
        )

    for folder, role in folders.writers.items():
        name = folder.removeprefix(ARTIFACT_FOLDER).strip("/")
        writers = [cdk.Fn.get_att(role, "Arn").to_string(), pipeline.role.role_arn]
        deny(f"Artifact{name}IsWrittenByItsAction", writers, resources=[artifacts.arn_for_objects(f"{folder}*")])
    known = [artifacts.arn_for_objects(f"{folder}*") for folder in (*folders.writers, f"{EVIDENCE}/")]
    deny("NothingElseIsWritten", [pipeline.role.role_arn], not_resources=known)
