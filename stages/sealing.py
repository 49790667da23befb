"""The hourly job that verifies the books and signs what they hold, and the key that only it may use."""

from aws_cdk import CustomResource, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

import names
from names import Index
from stages.function import FunctionBase, PlatformFunction
from stages.storage import Storage


class Sealing(Construct):
    """The function ``sealing``, its schedule and the signing key. The first seal is made with the stack."""

    first: CustomResource
    """Made before the alarm that misses seals."""

    def __init__(self, scope: Construct, id: str, *, base: FunctionBase, storage: Storage) -> None:
        super().__init__(scope, id)
        encryption = base.encryption
        # KMS does not rotate signing keys. Seals name the key that signed them.
        key = kms.Key(
            self,
            "Key",
            alias=names.key_alias(names.SEALS, base.environment.name),
            description="Signs the seals of the books",
            key_spec=kms.KeySpec.ECC_NIST_P256,
            key_usage=kms.KeyUsage.SIGN_VERIFY,
            removal_policy=encryption.data_removal_policy,
        )
        indexes = [f"{storage.transactions.table_arn}/index/{index}" for index in (Index.BY_DAY, Index.BY_STATUS)]
        job = PlatformFunction(
            self,
            "Job",
            base=base,
            name=names.SEALING,
            description="Verifies the books every hour and seals them; writes seals, and nothing else",
            # It reads every record of the day. Half a processor does not read faster than one reader in four.
            timeout=Duration.minutes(15),
            memory_mb=1769,
            environment={
                "AUDIT_BUCKET": storage.audit.bucket_name,
                "TRANSACTION_TABLE": storage.transactions.table_name,
                "SIGNING_KEY_ARN": key.key_arn,
            },
            statements=[
                iam.PolicyStatement(actions=["kms:Sign", "kms:Verify"], resources=[key.key_arn]),
                iam.PolicyStatement(actions=["s3:ListBucket"], resources=[storage.audit.bucket_arn]),
                iam.PolicyStatement(
                    actions=["s3:GetObject"],
                    resources=[
                        storage.audit.arn_for_objects(f"{folder}/*") for folder in ("audit", names.IMPORTS, names.SEALS)
                    ],
                ),
                iam.PolicyStatement(
                    actions=["s3:PutObject"], resources=[storage.audit.arn_for_objects(f"{names.SEALS}/*")]
                ),
                iam.PolicyStatement(actions=["dynamodb:Query"], resources=indexes),
                iam.PolicyStatement(actions=["dynamodb:BatchGetItem"], resources=[storage.transactions.table_arn]),
                encryption.use_data_key("s3", "kms:Decrypt", "kms:GenerateDataKey"),
                encryption.use_data_key("dynamodb", "kms:Decrypt"),
            ],
        )
        storage.let_write_seals(job.role)
        self.schedule = job.run_every(Duration.hours(1))
        self.first = job.custom_resource(self, "First", resource_type="Custom::FirstSeal", properties={})
