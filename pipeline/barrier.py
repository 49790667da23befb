"""What stands between the code of a commit and the roles of the pipeline.

The synthesis runs that code, and so do the steps of each environment. These functions change the pipeline that CDK
makes, so that this code can neither change the pipeline before a person agrees, nor run under a role that publishes or
deploys, nor replace what another step wrote. `docs/threat-model.md` has the attacks.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, cast

import aws_cdk as cdk
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_codepipeline_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import pipelines

import names
from environments import Environment
from pipeline.approvals import PAGE, SAID, Asking, another_approved, asks_the_pipeline, summarised
from pipeline.artifact_folders import Folders
from pipeline.artifacts import ARTIFACT_FOLDER
from pipeline.evidence.bundle import FOLDER as EVIDENCE
from pipeline.steps import CHANGE, INSPECTION, RUNTIMES, InspectAssembly, Synth, inspection_of

UPDATE = "UpdatePipeline"
"""CDK's stage in which the pipeline deploys itself."""
NOT_APPROVED = (
    "The pipeline is another one than when this commit was inspected, and nobody has approved to change it to this"
    " commit's. Nothing was deployed. Release the change again: a new execution asks for the approval."
)
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


def ask_before_self_mutation(
    pipeline: codepipeline.Pipeline,
    inspect: InspectAssembly,
    asking: Asking,
    builds: pipelines.CodeBuildOptions,
    production: Environment,
) -> None:
    """Add a stage before ``UpdatePipeline`` in which a person approves a change of the pipeline itself, with a summary.
    Executions that change nothing of it skip the stage. ``builds``: options of the summary's build. It compares with
    what ``production`` runs.

    Source: CodePipeline user guide, "VariableCheck" and "Configure conditions for a stage".
    """
    changes = codepipeline.Rule(
        name="PipelineChanges",
        provider="VariableCheck",
        version="1",
        configuration={"Variable": _change(pipeline, inspect), "Operator": "EQ", "Value": "changed"},
    )
    summary = _summary(pipeline, asking, builds, production)
    pipeline.add_stage(
        stage_name=names.PIPELINE_APPROVAL,
        placement=codepipeline.StagePlacement(right_before=pipeline.stage(UPDATE)),
        before_entry=codepipeline.Conditions(
            conditions=[codepipeline.Condition(result=codepipeline.Result.SKIP, rules=[changes])]
        ),
        actions=[
            summary,
            actions.ManualApprovalAction(
                action_name="ChangePipeline",
                run_order=2,
                notification_topic=asking.notices,
                additional_information=(
                    "This commit changes the pipeline itself: its steps, its roles, or who must approve. Compare the"
                    f" template with the deployed one, and approve to update the pipeline. {asking.about}"
                    f" {summary.variable(SAID)} All of it: {summary.variable(PAGE)}"
                ),
            ),
        ],
    )


def _summary(
    pipeline: codepipeline.Pipeline, asking: Asking, builds: pipelines.CodeBuildOptions, production: Environment
) -> actions.CodeBuildAction:
    """What comes with the commit, compared with what ``production`` runs. Compared with the pipeline's former commit, a
    commit that nobody approved would write about the next one."""
    source, assembly = (
        next(each for each in pipeline.stage(stage).actions if each.action_properties.action_name == name)
        for stage, name in (("Source", "Source"), ("Build", "Inspect"))
    )
    outputs = [cast(list[codepipeline.Artifact], each.action_properties.outputs)[0] for each in (source, assembly)]
    refused = '{ echo "cdk.out: the commit has an assembly of its own, which nobody has inspected" >&2; exit 1; }'
    link = f'[ ! -e cdk.out ] || {refused}; ln -s -- "$CODEBUILD_SRC_DIR_{outputs[1].artifact_name}" cdk.out'
    commands = summarised(production, comparison=asking.comparison)
    specification = {
        "version": "0.2",
        "env": {"exported-variables": [SAID, PAGE]},
        "phases": {"install": {"runtime-versions": RUNTIMES}, "build": {"commands": [link, *commands]}},
        "artifacts": {"base-directory": "approval", "files": ["**/*"]},
    }
    project = codebuild.PipelineProject(
        pipeline,
        "SummaryOfPipeline",
        project_name=names.PIPELINE_SUMMARY_PROJECT,
        environment=builds.build_environment,
        logging=builds.logging,
        build_spec=codebuild.BuildSpec.from_object(specification),
        timeout=cdk.Duration.minutes(15),
    )
    project.add_to_role_policy(asks_the_pipeline(asking.pipeline, "ListActionExecutions", "ListPipelineExecutions"))
    return actions.CodeBuildAction(
        action_name="Summary",
        input=outputs[0],
        extra_inputs=outputs[1:],
        outputs=[codepipeline.Artifact("SummaryOfPipeline")],
        project=project,
        environment_variables={
            name: codebuild.BuildEnvironmentVariable(value=value) for name, value in asking.variables.items()
        },
    )


def inspect_before_self_mutation(
    engine: pipelines.CodePipeline, inspect: InspectAssembly, asking: Asking, *, name: str, regions: Iterable[str]
) -> None:
    """Let ``UpdatePipeline`` inspect again, and fail if it would change the pipeline without an approval.

    An execution that was found "unchanged" may come to this stage after another one has changed the pipeline: its stage
    is retried, or it was inspected while the other one waited for its approval. AWS says that mode QUEUED processes
    executions "one by one", and not that the next begins at the end of the former. A stage has one execution at a time,
    so none comes between this check and the deployment.

    Source: CodePipeline user guide, "How pipeline executions work" and "Configure stage retry". ``name``: of the
    pipeline's stack.
    """
    pipeline, project = engine.pipeline, cast(codebuild.Project, engine.self_mutation_project)
    stack = cdk.Stack.of(pipeline)
    resource = cast(codebuild.CfnProject, project.node.default_child)
    specification = json.loads(stack.resolve(resource.source)["buildSpec"])
    refused = f'{{ echo "{NOT_APPROVED}" >&2; exit 1; }}'
    specification["phases"]["build"]["commands"][:0] = [
        inspection_of(name),
        f'[ "$FOUND" = changed ] || grep -qx "pipeline unchanged" {INSPECTION} || {refused}',
    ]
    if asking.addresses is not None:
        # The author could otherwise approve a pipeline that lets authors approve.
        check = another_approved(stage=names.PIPELINE_APPROVAL, pipeline=name, addresses=asking.addresses)
        specification["phases"]["build"]["commands"].insert(2, f'[ "$FOUND" != changed ] || {check}')
        rights = asks_the_pipeline(name, "ListActionExecutions")
        cast(iam.IRole, project.role).add_to_principal_policy(rights)
    resource.add_property_override("Source.BuildSpec", json.dumps(specification))
    cast(iam.IRole, project.role).add_to_principal_policy(inspect.reads(name, regions))
    definition = cast(codepipeline.CfnPipeline, pipeline.node.default_child)
    stages = stack.resolve(definition.stages)
    number = [each["name"] for each in stages].index(UPDATE)
    [mutation] = stages[number]["actions"]
    variables = json.loads(mutation["configuration"]["EnvironmentVariables"])
    execution = codepipeline.GlobalVariables.EXECUTION_ID
    added = {"FOUND": _change(pipeline, inspect)}
    added |= {"PIPELINE_EXECUTION_ID": execution} if asking.addresses is not None else {}
    variables += [{"name": each, "type": "PLAINTEXT", "value": value} for each, value in added.items()]
    place = f"Stages.{number}.Actions.0.Configuration.EnvironmentVariables"
    definition.add_property_override(place, json.dumps(variables))


def _change(pipeline: codepipeline.Pipeline, inspect: InspectAssembly) -> str:
    """The variable of the execution that says whether it changes the pipeline. CDK resolves a variable only where a
    step of its own uses it."""
    digest: str = cdk.Stack.of(pipeline).resolve(inspect.assembly_digest)
    return re.sub(r"\.\w+}$", f".{CHANGE}}}", digest)


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
