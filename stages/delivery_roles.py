"""The two roles that the pipeline assumes in the environment's account, and which of its builds may."""

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from environments import PIPELINE, PROMOTION_ORDER, Environment
from names import CANDIDATE_RELEASE, RELEASE_EVENTS, RELEASE_METRICS, Build, Role, release_webhooks
from stages.api import Api
from stages.compute import Compute
from stages.encryption import Encryption
from stages.load_balancer import LoadBalancer
from stages.monitoring import Monitoring
from stages.storage import Storage


def outputs_statement(stack: Stack) -> iam.PolicyStatement:
    """Allows a role to read the outputs of ``stack``, under any id: that changes when the stack is created again."""
    arn = stack.format_arn(service="cloudformation", resource="stack", resource_name=f"{stack.stack_name}/*")
    return iam.PolicyStatement(actions=["cloudformation:DescribeStacks"], resources=[arn])


def trusted_builds(environment: Environment, stack: Stack, *builds: Build) -> iam.IPrincipal:
    """The pipeline's ``builds`` as the only principals of a role of ``environment``.

    A condition names their roles, because IAM refuses a principal that does not exist yet, and forgets one that is made
    again. An environment outside of the promotion has no builds: there, people of the account give the commands.
    """
    account = PIPELINE.account or stack.account
    principal = iam.AccountPrincipal(account)
    if environment.name not in {each.name for each in PROMOTION_ORDER}:
        return principal
    roles = [f"arn:{stack.partition}:iam::{account}:role/{each.role(environment.name)}" for each in builds]
    return principal.with_conditions({"ArnEquals": {"aws:PrincipalArn": roles}})


def read_promoted_gates(storage: Storage, encryption: Encryption) -> list[iam.PolicyStatement]:
    """Lets the load gate compare a candidate with what was measured of the last promoted releases."""
    return [
        iam.PolicyStatement(actions=["dynamodb:GetItem"], resources=[storage.releases.table_arn]),
        encryption.use_data_key("dynamodb", "kms:Decrypt"),
    ]


def moves_traffic(
    *,
    environment: Environment,
    encryption: Encryption,
    storage: Storage,
    compute: Compute,
    balancer: LoadBalancer,
    monitoring: Monitoring,
) -> list[iam.PolicyStatement]:
    """What a process needs that drives a release: weights, aliases, alarms, record, messages, metrics."""
    functions = [function.function.function_arn for function in compute.functions.values()]
    return [
        # IAM cannot limit these to a resource. Composite alarms are described only with access to all alarms.
        iam.PolicyStatement(
            actions=["cloudwatch:DescribeAlarms", "elasticloadbalancing:DescribeListeners"], resources=["*"]
        ),
        iam.PolicyStatement(actions=["elasticloadbalancing:ModifyListener"], resources=[balancer.listener_arn]),
        iam.PolicyStatement(
            actions=["lambda:CreateAlias", "lambda:GetAlias", "lambda:GetFunctionConfiguration", "lambda:UpdateAlias"],
            resources=[*functions, *(f"{arn}:*" for arn in functions)],
        ),
        iam.PolicyStatement(
            actions=["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:Query"],
            resources=[storage.releases.table_arn],
        ),
        encryption.use_data_key("dynamodb", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"),
        *announces(environment=environment, encryption=encryption, monitoring=monitoring),
    ]


def announces(*, environment: Environment, encryption: Encryption, monitoring: Monitoring) -> list[iam.PolicyStatement]:
    """What a process needs that tells people and programs of a release: metrics, events, chat rooms, mail."""
    stack = Stack.of(monitoring)
    webhooks = stack.format_arn(
        service="secretsmanager",
        resource="secret",
        resource_name=release_webhooks(environment.name),
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )
    return [
        # Metrics have no ARN, so the condition limits their namespace.
        iam.PolicyStatement(
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions={"StringEquals": {"cloudwatch:namespace": RELEASE_METRICS}},
        ),
        iam.PolicyStatement(
            actions=["events:PutEvents"],
            resources=[stack.format_arn(service="events", resource="event-bus", resource_name="default")],
            conditions={"StringEquals": {"events:source": RELEASE_EVENTS}},
        ),
        # The ARN of a secret ends with six characters. Without them: the ARN of one that does not exist.
        iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[webhooks, f"{webhooks}-??????"]),
        encryption.use_data_key("secretsmanager", "kms:Decrypt"),
        iam.PolicyStatement(actions=["sns:Publish"], resources=[monitoring.topic.topic_arn]),
        encryption.use_operations_key("sns", "kms:Decrypt", "kms:GenerateDataKey"),
    ]


class DeliveryRoles(Construct):
    """``payment-release-<env>`` moves traffic. ``payment-loadtest-<env>`` calls the API, and reads the stack's outputs
    and the table of releases."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        environment: Environment,
        encryption: Encryption,
        storage: Storage,
        compute: Compute,
        balancer: LoadBalancer,
        api: Api,
        monitoring: Monitoring,
    ) -> None:
        super().__init__(scope, id)
        self._environment = environment
        reads_outputs = outputs_statement(Stack.of(self))
        self.release = self._role(
            "Release",
            Role.RELEASE,
            "Release controller: moves traffic between the versions",
            [Build.SHIFT],
            [
                reads_outputs,
                *moves_traffic(
                    environment=environment,
                    encryption=encryption,
                    storage=storage,
                    compute=compute,
                    balancer=balancer,
                    monitoring=monitoring,
                ),
                # IAM cannot limit these actions to a resource.
                iam.PolicyStatement(
                    actions=["cloudwatch:GetMetricData", "elasticloadbalancing:DescribeLoadBalancers"], resources=["*"]
                ),
            ],
        )
        self.load_test = self._role(
            "LoadTest",
            Role.LOAD_TEST,
            "Load gate: calls the candidate",
            [Build.LOAD_GATE, Build.SHIFT],
            [
                reads_outputs,
                iam.PolicyStatement(
                    actions=["execute-api:Invoke"],
                    resources=[*api.invoke_arns(CANDIDATE_RELEASE), *api.invoke_arns(environment.name)],
                ),
                *read_promoted_gates(storage, encryption),
            ],
        )

    def _role(
        self, id: str, role: Role, description: str, builds: list[Build], statements: list[iam.PolicyStatement]
    ) -> iam.Role:
        policy = iam.ManagedPolicy(self, f"{id}Policy", description=description, statements=statements)
        return iam.Role(
            self,
            id,
            role_name=role.of(self._environment.name),
            description=description,
            assumed_by=trusted_builds(self._environment, Stack.of(self), *builds),
            managed_policies=[policy],
        )
