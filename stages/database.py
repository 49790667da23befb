"""Aurora Serverless v2 PostgreSQL with the customers, its credentials and its schema."""

import hashlib
from pathlib import Path
from typing import cast

from aws_cdk import ArnFormat, CustomResource, Duration, RemovalPolicy, Stack, Tokenization
from aws_cdk import aws_iam as iam
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

import names
from names import Role
from stages.bundling import SOURCE
from stages.function import FunctionBase, PlatformFunction
from stages.rotation import rotate_passwords

NAME = "payments"
APP_USER = "payments_app"
ADMIN_USER = "payments_admin"
MIGRATION_USER = "payments_migration"
# Its major version is that of the local cloud's PostgreSQL: docs/decisions/0008-aurora-has-the-local-major-version.md
ENGINE = rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_18_6)


class Database(Construct):
    """A writer and a reader that scale together. Clients must use TLS.

    The functions log in as ``payments_app``, which has only the rights that the migrations grant. RDS owns the
    administrator's password, and only the migrations use it. Both passwords rotate (``rotation.py``).
    """

    def __init__(self, scope: Construct, id: str, *, base: FunctionBase) -> None:
        super().__init__(scope, id)
        self._base = base
        self.cluster = self._cluster()
        self.port = Tokenization.stringify_number(self.cluster.cluster_endpoint.port)
        self.reader_host = self.cluster.cluster_read_endpoint.hostname
        admin_secret = cast(secretsmanager.ISecret, self.cluster.secret)
        self.app_secret = self._login("AppSecret", "database-app", APP_USER, "which the functions use")
        self.migration_secret: secretsmanager.Secret | None = None
        if base.environment.migration:
            self.migration_secret = self._login(
                "MigrationSecret", "database-migration", MIGRATION_USER, "which moves customers here"
            )
        self.schema = self._schema(admin_secret)
        rotate_passwords(
            self,
            base=base,
            admin_secret=admin_secret,
            app_secret=self.app_secret,
            migration_secret=self.migration_secret,
            login_address={
                "DATABASE_HOST": self.cluster.cluster_endpoint.hostname,
                "DATABASE_PORT": self.port,
                "DATABASE_NAME": NAME,
            },
            after=self.schema,
        )

    def _login(self, id: str, name: str, user: str, use: str) -> secretsmanager.Secret:
        return secretsmanager.Secret(
            self,
            id,
            secret_name=names.secret(name, self._base.environment.name),
            description=f"Login of {user}, {use}",
            encryption_key=self._base.encryption.data_key,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template=f'{{"username":"{user}"}}',
                generate_string_key="password",
                password_length=40,
                exclude_punctuation=True,
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _cluster(self) -> rds.DatabaseCluster:
        environment, encryption, network = self._base.environment, self._base.encryption, self._base.network
        identifier = names.platform(environment.name)
        # RDS would create this group without a key, and retain its logs for ever.
        logs = encryption.log_group(self, "Logs", name=f"/aws/rds/cluster/{identifier}/postgresql")
        cluster = rds.DatabaseCluster(
            self,
            "Cluster",
            cluster_identifier=identifier,
            engine=ENGINE,
            default_database_name=NAME,
            credentials=rds.Credentials.from_username(ADMIN_USER, encryption_key=encryption.data_key),
            manage_master_user_password=True,
            iam_authentication=True,
            parameters={
                "rds.force_ssl": "1",
                "ssl_min_protocol_version": "TLSv1.2",
                # Setting it takes away the default, which is pg_stat_statements alone.
                "shared_preload_libraries": "pg_stat_statements,pgaudit",
                "pgaudit.log": "ddl,read,role,write",
                "log_connections": "1",
                "log_disconnections": "1",
                "log_min_duration_statement": "1000",
            },
            writer=rds.ClusterInstance.serverless_v2(
                "Writer",
                auto_minor_version_upgrade=True,
                enable_performance_insights=True,
                performance_insight_encryption_key=encryption.data_key,
            ),
            readers=[
                rds.ClusterInstance.serverless_v2(
                    "Reader",
                    scale_with_writer=True,
                    auto_minor_version_upgrade=True,
                    enable_performance_insights=True,
                    performance_insight_encryption_key=encryption.data_key,
                )
            ],
            serverless_v2_min_capacity=environment.aurora_min_acu,
            serverless_v2_max_capacity=environment.aurora_max_acu,
            vpc=network.vpc,
            vpc_subnets=network.database,
            security_groups=[network.database_group],
            storage_encrypted=True,
            storage_encryption_key=encryption.data_key,
            backup=rds.BackupProps(retention=Duration.days(environment.backup_days)),
            copy_tags_to_snapshot=True,
            cloudwatch_logs_exports=["postgresql"],
            monitoring_interval=Duration.minutes(1),
            monitoring_role=self._monitoring_role(),
            deletion_protection=environment.protected,
            removal_policy=encryption.data_removal_policy,
        )
        cluster.node.add_dependency(logs)
        for part in cluster.node.find_all():  # CDK gives its instances and subnets no policy but RETAIN
            if environment.retain_data and isinstance(part, (rds.CfnDBInstance, rds.CfnDBSubnetGroup)):
                part.apply_removal_policy(encryption.data_removal_policy)
        return cluster

    def _monitoring_role(self) -> iam.Role:
        """The role of enhanced monitoring. It writes to one log group of the account, which RDS creates and names."""
        group = Stack.of(self).format_arn(
            service="logs",
            resource="log-group",
            resource_name="RDSOSMetrics",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        policy = iam.ManagedPolicy(
            self,
            "MonitoringPolicy",
            description="What RDS enhanced monitoring may do",
            statements=[
                # IAM matches a log group by its ARN with an empty stream part: ``:log-stream:``.
                iam.PolicyStatement(
                    actions=["logs:CreateLogGroup", "logs:PutRetentionPolicy"], resources=[f"{group}:*"]
                ),
                iam.PolicyStatement(
                    actions=[
                        "logs:CreateLogStream",
                        "logs:PutLogEvents",
                        "logs:DescribeLogStreams",
                        "logs:GetLogEvents",
                    ],
                    resources=[f"{group}:log-stream:*"],
                ),
            ],
        )
        return iam.Role(
            self,
            "MonitoringRole",
            description="RDS enhanced monitoring",
            assumed_by=iam.ServicePrincipal("monitoring.rds.amazonaws.com"),
            managed_policies=[policy],
        )

    def _schema(self, admin_secret: secretsmanager.ISecret) -> CustomResource:
        """The custom resource that runs the migrations, creates the app user and seeds, at each change of these."""
        writer = self.cluster.cluster_endpoint.hostname
        logins = [each for each in (self.app_secret, self.migration_secret) if each]
        function = PlatformFunction(
            self,
            "Schema",
            base=self._base,
            name="schema",
            description="Custom resource: migrates and seeds the customer database",
            timeout=Duration.minutes(5),
            statements=[
                *self._base.encryption.read_secret(admin_secret.secret_arn),
                *(statement for each in logins for statement in self._base.encryption.read_secret(each.secret_arn)),
            ],
        )
        schema = function.custom_resource(
            self,
            "SchemaVersion",
            resource_type="Custom::DatabaseSchema",
            properties={
                "Host": writer,
                "Port": self.port,
                "Database": NAME,
                "MasterSecretArn": admin_secret.secret_arn,
                "AppSecretArn": self.app_secret.secret_arn,
                **({"MigrationSecretArn": self.migration_secret.secret_arn} if self.migration_secret else {}),
                "DemoCustomers": "true" if self._base.environment.demo_customers else "false",
                **self._seeded_callers(),
                "MigrationsHash": migrations_hash(SOURCE / "schema"),
            },
        )
        # The endpoint exists before the instances, and the security groups before their rules. The migrations need all.
        network = self._base.network
        schema.node.add_dependency(self.cluster, network.functions_group, network.database_group)
        return schema

    def _seeded_callers(self) -> dict[str, list[str]]:
        """Who calls the API as the seeded merchants. The roles are named: they depend on what depends on the schema."""
        stack, name = Stack.of(self), self._base.environment.name
        arn = f"arn:{stack.partition}:iam::{stack.account}"
        roles = [f"{arn}:role/{role.of(name)}" for role in (Role.LOAD_TEST, Role.RELEASE, Role.LOAD_RUNNER)]
        return {
            "SyntheticPrincipals": [*roles, f"{arn}:root"],
            "DemoPrincipals": [stack.account, f"{arn}:root"],
        }


def migrations_hash(folder: Path) -> str:
    """Hash of all files of the schema. When it changes, CloudFormation runs the migrations again."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
