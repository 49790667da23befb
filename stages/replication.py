"""AWS DMS reads the old system's database, and writes its rows and changes to the bucket of the migration."""

from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_dms as dms
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

import names
from environments import MigrationSource
from stages.encryption import Encryption
from stages.function import FunctionBase
from stages.network import HTTPS

TABLES = ("customers", "merchants", "merchant_principals", "merchant_customers", "payments")
CAPACITY = 4
"""The most capacity units; each has 2 GB. DMS takes fewer while little happens."""
BATCH_SECONDS = 60


class Replication(Construct):
    """A serverless replication, which a person starts (``aws dms start-replication``), because it begins to read then.

    Changes are written in the order of their transactions over all tables, so that no row comes before those that it
    refers to. DMS does that in CSV only. Source: AWS DMS User Guide, "Using Amazon S3 as a target": "Capturing data
    changes (CDC) including transaction order on the S3 target".
    """

    def __init__(
        self, scope: Construct, id: str, *, base: FunctionBase, source: MigrationSource, bucket: s3.Bucket, key: kms.Key
    ) -> None:
        super().__init__(scope, id)
        name, region = base.environment.name, Stack.of(self).region
        read = self._role(
            "Source",
            "Reads the login of the old system's database",
            f"dms.{region}.amazonaws.com",
            iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[source.secret_arn]),
            iam.PolicyStatement(
                actions=["kms:Decrypt"],
                resources=[source.key_arn],
                conditions={
                    "StringEquals": {"kms:ViaService": f"secretsmanager.{Stack.of(self).region}.amazonaws.com"}
                },
            ),
        )
        write = self._role(
            "Target",
            "Writes the files of the move",
            "dms.amazonaws.com",
            iam.PolicyStatement(actions=["s3:ListBucket"], resources=[bucket.bucket_arn]),
            iam.PolicyStatement(
                actions=["s3:PutObject", "s3:DeleteObject"], resources=[bucket.arn_for_objects("dms/*")]
            ),
            Encryption.use_key(key, "s3", "kms:Decrypt", "kms:GenerateDataKey"),
        )
        origin = dms.CfnEndpoint(
            self,
            "SourceEndpoint",
            endpoint_identifier=names.resource("migration-source", name),
            endpoint_type="source",
            engine_name=source.engine,
            ssl_mode="require",
            kms_key_id=key.key_arn,
            **_login(source, read.role_arn),
        )
        target = dms.CfnEndpoint(
            self,
            "TargetEndpoint",
            endpoint_identifier=names.resource("migration-target", name),
            endpoint_type="target",
            engine_name="s3",
            kms_key_id=key.key_arn,
            s3_settings=dms.CfnEndpoint.S3SettingsProperty(
                service_access_role_arn=write.role_arn,
                bucket_name=bucket.bucket_name,
                bucket_folder="dms",
                expected_bucket_owner=Stack.of(self).account,
                encryption_mode="SSE_KMS",
                server_side_encryption_kms_key_id=key.key_arn,
                data_format="csv",
                rfc4180=True,
                add_column_name=True,
                include_op_for_full_load=True,
                csv_null_value="\\N",
                cdc_path="changes",
                preserve_transactions=True,
                cdc_max_batch_interval=BATCH_SECONDS,
            ),
        )
        replication = dms.CfnReplicationConfig(
            self,
            "Config",
            replication_config_identifier=names.resource(names.MIGRATION, name),
            replication_type="full-load-and-cdc",
            source_endpoint_arn=origin.ref,
            target_endpoint_arn=target.ref,
            table_mappings=_selected(source.schema),
            compute_config=self._compute(base, source, key),
            replication_settings={"Logging": {"EnableLogging": True}},
        )
        replication.node.add_dependency(read, write)
        self.arn = replication.ref

    def _compute(
        self, base: FunctionBase, source: MigrationSource, key: kms.Key
    ) -> dms.CfnReplicationConfig.ComputeConfigProperty:
        network = base.network
        group = ec2.SecurityGroup(
            self,
            "SecurityGroup",
            vpc=network.vpc,
            description="AWS DMS to the database of the old system",
            allow_all_outbound=False,
        )
        group.add_egress_rule(ec2.Peer.ipv4(source.network), ec2.Port.tcp(source.port), "The old database")
        group.add_egress_rule(ec2.Peer.any_ipv4(), HTTPS, "AWS services")
        subnets = dms.CfnReplicationSubnetGroup(
            self,
            "Subnets",
            replication_subnet_group_description="Private subnets",
            replication_subnet_group_identifier=names.resource(names.MIGRATION, base.environment.name),
            subnet_ids=network.vpc.select_subnets(subnet_group_name="private").subnet_ids,
        )
        return dms.CfnReplicationConfig.ComputeConfigProperty(
            max_capacity_units=CAPACITY,
            multi_az=True,
            kms_key_id=key.key_arn,
            replication_subnet_group_id=subnets.ref,
            vpc_security_group_ids=[group.security_group_id],
        )

    def _role(self, id: str, description: str, service: str, *statements: iam.PolicyStatement) -> iam.Role:
        policy = iam.ManagedPolicy(self, f"{id}Policy", description=description, statements=list(statements))
        # DMS is called for this account only (IAM User Guide, "The confused deputy problem").
        principal = iam.ServicePrincipal(
            service, conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}}
        )
        return iam.Role(self, f"{id}Role", description=description, assumed_by=principal, managed_policies=[policy])


def _login(source: MigrationSource, role: str) -> dict[str, Any]:
    """The settings with which an endpoint reads its login from a secret: each engine has its own name for them."""
    access: dict[str, Any] = {"secrets_manager_access_role_arn": role, "secrets_manager_secret_id": source.secret_arn}
    match source.engine:
        case "postgres":
            # Without a heartbeat the slot of a quiet database holds back its log.
            settings = dms.CfnEndpoint.PostgreSqlSettingsProperty(**access, heartbeat_enable=True)
            return {"postgre_sql_settings": settings}
        case "mysql":
            return {"my_sql_settings": dms.CfnEndpoint.MySqlSettingsProperty(**access)}
        case "oracle":
            return {"oracle_settings": dms.CfnEndpoint.OracleSettingsProperty(**access)}
        case "sqlserver":
            settings_of = dms.CfnEndpoint.MicrosoftSqlServerSettingsProperty
            return {"microsoft_sql_server_settings": settings_of(**access)}
        case "db2":
            return {"ibm_db2_settings": dms.CfnEndpoint.IbmDb2SettingsProperty(**access)}


def _selected(schema: str) -> dict[str, Any]:
    return {
        "rules": [
            {
                "rule-type": "selection",
                "rule-id": str(number),
                "rule-name": table,
                "object-locator": {"schema-name": schema, "table-name": table},
                "rule-action": "explicit",
            }
            for number, table in enumerate(TABLES, 1)
        ]
    }
