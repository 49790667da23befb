"""Secrets rotate: RDS rotates the database administrator's, our functions their own password and the card keys."""

from collections.abc import Sequence

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IDependable

from stages.function import FunctionBase, PlatformFunction

ROTATION_DAYS = 30
CARD_KEY_DAYS = 365
"""The cryptoperiod of card keys (PCI DSS 3.7.4; NIST SP 800-57 part 1 allows up to two years)."""


def rotate_passwords(
    scope: Construct,
    *,
    base: FunctionBase,
    admin_secret: secretsmanager.ISecret,
    app_secret: secretsmanager.Secret,
    migration_secret: secretsmanager.Secret | None,
    login_address: dict[str, str],
    after: IDependable,
) -> None:
    """Create the rotations in ``scope``. They start after the schema (``after``) has used the first passwords.

    A deployment never rotates, because a migration at the same time must be able to log in. ``login_address``: the
    writer's address, as environment variables.
    """
    if base.environment.admin_rotation == "schedule":
        admin = secretsmanager.CfnRotationSchedule(
            scope,
            "AdminRotation",
            secret_id=admin_secret.secret_arn,
            rotation_rules=_every(ROTATION_DAYS),
            rotate_immediately_on_update=False,
        )
        # RDS owns the secret and the schedule, and deletes them with the cluster. CloudFormation may not cancel it.
        admin.apply_removal_policy(RemovalPolicy.RETAIN)
        admin.node.add_dependency(after)

    logins = [("Rotation", "AppRotation", "rotation", app_secret, "the functions log in")]
    if migration_secret:
        name = "migration-rotation"
        logins.append(("MigrationRotation", "MigrationSchedule", name, migration_secret, "the migration logs in"))
    for id, schedule, name, secret, use in logins:
        rotator = _rotator(
            scope,
            id,
            base=base,
            name=name,
            module="rotation.handler",
            description=f"Rotates the password with which {use}",
            secret=secret,
            environment=login_address,
            statements=[iam.PolicyStatement(actions=["secretsmanager:GetRandomPassword"], resources=["*"])],
        )
        _schedule(scope, schedule, secret=secret, rotator=rotator, days=ROTATION_DAYS).node.add_dependency(after)


def rotate_card_keys(scope: Construct, *, base: FunctionBase, secret: secretsmanager.Secret) -> None:
    """Create the rotation in ``scope``. A deployment never rotates: the stable version may be one that can't read a set
    of versions yet."""
    rotator = _rotator(
        scope,
        "CardKeyRotation",
        base=base,
        name="card-key-rotation",
        module="rotation.card_keys",
        description="Adds a version to the keys of card fingerprints",
        secret=secret,
    )
    _schedule(scope, "CardKeySchedule", secret=secret, rotator=rotator, days=CARD_KEY_DAYS)


def _schedule(
    scope: Construct, id: str, *, secret: secretsmanager.Secret, rotator: PlatformFunction, days: int
) -> secretsmanager.CfnRotationSchedule:
    schedule = secretsmanager.CfnRotationSchedule(
        scope,
        id,
        secret_id=secret.secret_arn,
        rotation_lambda_arn=rotator.function.function_arn,
        rotation_rules=_every(days),
        rotate_immediately_on_update=False,
    )
    schedule.node.add_dependency(rotator)
    return schedule


def _every(days: int) -> secretsmanager.CfnRotationSchedule.RotationRulesProperty:
    return secretsmanager.CfnRotationSchedule.RotationRulesProperty(schedule_expression=f"rate({days} days)")


def _rotator(
    scope: Construct,
    id: str,
    *,
    base: FunctionBase,
    name: str,
    module: str | None = None,
    description: str,
    secret: secretsmanager.Secret,
    environment: dict[str, str] | None = None,
    statements: Sequence[iam.PolicyStatement] = (),
) -> PlatformFunction:
    rotator = PlatformFunction(
        scope,
        id,
        base=base,
        name=name,
        module=module,
        description=description,
        timeout=Duration.minutes(1),
        environment=environment,
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
            *statements,
            base.encryption.use_data_key("secretsmanager", "kms:Decrypt", "kms:GenerateDataKey"),
        ],
    )
    rotator.function.add_permission(
        "SecretsManager",
        principal=iam.ServicePrincipal("secretsmanager.amazonaws.com"),
        source_arn=secret.secret_arn,
    )
    return rotator
