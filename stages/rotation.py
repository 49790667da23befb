"""Both database passwords rotate. RDS rotates the administrator's, our function the functions' own."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IDependable

from stages.function import FunctionBase, PlatformFunction

ROTATION_DAYS = 30


def rotate_passwords(
    scope: Construct,
    *,
    base: FunctionBase,
    admin_secret: secretsmanager.ISecret,
    app_secret: secretsmanager.Secret,
    login_address: dict[str, str],
    after: IDependable,
) -> None:
    """Create the rotations in ``scope``. They start after the schema (``after``) has used the first passwords.

    A deployment never rotates, because a migration at the same time must be able to log in. ``login_address``: the
    writer's address, as environment variables.
    """
    rules = secretsmanager.CfnRotationSchedule.RotationRulesProperty(schedule_expression=f"rate({ROTATION_DAYS} days)")
    if base.environment.admin_rotation == "schedule":
        admin = secretsmanager.CfnRotationSchedule(
            scope,
            "AdminRotation",
            secret_id=admin_secret.secret_arn,
            rotation_rules=rules,
            rotate_immediately_on_update=False,
        )
        # RDS owns the secret and the schedule, and deletes them with the cluster. CloudFormation may not cancel it.
        admin.apply_removal_policy(RemovalPolicy.RETAIN)
        admin.node.add_dependency(after)

    rotator = _rotator(scope, base=base, secret=app_secret, login_address=login_address)
    app = secretsmanager.CfnRotationSchedule(
        scope,
        "AppRotation",
        secret_id=app_secret.secret_arn,
        rotation_lambda_arn=rotator.function.function_arn,
        rotation_rules=rules,
        rotate_immediately_on_update=False,
    )
    app.node.add_dependency(rotator, after)


def _rotator(
    scope: Construct, *, base: FunctionBase, secret: secretsmanager.Secret, login_address: dict[str, str]
) -> PlatformFunction:
    rotator = PlatformFunction(
        scope,
        "Rotation",
        base=base,
        name="rotation",
        description="Rotates the password with which the functions log in",
        timeout=Duration.minutes(1),
        environment=login_address,
        statements=[
            iam.PolicyStatement(
                actions=[
                    "secretsmanager:DescribeSecret",
                    "secretsmanager:GetSecretValue",
                    "secretsmanager:PutSecretValue",
                    "secretsmanager:UpdateSecretVersionStage",
                ],
                resources=[secret.secret_arn],
            ),
            iam.PolicyStatement(actions=["secretsmanager:GetRandomPassword"], resources=["*"]),
            base.encryption.use_data_key("secretsmanager", "kms:Decrypt", "kms:GenerateDataKey"),
        ],
    )
    rotator.function.add_permission(
        "SecretsManager",
        principal=iam.ServicePrincipal("secretsmanager.amazonaws.com"),
        source_arn=secret.secret_arn,
    )
    return rotator
