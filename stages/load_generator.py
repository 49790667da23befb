"""Fargate tasks in the environment's private subnets, for a load that one build machine can't send.

No task runs between load gates: ``python -m loadtest.fargate`` starts and stops the tasks.
"""

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct

import names
from environments import Environment
from names import Build, Role
from stages.api import Api
from stages.delivery_roles import outputs_statement, read_promoted_gates, trusted_builds
from stages.encryption import Encryption
from stages.network import HTTPS, Network
from stages.storage import Storage

IMAGE = (
    "public.ecr.aws/docker/library/python:3.13.11-slim-bookworm"
    "@sha256:20080e807bfc404f8450b185cf0fc95d553462673598549613735f70a5b4d5d0"
)
CONTAINER = "load"
FOLDER = "/load"
"""The only writable folder of the container."""
GATE = ec2.Port.tcp(5557)
"""The port on which workers reach the gate. Locust's protocol has no authentication."""


class LoadGenerator(Construct):
    """The cluster, the task definition, the tasks' security group and roles, and the role that runs them."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        environment: Environment,
        encryption: Encryption,
        network: Network,
        storage: Storage,
        api: Api,
    ) -> None:
        super().__init__(scope, id)
        stack = Stack.of(self)
        name = Role.LOAD_RUNNER.of(environment.name)
        reads_outputs = outputs_statement(stack)
        bucket = storage.passing_bucket(self, "Bucket", access_logs="load-bucket/")
        code, reports = bucket.arn_for_objects("code/*"), bucket.arn_for_objects("reports/*")
        log_group = encryption.log_group(self, "Logs", name=names.log_group("load-gate", environment.name))

        group = ec2.SecurityGroup(
            self, "SecurityGroup", vpc=network.vpc, description="Load gate and workers", allow_all_outbound=False
        )
        group.add_ingress_rule(group, GATE, "Workers to the gate")
        group.add_egress_rule(group, GATE, "Workers to the gate")
        group.add_egress_rule(ec2.Peer.any_ipv4(), HTTPS, "The API, AWS services, packages")

        cluster = ecs.Cluster(
            self, "Cluster", cluster_name=name, vpc=network.vpc, container_insights_v2=ecs.ContainerInsights.ENABLED
        )
        tasks = iam.ServicePrincipal("ecs-tasks.amazonaws.com")
        starter = self._role(
            "Starter",
            "Starts the load gate's tasks: their logs",
            tasks,
            _allow(log_group.log_group_arn, "logs:CreateLogStream", "logs:PutLogEvents"),
        )
        worker = self._role(
            "Worker",
            "What the load gate's tasks may do: call the candidate, hand over reports",
            tasks,
            reads_outputs,
            iam.PolicyStatement(actions=["execute-api:Invoke"], resources=api.invoke_arns(names.CANDIDATE_RELEASE)),
            *read_promoted_gates(storage, encryption),
            _allow(reports, "s3:PutObject"),
            encryption.use_operations_key("s3", "kms:GenerateDataKey"),
        )
        definition = ecs.FargateTaskDefinition(
            self,
            "Task",
            family=name,
            cpu=1024,
            memory_limit_mib=2048,
            # hdrhistogram has no wheel for ARM, and the image has no compiler.
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.X86_64, operating_system_family=ecs.OperatingSystemFamily.LINUX
            ),
            execution_role=starter.without_policy_updates(),
            task_role=worker.without_policy_updates(),
            volumes=[ecs.Volume(name=CONTAINER)],
        )
        container = definition.add_container(
            CONTAINER,
            image=ecs.ContainerImage.from_registry(IMAGE),
            logging=ecs.LogDrivers.aws_logs(stream_prefix=CONTAINER, log_group=log_group),
            readonly_root_filesystem=True,
            working_directory=FOLDER,
        )
        container.add_mount_points(ecs.MountPoint(container_path=FOLDER, source_volume=CONTAINER, read_only=False))

        runner = self._role(
            "Runner",
            "Runs the load gate on Fargate",
            trusted_builds(environment, stack, Build.LOAD_GATE),
            reads_outputs,
            _allow(definition.task_definition_arn, "ecs:RunTask"),
            _allow(
                stack.format_arn(service="ecs", resource="task", resource_name=f"{name}/*"),
                "ecs:DescribeTasks",
                "ecs:StopTask",
            ),
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[starter.role_arn, worker.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
            ),
            _allow(log_group.log_group_arn, "logs:GetLogEvents"),
            _allow(code, "s3:PutObject", "s3:GetObject"),
            _allow(reports, "s3:GetObject"),
            encryption.use_operations_key("s3", "kms:Decrypt", "kms:GenerateDataKey"),
            role_name=name,
        )
        task_settings = {
            "run": {
                "cluster": cluster.cluster_name,
                "taskDefinition": definition.task_definition_arn,
                "launchType": "FARGATE",
                "networkConfiguration": {
                    "awsvpcConfiguration": {
                        "subnets": network.vpc.select_subnets(subnet_group_name="private").subnet_ids,
                        "securityGroups": [group.security_group_id],
                        "assignPublicIp": "DISABLED",
                    }
                },
            },
            "container": CONTAINER,
            "logGroup": log_group.log_group_name,
            "logPrefix": f"{CONTAINER}/{CONTAINER}",
            "bucket": bucket.bucket_name,
        }
        self.outputs = {
            "LoadTasks": (stack.to_json_string(task_settings), "Where and how the load gate's tasks run (JSON)"),
            "LoadRunnerRoleArn": (runner.role_arn, "Role of who runs the load gate's tasks"),
        }

    def _role(
        self,
        id: str,
        description: str,
        principal: iam.IPrincipal,
        *statements: iam.PolicyStatement,
        role_name: str | None = None,
    ) -> iam.Role:
        policy = iam.ManagedPolicy(self, f"{id}Policy", description=description, statements=list(statements))
        return iam.Role(
            self, f"{id}Role", role_name=role_name, description=description, assumed_by=principal,
            managed_policies=[policy],
        )  # fmt: skip


def _allow(resource: str, *actions: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=list(actions), resources=[resource])
