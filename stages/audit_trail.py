"""The account's trail: who called which API, who touched an audit record, and an alarm when a control is switched off.

Sources: AWS CloudTrail User Guide, "Amazon S3 bucket policy for CloudTrail", "Configure AWS KMS key policies for
CloudTrail", "Role policy document for CloudTrail to use CloudWatch Logs", "Logging data events".
"""

from typing import cast

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudtrail as cloudtrail
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

import names
from stages.function import FunctionBase
from stages.monitoring import Monitoring
from stages.storage import Storage

SWITCHES = (
    "StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors", "DeleteFlowLogs", "DeleteLogGroup",
    "DeleteLoggingConfiguration", "DisassociateWebACL", "DisableKey", "ScheduleKeyDeletion", "DeleteBucketPolicy",
    "DeleteBucket", "DeleteAlarms", "DisableAlarmActions", "DisableRule", "DeleteMetricFilter",
)  # fmt: skip
"""Calls that end a control: a trail, a log, the firewall, a key, a bucket's policy, an alarm, a schedule."""
DELETIONS = ("DeleteObject", "DeleteObjects")
"""Calls that delete audit records."""


class AuditTrail(Construct):
    """A trail of all regions, with the data events of the audit bucket. Its files go to a bucket of their own, where
    they are locked as audit records are. The log group is for the alarm, which no delivery of files could ring."""

    def __init__(
        self, scope: Construct, id: str, *, base: FunctionBase, storage: Storage, monitoring: Monitoring
    ) -> None:
        super().__init__(scope, id)
        self._base = base
        stack, name = Stack.of(self), names.resource(names.AUDIT_TRAIL, base.environment.name)
        arn = stack.format_arn(service="cloudtrail", resource="trail", resource_name=name)
        self._service = iam.ServicePrincipal("cloudtrail.amazonaws.com")
        self._from_the_trail = {"StringEquals": {"aws:SourceArn": arn}}
        bucket = self._bucket(storage)
        self._let_use_key()
        group = base.encryption.log_group(
            self, "LogGroup", name=names.log_group(names.AUDIT_TRAIL, base.environment.name)
        )
        trail = cloudtrail.CfnTrail(
            self,
            "Trail",
            trail_name=name,
            is_logging=True,
            is_multi_region_trail=True,
            include_global_service_events=True,
            enable_log_file_validation=True,
            s3_bucket_name=bucket.bucket_name,
            kms_key_id=base.encryption.data_key.key_arn,
            cloud_watch_logs_log_group_arn=group.log_group_arn,
            cloud_watch_logs_role_arn=self._role(group).role_arn,
            event_selectors=[
                cloudtrail.CfnTrail.EventSelectorProperty(
                    include_management_events=True,
                    read_write_type="All",
                    data_resources=[
                        cloudtrail.CfnTrail.DataResourceProperty(
                            type="AWS::S3::Object", values=[storage.audit.arn_for_objects("")]
                        )
                    ],
                )
            ],
        )
        # CloudTrail asks for the policy when it makes the trail. On deletion, nothing is delivered while it is emptied.
        trail.node.add_dependency(cast(s3.BucketPolicy, bucket.policy))
        self._alarm(group, storage, monitoring)

    def _bucket(self, storage: Storage) -> s3.Bucket:
        days = self._base.environment.log_retention_days
        bucket = storage.audit_bucket(
            self,
            "Logs",
            access_logs="trail-bucket/",
            sid="TrailBucketAccessLogs",
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="Expire", expiration=Duration.days(days), noncurrent_version_expiration=Duration.days(1)
                )
            ],
        )
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                sid="TrailLooksAtTheBucket",
                principals=[self._service],
                actions=["s3:GetBucketAcl"],
                resources=[bucket.bucket_arn],
                conditions=self._from_the_trail,
            )
        )
        owner = {"s3:x-amz-acl": "bucket-owner-full-control"}
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                sid="TrailDeliversItsFiles",
                principals=[self._service],
                actions=["s3:PutObject"],
                resources=[bucket.arn_for_objects(f"AWSLogs/{Stack.of(self).account}/*")],
                conditions={"StringEquals": {**self._from_the_trail["StringEquals"], **owner}},
            )
        )
        storage.keep_or_empty(bucket, "EmptyTrail")
        return bucket

    def _let_use_key(self) -> None:
        self._base.encryption.data_key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="TrailEncryptsItsFiles",
                principals=[self._service],
                actions=["kms:GenerateDataKey*", "kms:DescribeKey"],
                resources=["*"],
                conditions=self._from_the_trail,
            )
        )

    def _role(self, group: logs.LogGroup) -> iam.Role:
        policy = iam.ManagedPolicy(
            self,
            "Policy",
            description="What the audit trail may do",
            statements=[
                iam.PolicyStatement(
                    actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[group.log_group_arn]
                )
            ],
        )
        return iam.Role(
            self,
            "Role",
            description="Writes the audit trail to its log group",
            assumed_by=self._service.with_conditions(self._from_the_trail),
            managed_policies=[policy],
        )

    def _alarm(self, group: logs.LogGroup, storage: Storage, monitoring: Monitoring) -> None:
        """Ring when somebody ends a control or deletes an audit record. A call that was refused rings too."""
        environment = self._base.environment.name
        switched = " || ".join(f"($.eventName = {each})" for each in SWITCHES)
        deleted = " || ".join(f"($.eventName = {each})" for each in DELETIONS)
        logs.CfnMetricFilter(
            self,
            "Filter",
            log_group_name=group.log_group_name,
            filter_pattern=(
                f'{{ {switched} || (({deleted}) && $.requestParameters.bucketName = "{storage.audit.bucket_name}") }}'
            ),
            metric_transformations=[
                logs.CfnMetricFilter.MetricTransformationProperty(
                    metric_namespace=names.METRICS,
                    metric_name=f"{names.CONTROLS_SWITCHED_OFF}-{environment}",
                    metric_value="1",
                )
            ],
        )
        monitoring.alarm(
            "ControlsSwitchedOff",
            "controls-switched-off",
            "Somebody has ended a log, a key, the firewall, an alarm or the trail, or tried to delete audit records",
            runbook="controls-switched-off",
            metric=cloudwatch.Metric(
                namespace=names.METRICS,
                metric_name=f"{names.CONTROLS_SWITCHED_OFF}-{environment}",
                statistic="Sum",
                period=Duration.minutes(5),
            ),
            threshold=0,
        )
