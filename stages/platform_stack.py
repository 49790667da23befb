"""The whole platform of one environment, layer by layer."""

from aws_cdk import CfnOutput, CfnParameter, Fn, Stack, Tags
from aws_cdk import Environment as Target
from constructs import Construct

from environments import ZONES, Environment
from names import Function, Parameter
from stages.api import Api
from stages.audit_trail import AuditTrail
from stages.bundling import functions_asset
from stages.compute import Compute
from stages.cut_over import CutOver
from stages.database import Database
from stages.default_security_group import ClosedDefaultSecurityGroup
from stages.delivery_roles import DeliveryRoles, moves_traffic
from stages.encryption import Encryption
from stages.function import FunctionBase
from stages.load_balancer import LoadBalancer
from stages.migration import Migration
from stages.monitoring import Monitoring
from stages.network import Network
from stages.parameters import Parameters
from stages.sealing import Sealing
from stages.shadow import ShadowRole
from stages.staff_roles import StaffRoles
from stages.storage import Storage
from stages.sweeper import Sweeper
from stages.watchdog import Watchdog


class PlatformStack(Stack):
    """``payment-platform-<env>``: a single stack, because cross-stack references can block updates."""

    def __init__(self, scope: Construct, id: str, *, environment: Environment) -> None:
        super().__init__(
            scope,
            id,
            env=Target(account=environment.account, region=environment.region),
            stack_name=environment.stack_name,
            description=f"Card payments: the {environment.name} environment",
            termination_protection=environment.protected,
        )
        self._zones = environment.availability_zones
        Tags.of(self).add("application", "payments")
        Tags.of(self).add("environment", environment.name)
        # CDK Pipelines passes no parameters, so the default is the environment's value.
        alert_email = CfnParameter(
            self, "AlertEmail", default=environment.alert_email, description="Receives every alarm and approval notice"
        )

        encryption = Encryption(self, "Security", environment=environment)
        network = Network(self, "Network", environment=environment, encryption=encryption)
        base = FunctionBase(environment=environment, encryption=encryption, network=network, code=functions_asset())
        ClosedDefaultSecurityGroup(self, "DefaultSecurityGroup", base=base)
        storage = Storage(self, "Storage", base=base)
        database = Database(self, "Database", base=base)
        parameters = Parameters(self, "Configuration", environment=environment)
        compute = Compute(self, "Compute", base=base, storage=storage, database=database, parameters=parameters)
        balancer = LoadBalancer(
            self,
            "LoadBalancer",
            environment=environment,
            network=network,
            storage=storage,
            processing=compute.functions[Function.PROCESSING],
        )
        api = Api(self, "Api", base=base, compute=compute, balancer=balancer)
        staff = StaffRoles(self, "StaffRoles", environment=environment, api=api)
        shadow_outputs = {}
        if environment.migration:
            shadow = ShadowRole(self, "Shadow", environment=environment, api=api)
            shadow_outputs = {"ShadowRoleArn": (shadow.role.role_arn, "Role that asks in another system's shadow")}
        sealing = Sealing(self, "Sealing", base=base, storage=storage)
        sweeper = Sweeper(self, "Sweeper", base=base, storage=storage)
        storage.outlive(api.stable_stage, api.candidate_stage, balancer.listener, sealing.schedule, sweeper.schedule)
        monitoring = Monitoring(
            self,
            "Monitoring",
            environment=environment,
            encryption=encryption,
            storage=storage,
            database=database,
            compute=compute,
            balancer=balancer,
            api=api,
            sealing=sealing,
            sweeper=sweeper,
            alert_email=alert_email.value_as_string,
        )
        if environment.audit_trail:
            AuditTrail(self, "Trail", base=base, storage=storage, monitoring=monitoring)
        roles = DeliveryRoles(
            self,
            "DeliveryRoles",
            environment=environment,
            encryption=encryption,
            storage=storage,
            compute=compute,
            balancer=balancer,
            api=api,
            monitoring=monitoring,
        )
        parameters.publish(
            {
                Parameter.VPC_ID: network.vpc.vpc_id,
                Parameter.AURORA_ENDPOINT: database.cluster.cluster_endpoint.hostname,
                Parameter.TRANSACTION_TABLE: storage.transactions.table_name,
                Parameter.API_URL: api.url,
                Parameter.AUDIT_BUCKET: storage.audit.bucket_name,
                Parameter.KMS_KEY_ID: encryption.data_key.key_id,
            }
        )
        balanced = Function.PROCESSING.path
        load_outputs = {}
        if environment.load_workers:
            from stages.load_generator import LoadGenerator  # slow to import, and few environments have one

            generator = LoadGenerator(
                self,
                "LoadGenerator",
                environment=environment,
                encryption=encryption,
                network=network,
                storage=storage,
                api=api,
            )
            load_outputs = generator.outputs
        released = {
            "AlertTopicArn": (monitoring.topic.topic_arn, "SNS topic of the alarms"),
            "ListenerArn": (balancer.listener_arn, f"Listener whose weights move {balanced}"),
            "BlueTargetGroupArn": (balancer.blue_target_group_arn, f"Stable version of {balanced}"),
            "GreenTargetGroupArn": (balancer.green_target_group_arn, f"Candidate of {balanced}"),
            **{
                function.name_output: (released.function_name, f"Function of {function.path}")
                for function, released in compute.functions.items()
            },
            "RollbackAlarmNames": (
                Fn.join(",", [alarm.alarm_name for alarm in monitoring.rollback_alarms]),
                "Alarms that roll a shift back, comma-separated",
            ),
            "ReleaseTableName": (storage.releases.table_name, "Records and lease of the release controller"),
            "DashboardUrl": (monitoring.dashboard_url, "CloudWatch dashboard"),
        }
        if environment.release.watchdog:
            Watchdog(
                self,
                "Watchdog",
                base=base,
                outputs={name: value for name, (value, _) in released.items()},
                statements=moves_traffic(
                    environment=environment,
                    encryption=encryption,
                    storage=storage,
                    compute=compute,
                    balancer=balancer,
                    monitoring=monitoring,
                ),
                compute=compute,
                monitoring=monitoring,
            )
        migration_outputs = {}
        if environment.migration:
            migration = Migration(
                self, "Migration", base=base, storage=storage, database=database, compute=compute, monitoring=monitoring
            )
            migration_outputs = migration.outputs
            if environment.migration.cut_over:
                cut_over = CutOver(
                    self,
                    "CutOver",
                    environment=environment,
                    settings=environment.migration.cut_over,
                    encryption=encryption,
                    storage=storage,
                    monitoring=monitoring,
                    reader=migration.function,
                )
                migration_outputs |= cut_over.outputs
        self.outputs = {
            name: CfnOutput(self, name, value=value, description=description)
            for name, (value, description) in {
                "VpcId": (network.vpc.vpc_id, "VPC identifier"),
                "AuroraClusterEndpoint": (database.cluster.cluster_endpoint.hostname, "Aurora PostgreSQL endpoint"),
                "TransactionTableName": (storage.transactions.table_name, "DynamoDB table of the transactions"),
                "ApiGatewayUrl": (api.url, "The API that clients call"),
                "AlbDnsName": (balancer.alb.load_balancer_dns_name, f"Private load balancer of {balanced}"),
                "AuditLogBucket": (storage.audit.bucket_name, "S3 bucket of the audit records"),
                "KmsKeyId": (encryption.data_key.key_id, "Key that encrypts the payment data"),
                "CandidateApiUrl": (api.candidate_url, "The same API on the candidate (green), for the load gate"),
                **released,
                "FirstRelease": (
                    f"python -m pipeline.release shift --env {environment.name}",
                    "Opens the API after the first deployment: until then it answers 503",
                ),
                "ReleaseRoleArn": (roles.release.role_arn, "Role of the release controller"),
                "LoadTestRoleArn": (roles.load_test.role_arn, "Role of the load gate"),
                **{
                    f"{each.capitalize()}RoleArn": (role.role_arn, f"Role of people who are {each}s")
                    for each, role in staff.roles.items()
                },
                **shadow_outputs,
                **load_outputs,
                **migration_outputs,
            }.items()
        }

    @property
    def availability_zones(self) -> list[str]:
        """The settings' zones, or the region's first zones at deploy time: synthesis calls no AWS API."""
        return list(self._zones) or [Fn.select(index, Fn.get_azs()) for index in range(ZONES)]
