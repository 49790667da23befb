"""The functions that are released, each with its stable (blue) and candidate (green) version."""

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

import names
from names import Function, Index, Staff
from stages.blue_green import BlueAliasProvider, BlueGreenFunction
from stages.bundling import rules_version
from stages.database import NAME, Database
from stages.function import FunctionBase, PlatformFunction
from stages.parameters import Parameters
from stages.rotation import rotate_card_keys
from stages.steady_state import SteadyState
from stages.storage import Storage

# Below API Gateway's 29 s, and far above the duration of a normal answer.
TIMEOUT = Duration.seconds(15)

MEMORY_MB = {
    Function.VALIDATION: 512,
    Function.FRAUD_DETECTION: 512,
    Function.PROCESSING: 1024,
    Function.TRANSACTIONS: 512,
}
"""Lambda's processor share follows from the memory. At these sizes the p99 of a request's own computing is at most a
quarter of the load gate's limit; the rest is for the network (docs/payments.md, "Memory and processor time")."""


class Compute(Construct):
    """Each function gets only the settings and permissions that it uses."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        base: FunctionBase,
        storage: Storage,
        database: Database,
        parameters: Parameters,
    ) -> None:
        super().__init__(scope, id)
        self.functions: dict[Function, BlueGreenFunction] = {}
        self._base = base
        self._blue_alias = BlueAliasProvider(self, "BlueAlias", base=base)
        encryption, migration = base.encryption, base.environment.migration
        self.fingerprint = fingerprint = secretsmanager.Secret(
            self,
            "CardFingerprint",
            secret_name=names.secret("card-fingerprint", base.environment.name),
            description="HMAC key by which equal cards are recognised without their number",
            encryption_key=encryption.data_key,
            # Never change this: CloudFormation would generate another value, and all versions of the key would be lost.
            generate_secret_string=secretsmanager.SecretStringGenerator(password_length=64, exclude_punctuation=True),
            removal_policy=encryption.data_removal_policy,
        )
        rotate_card_keys(self, base=base, secret=fingerprint)

        directory = {
            "DATABASE_HOST": database.reader_host,
            "DATABASE_PORT": database.port,
            "DATABASE_NAME": NAME,
            "DATABASE_SECRET_ARN": database.app_secret.secret_arn,
        }
        settings = {
            **directory,
            "VELOCITY_TABLE": storage.velocity.table_name,
            "FRAUD_RULES_PARAMETER": parameters.fraud_rules.parameter_name,
            "FINGERPRINT_SECRET_ARN": fingerprint.secret_arn,
            names.RULES_VERSION: rules_version(),
        }
        shadow = {"SHADOW_ROLE_ARN": self._named_role(names.SHADOW)} if base.environment.migration else {}
        velocity = storage.velocity.table_arn
        # Every route counts cards against card testing.
        use_velocity = [
            *encryption.read_secret(database.app_secret.secret_arn),
            *encryption.read_secret(fingerprint.secret_arn),
            iam.PolicyStatement(actions=["ssm:GetParameter"], resources=[parameters.fraud_rules.parameter_arn]),
            # Each also reads the merchant's total of the day.
            iam.PolicyStatement(actions=["dynamodb:BatchGetItem", "dynamodb:UpdateItem"], resources=[velocity]),
            encryption.use_data_key("dynamodb", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"),
        ]
        # Of the version before, which is stable until the shift. A later release takes it away.
        query_history = iam.PolicyStatement(
            actions=["dynamodb:Query"],
            resources=[
                f"{storage.transactions.table_arn}/index/{index}" for index in (Index.BY_CUSTOMER, Index.BY_CARD)
            ],
        )

        self._release(
            Function.VALIDATION,
            "card, amount, currency, customer and merchant",
            environment={**settings, **shadow},
            statements=use_velocity,
            database=database,
        )
        self._release(
            Function.FRAUD_DETECTION,
            "rules over what customer and card did lately",
            environment={**settings, **shadow},
            statements=[*use_velocity, query_history],
            database=database,
        )
        self._release(
            Function.PROCESSING,
            "decides a payment once, records it and its audit trail",
            environment={
                **settings,
                "TRANSACTION_TABLE": storage.transactions.table_name,
                "IDEMPOTENCY_TABLE": storage.idempotency.table_name,
                "AUDIT_BUCKET": storage.audit.bucket_name,
                "AUDIT_KEY_ID": encryption.data_key.key_id,
            },
            statements=[
                *use_velocity,
                query_history,
                iam.PolicyStatement(actions=["dynamodb:PutItem"], resources=[velocity]),
                iam.PolicyStatement(
                    actions=[
                        "dynamodb:BatchGetItem",
                        "dynamodb:ConditionCheckItem",
                        "dynamodb:PutItem",
                        "dynamodb:UpdateItem",
                    ],
                    resources=[storage.transactions.table_arn],
                ),
                iam.PolicyStatement(
                    actions=["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
                    resources=[storage.idempotency.table_arn],
                ),
                iam.PolicyStatement(
                    actions=["s3:PutObject", "s3:GetObject"], resources=[storage.audit.arn_for_objects("audit/*")]
                ),
                encryption.use_data_key("s3", "kms:Decrypt", "kms:GenerateDataKey"),
            ],
            database=database,
        )
        self._release(
            Function.TRANSACTIONS,
            "looks payments up, records decisions and reversals",
            environment={
                **directory,
                "VELOCITY_TABLE": storage.velocity.table_name,
                "TRANSACTION_TABLE": storage.transactions.table_name,
                "AUDIT_BUCKET": storage.audit.bucket_name,
                "AUDIT_KEY_ID": encryption.data_key.key_id,
                "REVIEWER_ROLE_ARN": self._named_role(Staff.REVIEWER),
                "OPERATOR_ROLE_ARN": self._named_role(Staff.OPERATOR),
                "FOUR_EYES": str(base.environment.four_eyes).lower(),
                **(migration.variables if migration else {}),
            },
            statements=[
                *encryption.read_secret(database.app_secret.secret_arn),
                iam.PolicyStatement(
                    actions=["dynamodb:GetItem", "dynamodb:UpdateItem"], resources=[storage.transactions.table_arn]
                ),
                iam.PolicyStatement(
                    actions=["dynamodb:Query"],
                    resources=[
                        f"{storage.transactions.table_arn}/index/{index}"
                        for index in (Index.BY_CUSTOMER, Index.BY_STATUS)
                    ],
                ),
                # Of a payment that was declined or voided, limits get their part back.
                iam.PolicyStatement(
                    actions=["dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"], resources=[velocity]
                ),
                encryption.use_data_key("dynamodb", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"),
                iam.PolicyStatement(
                    actions=["s3:PutObject", "s3:GetObject"], resources=[storage.audit.arn_for_objects("audit/*")]
                ),
                encryption.use_data_key("s3", "kms:Decrypt", "kms:GenerateDataKey"),
            ],
            database=database,
        )
        SteadyState(
            self,
            "SteadyState",
            base=base,
            functions=list(self.functions.values()),
            balanced=self.functions[Function.PROCESSING],
        )

    def _named_role(self, name: str) -> str:
        """The ARN of a role that calls the API, by its name: a reference would be circular, because the role names the
        API."""
        return Stack.of(self).format_arn(
            service="iam", region="", resource="role", resource_name=names.resource(name, self._base.environment.name)
        )

    def _release(
        self,
        released: Function,
        purpose: str,
        *,
        environment: dict[str, str],
        statements: list[iam.PolicyStatement],
        database: Database,
    ) -> None:
        function = PlatformFunction(
            self,
            released.id,
            base=self._base,
            name=released,
            description=f"{released.route}: {purpose}",
            environment=environment,
            statements=statements,
            timeout=TIMEOUT,
            memory_mb=MEMORY_MB[released],
        )
        versions = BlueGreenFunction(function, "Versions", function=function, blue_alias=self._blue_alias)
        # The candidate may read columns that its migrations add, so it is published after them.
        versions.green.node.add_dependency(database.schema)
        self.functions[released] = versions
