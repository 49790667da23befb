"""The AWS engine: a self-mutating CodePipeline that promotes every push to the main branch.

Run ``python -m pipeline.bootstrap --pipeline`` before the first ``cdk deploy``. It writes the SSM parameter
``CONNECTION_PARAMETER``: the ARN of the CodeConnections connection to the repository's host. The ARN belongs to the
account, not to the code. CloudFormation reads the parameter at every self-mutation. When it is missing, CloudFormation
names it and refuses the stack before it creates anything.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import aws_cdk as cdk
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_ssm as ssm
from aws_cdk import pipelines
from constructs import Construct

from environments import Environment, PipelineSettings
from names import CONNECTION_PARAMETER
from names import PIPELINE as STACK_NAME
from pipeline.approvals import Asking, Summary
from pipeline.artifact_folders import separate
from pipeline.artifacts import ARTIFACT_DAYS, ARTIFACT_FOLDER, KEY_ALIAS, RegionalArtifacts, artifact_bucket
from pipeline.barrier import (
    ask_before_self_mutation,
    inspect_before_self_mutation,
    keep_logical_id,
    let_only_actions_write,
    publish_all_assets,
)
from pipeline.definition import declare_promotion
from pipeline.evidence.bundle import FOLDER as EVIDENCE
from pipeline.least_privilege import narrow
from pipeline.steps import REPORT_NAME, RUNTIMES, Archive, CollectEvidence, InspectAssembly, PlatformStep, Synth
from stages.platform_stage import PlatformStage

EVIDENCE_DAYS = 3 * 365
"""Assessors look back a year, and come months after that year."""
EMPTIER = "Custom::S3AutoDeleteObjectsCustomResourceProvider"
"""CDK's function that empties buckets before they are deleted."""
PACKAGE_JSON = Path(__file__).parent.parent / "package.json"


class PipelineStack(cdk.Stack):
    """CodePipeline with its keys, artifact bucket, log group and notices.

    An environment in another region than the pipeline adds a stack ``RegionalArtifacts`` beside this one. Gate, shift
    and evidence run in the pipeline's region all the same, and call the environment's.

    Raises ``ValueError`` when ``settings`` or an environment leaves an account or region open that CodePipeline must
    know, and for regions that it can't deploy to.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: PipelineSettings,
        platforms: Mapping[Environment, PlatformStage],
    ) -> None:
        _require_reach(settings, platforms)
        super().__init__(
            scope,
            id,
            stack_name=STACK_NAME,
            env=cdk.Environment(account=settings.account, region=settings.region),
            description="Promotes every commit of the main branch through the payment platform's environments",
        )
        key = self._key()
        kept: dict[str | None, int] = {ARTIFACT_FOLDER: ARTIFACT_DAYS, f"{EVIDENCE}/": EVIDENCE_DAYS}
        artifacts = artifact_bucket(self, key=key, keep=kept)
        replicas = _replicas(scope, settings, platforms)
        notices = self._notices(settings, key)
        connection = ssm.StringParameter.value_for_string_parameter(self, CONNECTION_PARAMETER)
        source = pipelines.CodePipelineSource.connection(
            settings.repository, settings.branch, connection_arn=connection, action_name="Source", trigger_on_push=True
        )
        tools = json.loads(PACKAGE_JSON.read_text())["devDependencies"]
        synth = Synth(source=source)
        commit = source.source_attribute("CommitId")
        inspect = InspectAssembly(synth=synth, commit=commit, pipeline=STACK_NAME, regions=replicas)
        builds = self._builds(settings, key)
        engine = pipelines.CodePipeline(
            self,
            "Pipeline",
            pipeline_name=STACK_NAME,
            pipeline_type=codepipeline.PipelineType.V2,
            execution_mode=codepipeline.ExecutionMode.QUEUED,
            synth=inspect,
            self_mutation=True,
            **_stores(artifacts, settings.region, replicas),
            cli_version=tools["aws-cdk"],
            cdk_assets_cli_version=tools["cdk-assets"],
            publish_assets_in_parallel=False,
            code_build_defaults=builds,
        )
        assembly = inspect.assembly_digest
        asking = Asking(
            pipeline=STACK_NAME,
            notices=notices,
            commit=commit,
            assembly_digest=assembly,
            comparison=settings.comparison,
            addresses=settings.addresses if settings.another_approves else None,
        )

        def archive(environment: Environment) -> Archive:
            key = self._signing_key(environment)
            return Archive(pipeline=STACK_NAME, bucket=artifacts, signing_key=key, assembly_digest=assembly)

        declare_promotion(engine, platforms, asking=asking, archive=archive)
        engine.build_pipeline()
        keep_logical_id(synth)
        for step in _post_steps(engine):
            if isinstance(step, PlatformStep):
                step.name_role()
        publish_all_assets(engine, cdk_assets=tools["cdk-assets"])
        ask_before_self_mutation(engine.pipeline, inspect, asking, builds, list(platforms)[-1])
        inspect_before_self_mutation(engine, inspect, asking, name=STACK_NAME, regions=replicas)
        folders = separate(engine.pipeline)
        let_only_actions_write(engine.pipeline, artifacts, folders)
        self._protect_evidence(engine, artifacts)
        # By its ARN: for the topic itself CDK would let the service use the key without any condition.
        target = sns.Topic.from_topic_arn(self, "FailureNotices", notices.topic_arn)
        engine.pipeline.notify_on(
            "Failures", target, events=[codepipeline.PipelineNotificationEvents.PIPELINE_EXECUTION_FAILED]
        )
        self._report_groups([synth, *_post_steps(engine)])
        _allow_codeconnections(engine.pipeline, connection)
        narrow(self, key_alias=KEY_ALIAS, other_regions=list(replicas), artifacts=artifacts, folders=folders)

    def _key(self) -> kms.Key:
        key = kms.Key(
            self,
            "Key",
            alias=KEY_ALIAS,
            description="Artifacts, build logs and notices of the payment pipeline",
            enable_key_rotation=True,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="BuildLogs",
                principals=[iam.ServicePrincipal(f"logs.{self.region}.amazonaws.com")],
                actions=[
                    "kms:Decrypt",
                    "kms:DescribeKey",
                    "kms:Encrypt",
                    "kms:GenerateDataKey",
                    "kms:ReEncryptFrom",
                    "kms:ReEncryptTo",
                ],
                resources=["*"],
                conditions={
                    "ArnLike": {"kms:EncryptionContext:aws:logs:arn": self.format_arn(service="logs", resource="*")}
                },
            )
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="FailureNotices",
                principals=[iam.ServicePrincipal("codestar-notifications.amazonaws.com")],
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],
                # This service sends no aws:SourceAccount. It uses the key through SNS only.
                conditions={"StringEquals": {"kms:ViaService": f"sns.{self.region}.amazonaws.com"}},
            )
        )
        return key

    def _signing_key(self, environment: Environment) -> kms.Key:
        """Only the steps of a release of ``environment`` may sign with this key. The public key is enough to verify,
        without AWS."""
        return kms.Key(
            self,
            f"SigningKey{environment.name.capitalize()}",
            alias=f"alias/{STACK_NAME}-evidence-{environment.name}",
            description=f"Signs the evidence of releases of {environment.name}",
            key_spec=kms.KeySpec.ECC_NIST_P256,
            key_usage=kms.KeyUsage.SIGN_VERIFY,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )

    def _notices(self, settings: PipelineSettings, key: kms.Key) -> sns.Topic:
        topic = sns.Topic(self, "Notices", topic_name=f"{STACK_NAME}-notices", master_key=key, enforce_ssl=True)
        topic.add_subscription(subscriptions.EmailSubscription(settings.approver_email))
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="FailureNotices",
                principals=[iam.ServicePrincipal("codestar-notifications.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
            )
        )
        return topic

    def _protect_evidence(self, engine: pipelines.CodePipeline, artifacts: s3.Bucket) -> None:
        """Let only the steps of a release write evidence of its environment, and each object once."""
        # CDK lets the function that empties the bucket replace this policy, and with it the rules below. The function
        # can do without: it then empties the bucket and only logs that it could not forbid further writes.
        emptier = cast(cdk.CustomResourceProviderBase, self.node.find_child(EMPTIER))
        artifacts.add_to_resource_policy(
            iam.PolicyStatement(
                sid="PolicyIsNotWrittenByTheEmptier",
                effect=iam.Effect.DENY,
                principals=[iam.ArnPrincipal(emptier.role_arn)],
                actions=["s3:PutBucketPolicy"],
                resources=[artifacts.bucket_arn],
            )
        )

        def deny(sid: str, folder: str, condition: Mapping[str, Any]) -> None:
            artifacts.add_to_resource_policy(
                iam.PolicyStatement(
                    sid=sid,
                    effect=iam.Effect.DENY,
                    principals=[iam.AnyPrincipal()],
                    actions=["s3:PutObject"],
                    resources=[artifacts.arn_for_objects(f"{folder}/*")],
                    conditions=condition,
                )
            )

        everybody: list[str] = []
        for stage in (stage for wave in engine.waves for stage in wave.stages):
            steps = [step for step in stage.post if isinstance(step, PlatformStep | CollectEvidence)]
            roles = [cast(iam.IRole, step.project.role).role_arn for step in steps]
            everybody += roles
            folder = f"{EVIDENCE}/{stage.stage_name.lower()}"
            deny(f"EvidenceOf{stage.stage_name}", folder, {"ArnNotEquals": {"aws:PrincipalArn": roles}})
        deny("EvidenceIsWrittenByItsSteps", EVIDENCE, {"ArnNotEquals": {"aws:PrincipalArn": everybody}})
        deny("EvidenceIsWrittenOnce", EVIDENCE, {"Null": {"s3:if-none-match": "true"}})

    def _builds(self, settings: PipelineSettings, key: kms.Key) -> pipelines.CodeBuildOptions:
        log_group = logs.LogGroup(
            self,
            "BuildLogs",
            encryption_key=key,
            retention=logs.RetentionDays.ONE_YEAR,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        return pipelines.CodeBuildOptions(
            build_environment=codebuild.BuildEnvironment(
                build_image=codebuild.LinuxBuildImage.AMAZON_LINUX_2023_5, compute_type=codebuild.ComputeType.MEDIUM
            ),
            partial_build_spec=codebuild.BuildSpec.from_object(
                {
                    "version": "0.2",
                    "phases": {"install": {"runtime-versions": RUNTIMES}},
                }
            ),
            logging=codebuild.LoggingOptions(cloud_watch=codebuild.CloudWatchLoggingOptions(log_group=log_group)),
        )

    def _report_groups(self, steps: Iterable[pipelines.Step]) -> None:
        """Create the groups for JUnit reports. CodeBuild finds a group by the names of the project and the report."""
        for step in steps:
            # That of a summary has variables only.
            if isinstance(step, pipelines.CodeBuildStep) and step.partial_build_spec and not isinstance(step, Summary):
                group = codebuild.ReportGroup(
                    self,
                    f"Reports-{step.project_name}",
                    report_group_name=f"{step.project_name}-{REPORT_NAME}",
                    removal_policy=cdk.RemovalPolicy.DESTROY,
                    delete_reports=True,
                )
                group.grant_write(step)
                # CodeBuild calls CreateReportGroup with the group's name even when the group exists.
                step.grant_principal.add_to_principal_policy(
                    iam.PolicyStatement(actions=["codebuild:CreateReportGroup"], resources=[group.report_group_arn])
                )


def _replicas(app: Construct, settings: PipelineSettings, environments: Iterable[Environment]) -> dict[str, s3.Bucket]:
    """The artifact buckets in other regions than the pipeline's, by region."""
    regions = sorted({each.region for each in environments if each.region} - {settings.region})
    account = str(settings.account)
    return {region: RegionalArtifacts(app, account=account, region=region).bucket for region in regions}


def _stores(artifacts: s3.Bucket, region: str | None, replicas: Mapping[str, s3.Bucket]) -> dict[str, Any]:
    """Where the pipeline keeps artifacts, as properties of ``pipelines.CodePipeline``."""
    if not replicas:
        return {"artifact_bucket": artifacts}
    return {"cross_region_replication_buckets": {str(region): artifacts, **replicas}}


def _post_steps(engine: pipelines.CodePipeline) -> list[pipelines.Step]:
    return [step for wave in engine.waves for stage in wave.stages for step in stage.post]


def _require_reach(settings: PipelineSettings, environments: Iterable[Environment]) -> None:
    with_account = [each.name for each in environments if each.account]
    if with_account and not (settings.account and settings.region):
        raise ValueError(
            f"environments.py: {', '.join(with_account)} has an account of its own, so PIPELINE must name its"
            " account and region too"
        )
    for region in {settings.region, *(each.region for each in environments)}:
        if region and region.startswith("cn-"):
            raise ValueError(
                f"environments.py: {region}: CodePipeline has no CloudFormation action in China. Deploy each"
                " environment there by hand: cdk deploy -c environmentSuffix=NAME"
            )
    for each in environments:
        if each.region in (None, settings.region):
            continue
        if not (settings.account and settings.region and each.account):
            raise ValueError(
                f"environments.py: {each.name} is in {each.region}, another region than the pipeline's. Then PIPELINE"
                f" must name its account and region, and {each.name} its account, even if the account is the same"
            )
        if _partition(str(each.region)) != _partition(settings.region):
            raise ValueError(
                f"environments.py: {each.name} is in {each.region}, and the pipeline in {settings.region}. They are"
                " different partitions of AWS, and no role reaches from one into the other: use a pipeline in each"
            )


def _partition(region: str) -> str:
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def _allow_codeconnections(pipeline: codepipeline.Pipeline, connection: str) -> None:
    """Grant the action under its present service prefix. CDK grants it under the former prefix only."""
    action = pipeline.node.find_child("Source").node.find_child("Source")
    role = cast(iam.Role, action.node.find_child("CodePipelineActionRole"))
    role.add_to_principal_policy(iam.PolicyStatement(actions=["codeconnections:UseConnection"], resources=[connection]))
