"""The right to move clients from the old system to the platform, and what the command that does it has to know.

The DNS records are no resources of this stack: a deployment would set their weights (migration/prepare.py makes them).
"""

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

import names
from environments import PIPELINE, CutOverSettings, Environment
from names import Index, Role
from stages.delivery_roles import announces, outputs_statement
from stages.encryption import Encryption
from stages.function import PlatformFunction
from stages.monitoring import Monitoring
from stages.storage import Storage


class CutOver(Construct):
    """``payment-cutover-<env>``: changes the weights and addresses of one name, keeps the records of that, and reads
    both ledgers for the checks. Customers are compared by the function of the migration (``reader``)."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        environment: Environment,
        settings: CutOverSettings,
        encryption: Encryption,
        storage: Storage,
        monitoring: Monitoring,
        reader: PlatformFunction,
    ) -> None:
        super().__init__(scope, id)
        stack, own, payments = Stack.of(self), names.cut_over(environment.name), storage.transactions
        zone = f"arn:{stack.partition}:route53:::hostedzone/{settings.hosted_zone_id}"
        description = "Cut-over: moves clients from the old system to the platform"
        statements = [
            outputs_statement(stack),
            iam.PolicyStatement(actions=["route53:ListResourceRecordSets"], resources=[zone]),
            iam.PolicyStatement(
                actions=["route53:ChangeResourceRecordSets"],
                resources=[zone],
                conditions={
                    "ForAllValues:StringEquals": {
                        "route53:ChangeResourceRecordSetsNormalizedRecordNames": [settings.name],
                        "route53:ChangeResourceRecordSetsRecordTypes": ["CNAME"],
                        "route53:ChangeResourceRecordSetsActions": ["UPSERT"],
                    }
                },
            ),
            iam.PolicyStatement(actions=["route53:GetChange"], resources=[f"arn:{stack.partition}:route53:::change/*"]),
            # IAM cannot limit these to a resource.
            iam.PolicyStatement(
                actions=["cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData", "route53:ListHealthChecks"],
                resources=["*"],
            ),
            # Those of the platform's releases tell whether one is under way.
            iam.PolicyStatement(
                actions=["dynamodb:GetItem", "dynamodb:Query"],
                resources=[storage.releases.table_arn],
                conditions={"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [own, environment.name]}},
            ),
            iam.PolicyStatement(
                actions=["dynamodb:PutItem", "dynamodb:DeleteItem"],
                resources=[storage.releases.table_arn],
                conditions={"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [own]}},
            ),
            # ``verify``, and ``reconcile``: the day's payments, and the keys of their records.
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[reader.function.function_arn]),
            iam.PolicyStatement(
                actions=["dynamodb:Query"],
                resources=[f"{payments.table_arn}/index/{index}" for index in (Index.BY_DAY, Index.BY_STATUS)],
            ),
            iam.PolicyStatement(actions=["dynamodb:BatchGetItem"], resources=[payments.table_arn]),
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[storage.audit.bucket_arn],
                conditions={"StringLike": {"s3:prefix": "audit/*"}},
            ),
            encryption.use_data_key("dynamodb", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"),
            *announces(environment=environment, encryption=encryption, monitoring=monitoring),
        ]
        policy = iam.ManagedPolicy(self, "Policy", description=description, statements=statements)
        self.role = iam.Role(
            self,
            "Role",
            role_name=Role.CUT_OVER.of(environment.name),
            description=description,
            assumed_by=iam.AccountPrincipal(PIPELINE.account or stack.account),
            managed_policies=[policy],
        )
        self.outputs = {
            "CutOverRoleArn": (self.role.role_arn, "Role of the cut-over"),
            "CutOverZoneId": (settings.hosted_zone_id, "Zone of the name that clients call"),
            "CutOverName": (settings.name, "The name that clients call"),
            "CutOverOldHost": (settings.old_host, "Name of the old system"),
            "CutOverNewHost": (settings.new_host, "Name of the platform"),
        }
