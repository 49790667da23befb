"""The sweeper: a function that a schedule calls, and that finishes what a crash left pending."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

import names
from environments import Environment
from names import Index
from stages.function import FunctionBase, PlatformFunction
from stages.storage import Storage

EVERY = Duration.minutes(5)
TIMEOUT = Duration.minutes(2)


class Sweeper(Construct):
    """Not released blue-green: a deployment replaces it, and what it does may be repeated."""

    def __init__(self, scope: Construct, id: str, *, base: FunctionBase, storage: Storage) -> None:
        super().__init__(scope, id)
        encryption, table, velocity = base.encryption, storage.transactions.table_arn, storage.velocity.table_arn
        sweeper = PlatformFunction(
            self,
            "Sweeper",
            base=base,
            name=names.SWEEPER,
            description="Finishes payments and amendments that a crash left pending",
            environment={
                "TRANSACTION_TABLE": storage.transactions.table_name,
                "VELOCITY_TABLE": storage.velocity.table_name,
                "AUDIT_BUCKET": storage.audit.bucket_name,
                "AUDIT_KEY_ID": encryption.data_key.key_id,
            },
            statements=[
                iam.PolicyStatement(actions=["dynamodb:Query"], resources=[f"{table}/index/{Index.BY_STATUS}"]),
                iam.PolicyStatement(actions=["dynamodb:GetItem", "dynamodb:UpdateItem"], resources=[table]),
                # Of a payment that was declined or voided, limits get their part back: customer, card, merchant's day.
                iam.PolicyStatement(
                    actions=["dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"], resources=[velocity]
                ),
                iam.PolicyStatement(
                    actions=["s3:PutObject", "s3:GetObject"], resources=[storage.audit.arn_for_objects("audit/*")]
                ),
                encryption.use_data_key("dynamodb", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"),
                encryption.use_data_key("s3", "kms:Decrypt", "kms:GenerateDataKey"),
            ],
            timeout=TIMEOUT,
        )
        self.function: lambda_.IFunction = sweeper.function
        self.schedule = sweeper.run_every(EVERY)


def sweep_metric(environment: Environment, name: str, statistic: str, period: Duration) -> cloudwatch.Metric:
    """A metric that each sweep publishes, also one that found nothing."""
    return cloudwatch.Metric(
        namespace=names.METRICS,
        metric_name=name,
        dimensions_map={"Environment": environment.name, "service": names.service(names.SWEEPER)},
        statistic=statistic,
        period=period,
    )
