"""The means of a move: a bucket for the old system's files, and the function that brings them into the database."""

from typing import cast

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

import names
from environments import MigrationSettings
from names import Colour, Function
from stages.compute import Compute
from stages.database import NAME, Database
from stages.function import FunctionBase, PlatformFunction
from stages.monitoring import Monitoring
from stages.replication import Replication
from stages.storage import Storage

MEMORY_MB = 1769
"""One processor (AWS Lambda Developer Guide, "Memory"): one thread checks the rows."""


class Migration(Construct):
    """Exists only while an environment has the setting ``migration``. A schedule applies the changes that have arrived.

    Whoever writes the files needs the bucket's key, which opens nothing else.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        base: FunctionBase,
        storage: Storage,
        database: Database,
        compute: Compute,
        monitoring: Monitoring,
    ) -> None:
        super().__init__(scope, id)
        self._settings = cast(MigrationSettings, base.environment.migration)
        secret = cast(secretsmanager.Secret, database.migration_secret)
        self.key = kms.Key(
            self,
            "Key",
            alias=names.key_alias(names.MIGRATION, base.environment.name),
            description="Files of the system that moves here",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.DESTROY,
        )
        # No life cycle deletes a file before it is applied: its changes would be lost. The function deletes old ones.
        self.bucket = storage.passing_bucket(self, "Files", access_logs="migration-bucket/", key=self.key, days=None)
        amends = compute.functions[Function.TRANSACTIONS].function
        self._stable = f"{amends.function_arn}:{Colour.STABLE}"
        self.function = PlatformFunction(
            self,
            "Function",
            base=base,
            name=names.MIGRATION,
            description="Loads customers, merchants and payments of another system, and applies its changes",
            timeout=Duration.minutes(15),
            memory_mb=MEMORY_MB,
            environment={
                "DATABASE_HOST": database.cluster.cluster_endpoint.hostname,
                "DATABASE_PORT": database.port,
                "DATABASE_NAME": NAME,
                "DATABASE_SECRET_ARN": secret.secret_arn,
                "MIGRATION_BUCKET": self.bucket.bucket_name,
                "TRANSACTION_TABLE": storage.transactions.table_name,
                "AUDIT_BUCKET": storage.audit.bucket_name,
                "AUDIT_KEY_ID": base.encryption.data_key.key_id,
                "FINGERPRINT_SECRET_ARN": compute.fingerprint.secret_arn,
                "PAYMENTS_PER_SECOND": str(self._settings.payments_per_second),
                "STABLE_TRANSACTIONS": self._stable,
                **self._settings.variables,
            },
            statements=[
                *base.encryption.read_secret(secret.secret_arn),
                iam.PolicyStatement(
                    actions=["s3:ListBucket", "s3:ListBucketVersions"], resources=[self.bucket.bucket_arn]
                ),
                iam.PolicyStatement(actions=["s3:GetObject"], resources=[self.bucket.arn_for_objects("*")]),
                iam.PolicyStatement(actions=["s3:PutObject"], resources=[self.bucket.arn_for_objects("*.report.json")]),
                # What is loaded is deleted with its former versions, because files hold card numbers. Reports stay.
                iam.PolicyStatement(
                    actions=["s3:DeleteObjectVersion"],
                    resources=[self.bucket.arn_for_objects(f"*.{form}") for form in ("csv", "parquet")],
                ),
                # So is what nobody deleted for a week, whatever its name is, except what is not applied.
                iam.PolicyStatement(actions=["s3:DeleteObject"], resources=[self.bucket.arn_for_objects("*")]),
                base.encryption.use_key(self.key, "s3", "kms:Decrypt", "kms:GenerateDataKey"),
                *self._import_payments(base, storage, compute),
            ],
        )
        storage.let_write_imports(self.function.role)
        # The user with which it logs in is made by the schema.
        self.function.run_every(Duration.minutes(1)).node.add_dependency(database.schema)
        self._alarm(base, monitoring)
        self.outputs = {
            "MigrationFunctionName": (self.function.function_name, "Moves customers and merchants here"),
            "MigrationBucketName": (self.bucket.bucket_name, "S3 bucket for the files of the system that moves here"),
        }
        if source := self._settings.migration_source:
            replication = Replication(self, "Replication", base=base, source=source, bucket=self.bucket, key=self.key)
            self.outputs["ReplicationArn"] = (replication.arn, "AWS DMS replication of the old system's database")

    def _import_payments(self, base: FunctionBase, storage: Storage, compute: Compute) -> list[iam.PolicyStatement]:
        """Payments go to the ledger, and what was imported to the audit log: to its own folder there, and nowhere else.
        A card number becomes a fingerprint in the function, so that it can be forgotten."""
        encryption = base.encryption
        return [
            *encryption.read_secret(compute.fingerprint.secret_arn),
            iam.PolicyStatement(
                actions=["dynamodb:BatchGetItem", "dynamodb:PutItem"], resources=[storage.transactions.table_arn]
            ),
            iam.PolicyStatement(
                actions=["s3:PutObject", "s3:GetObject"],
                resources=[storage.audit.arn_for_objects(f"{names.IMPORTS}/*")],
            ),
            # The records of an import that died tell which of its payments are missing.
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[storage.audit.bucket_arn],
                conditions={"StringLike": {"s3:prefix": f"{names.IMPORTS}/*"}},
            ),
            # Whether the stable version knows that the old system gives its payments back.
            iam.PolicyStatement(actions=["lambda:GetFunctionConfiguration"], resources=[self._stable]),
            encryption.use_data_key("dynamodb", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"),
            encryption.use_data_key("s3", "kms:Decrypt", "kms:GenerateDataKey"),
        ]

    def _alarm(self, base: FunctionBase, monitoring: Monitoring) -> None:
        monitoring.alarm(
            "MigrationLag",
            "migration-lag",
            "Changes of the old system are not applied in time, or nobody looks for them",
            runbook="migration-lag",
            metric=cloudwatch.Metric(
                namespace=names.METRICS,
                metric_name=names.MIGRATION_LAG,
                dimensions_map={
                    "Environment": base.environment.name,
                    "service": names.service(names.MIGRATION),
                },
                statistic="Maximum",
                period=Duration.minutes(5),
            ),
            threshold=self._settings.lag_alarm_seconds,
            missing=cloudwatch.TreatMissingData.BREACHING,
            datapoints_to_alarm=2,
            evaluation_periods=2,
        )
