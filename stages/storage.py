"""Tables and buckets: transactions, idempotency, velocity, releases, audit records and access logs."""

from functools import cached_property
from typing import Any, cast

from aws_cdk import (
    CustomResource,
    Duration,
    RemovalPolicy,
    Stack,
    Tags,
)
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct, IConstruct

from names import EMPTIED_ON_DELETE, IMPORTS, SEALS, Index, Table
from stages.function import FunctionBase, PlatformFunction

_PRIVATE: dict[str, Any] = {
    "versioned": True,
    "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
    "object_ownership": s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
    "enforce_ssl": True,
    "minimum_tls_version": 1.2,
}
"""The properties of every bucket."""


class Storage(Construct):
    """The tables and buckets. All are encrypted; buckets are versioned, tables have point-in-time recovery."""

    def __init__(self, scope: Construct, id: str, *, base: FunctionBase) -> None:
        super().__init__(scope, id)
        self._base = base
        self.transactions = self._table("Transactions", Table.TRANSACTIONS, partition_key="transaction_id")
        for index, key in (
            (Index.BY_CUSTOMER, "customer_id"),
            (Index.BY_CARD, "card_fingerprint"),
            (Index.BY_STATUS, "status"),
            (Index.BY_DAY, "day_shard"),
        ):
            self.transactions.add_global_secondary_index(
                index_name=index, partition_key=_string(key), sort_key=_string("created_at")
            )
        self.idempotency = self._table("Idempotency", Table.IDEMPOTENCY, partition_key="id", expires="expiration")
        self.velocity = self._table("Velocity", Table.VELOCITY, partition_key="counter", expires="expires")
        self.releases = self._table("Releases", Table.RELEASES, partition_key="environment", sort_key="release_id")

        self.access_logs = self._access_log_bucket()
        self._audit_emptied: CustomResource | None = None
        self.audit = self._audit_bucket()
        self._seals = self._let_nobody_write(SEALS, sid="SealsAreWrittenByTheirJob")
        self._imports = self._let_nobody_write(IMPORTS, sid="ImportsAreWrittenByTheMigration")

    def outlive(self, *entrances: IConstruct) -> None:
        """Empty the audit bucket after ``entrances`` are deleted, by which payments arrive: each leaves a record.

        CloudFormation deletes a dependent first.
        """
        if self._audit_emptied is not None:
            for entrance in entrances:
                entrance.node.add_dependency(self._audit_emptied)

    def let_write_seals(self, role: iam.IRole) -> None:
        """Nobody else may. The roles of the payments' functions name ``audit/`` only anyway."""
        self._seals.add_condition("ArnNotEquals", {"aws:PrincipalArn": role.role_arn})

    def let_write_imports(self, role: iam.IRole) -> None:
        """Nobody else may write the records of imported payments. They outlive the migration, and so does that."""
        self._imports.add_condition("ArnNotEquals", {"aws:PrincipalArn": role.role_arn})

    def _let_nobody_write(self, folder: str, *, sid: str) -> iam.PolicyStatement:
        """Add a statement that denies it. A condition may except a role."""
        statement = iam.PolicyStatement(
            sid=sid,
            effect=iam.Effect.DENY,
            principals=[iam.AnyPrincipal()],
            actions=["s3:PutObject"],
            resources=[self.audit.arn_for_objects(f"{folder}/*")],
        )
        self.audit.add_to_resource_policy(statement)
        return statement

    def receive_balancer_logs(self, balancer: elbv2.ApplicationLoadBalancer, *, prefix: str) -> None:
        """Let ``balancer`` deliver its access logs under ``prefix``.

        CDK's own method needs a fixed region: it grants the region's log delivery account, which newer regions lack.
        """
        stack = Stack.of(self)
        self.access_logs.add_to_resource_policy(
            iam.PolicyStatement(
                sid="LoadBalancerLogs",
                principals=[iam.ServicePrincipal("logdelivery.elasticloadbalancing.amazonaws.com")],
                actions=["s3:PutObject"],
                # Only the path names the account: this service sends no aws:SourceAccount.
                resources=[self.access_logs.arn_for_objects(f"{prefix}/AWSLogs/{stack.account}/*")],
            )
        )
        balancer.set_attribute("access_logs.s3.enabled", "true")
        balancer.set_attribute("access_logs.s3.bucket", self.access_logs.bucket_name)
        balancer.set_attribute("access_logs.s3.prefix", prefix)
        balancer.node.add_dependency(cast(s3.BucketPolicy, self.access_logs.policy))

    def passing_bucket(
        self, scope: Construct, id: str, *, access_logs: str, key: kms.IKey | None = None, days: int | None = 1
    ) -> s3.Bucket:
        """A bucket for temporary objects, which expire after ``days``; ``None``: somebody deletes them.

        ``access_logs``: prefix of its access logs. ``key``: the operations key if none is given.
        """
        bucket = s3.Bucket(
            scope,
            id,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key or self._base.encryption.operations_key,
            bucket_key_enabled=True,
            **_PRIVATE,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="Expire",
                    expiration=Duration.days(days) if days else None,
                    noncurrent_version_expiration=Duration.days(1),
                )
            ],
            removal_policy=RemovalPolicy.DESTROY,
        )
        self._log_access(bucket, prefix=access_logs, sid=f"{id}AccessLogs")
        self._empty_on_delete(bucket, f"Empty{id}")
        return bucket

    def audit_bucket(self, scope: Construct, id: str, *, access_logs: str, sid: str, **properties: Any) -> s3.Bucket:
        """A bucket of audit logs, encrypted with the data key. Objects are versioned, and locked if the environment
        asks for it. ``access_logs``: prefix of its access logs, which the statement ``sid`` allows."""
        locked_days = self._base.environment.audit_lock_days
        bucket = s3.Bucket(
            scope,
            id,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self._base.encryption.data_key,
            bucket_key_enabled=True,
            object_lock_default_retention=(
                s3.ObjectLockRetention.compliance(Duration.days(locked_days)) if locked_days else None
            ),
            removal_policy=self._base.encryption.data_removal_policy,
            **_PRIVATE,
            **properties,
        )
        self._log_access(bucket, prefix=access_logs, sid=sid)
        return bucket

    def keep_or_empty(self, bucket: s3.Bucket, id: str) -> CustomResource | None:
        """Empty ``bucket`` with the end of the stack, unless the environment retains its data: then no function of the
        platform has a right to delete from it."""
        if not self._base.environment.retain_data:
            return self._empty_on_delete(bucket, id)
        # The update that sets it deletes the step, whose function then looks for the tag.
        self._emptier.allow(iam.PolicyStatement(actions=["s3:GetBucketTagging"], resources=[bucket.bucket_arn]))
        return None

    def _table(
        self, id: str, table: Table, *, partition_key: str, sort_key: str | None = None, expires: str | None = None
    ) -> dynamodb.Table:
        return dynamodb.Table(
            self,
            id,
            table_name=table.of(self._base.environment.name),
            partition_key=_string(partition_key),
            sort_key=_string(sort_key) if sort_key else None,
            time_to_live_attribute=expires,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self._base.encryption.data_key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=self._base.environment.protected,
            removal_policy=self._base.encryption.data_removal_policy,
        )

    def _audit_bucket(self) -> s3.Bucket:
        """One object per decided payment under ``audit/``, and the seals. Records move to Glacier by age. Seals stay:
        they are few, and every verification reads them."""
        glacier_days = self._base.environment.audit_glacier_days
        bucket = self.audit_bucket(
            self,
            "Audit",
            access_logs="audit-bucket/",
            sid="BucketAccessLogs",
            # Else S3 leaves every object under 128 KB where it is. A record has about 1 KB.
            transition_default_minimum_object_size=s3.TransitionDefaultMinimumObjectSize.VARIES_BY_STORAGE_CLASS,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="ToGlacier",
                    prefix="audit/",
                    transitions=[
                        s3.Transition(
                            storage_class=s3.StorageClass.GLACIER, transition_after=Duration.days(glacier_days)
                        )
                    ]
                    if glacier_days
                    else None,
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                )
            ],
        )
        # Who may write a record could overwrite one. A condition on the key's absence leaves what is there.
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                sid="RecordsAreWrittenOnce",
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=["s3:PutObject"],
                resources=[bucket.arn_for_objects("*")],
                conditions={"Null": {"s3:if-none-match": "true"}},
            )
        )
        self._audit_emptied = self.keep_or_empty(bucket, "EmptyAudit")
        return bucket

    def _access_log_bucket(self) -> s3.Bucket:
        """Access logs of the audit bucket and the load balancer. AWS delivers these to SSE-S3 buckets only."""
        bucket = s3.Bucket(
            self,
            "AccessLogs",
            encryption=s3.BucketEncryption.S3_MANAGED,
            **_PRIVATE,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="Expire",
                    expiration=Duration.days(self._base.environment.log_retention_days),
                    noncurrent_version_expiration=Duration.days(self._base.environment.log_retention_days),
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                )
            ],
            removal_policy=self._base.encryption.data_removal_policy,
        )
        self.keep_or_empty(bucket, "EmptyAccessLogs")
        return bucket

    def _log_access(self, bucket: s3.Bucket, *, prefix: str, sid: str) -> None:
        """Log the requests to ``bucket``. A bucket policy allows it, because the log bucket accepts no ACLs."""
        self.access_logs.add_to_resource_policy(
            iam.PolicyStatement(
                sid=sid,
                principals=[iam.ServicePrincipal("logging.s3.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[self.access_logs.arn_for_objects(f"{prefix}*")],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )
        cfn_bucket = cast(s3.CfnBucket, bucket.node.default_child)
        cfn_bucket.logging_configuration = s3.CfnBucket.LoggingConfigurationProperty(
            destination_bucket_name=self.access_logs.bucket_name, log_file_prefix=prefix
        )

    @cached_property
    def _emptier(self) -> PlatformFunction:
        return PlatformFunction(
            self,
            "Emptier",
            base=self._base,
            name="empty-bucket",
            module="deployment.empty_bucket",
            description="Custom resource: empties a bucket that is about to be deleted",
            timeout=Duration.minutes(15),
            statements=[],
        )

    def _empty_on_delete(self, bucket: s3.Bucket, id: str) -> CustomResource:
        """CloudFormation can't delete a bucket that holds objects, so a function of ours empties it just before.

        The function empties only a bucket with the tag. Without it, an update that removes the step and keeps the
        bucket would delete all that it holds.

        The bucket's policy depends on that step: it is deleted first, and with it the right of AWS services to
        deliver further logs, so nothing arrives in between.
        """
        Tags.of(bucket).add(EMPTIED_ON_DELETE, "true")
        self._emptier.allow(
            iam.PolicyStatement(
                actions=["s3:GetBucketTagging", "s3:ListBucketVersions"], resources=[bucket.bucket_arn]
            ),
            iam.PolicyStatement(
                actions=["s3:DeleteObject", "s3:DeleteObjectVersion"], resources=[bucket.arn_for_objects("*")]
            ),
        )
        emptied = self._emptier.custom_resource(
            self, id, resource_type="Custom::EmptyBucket", properties={"BucketName": bucket.bucket_name}
        )
        cast(s3.BucketPolicy, bucket.policy).node.add_dependency(emptied)
        return emptied


def _string(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
