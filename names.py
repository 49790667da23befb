"""The names of the platform, each spelled once: functions and their routes, roles, tables, parameters, metrics.

Stages, pipeline, load test and tests take every name from here, so that a role's policy and the role, a table and its
reader, can't drift apart. Names are what AWS knows resources by: a changed one replaces the resource, with its data.

The functions under ``lambdas/`` import nothing of this repository's delivery code. They get names as settings and as
properties of their custom resources; tests/unit/test_names.py holds their routes to this file.
"""

from enum import StrEnum

PIPELINE = "payment-pipeline"
"""The stack of the pipeline, the pipeline itself, its key and its connection to the repository."""
CONNECTION_PARAMETER = "/payment/pipeline/connection-arn"
"""SSM parameter from which the pipeline's stack reads the ARN of that connection."""

SYNTH_PROJECT = "payment-synth"
"""The build that tests and synthesises."""
API_LOG_ROLE = "payment-api-gateway-logs"
"""Role with which API Gateway writes the logs of all environments of an account."""
FIREWALL_METRIC = "payment-firewall"
"""What the web ACL's own metrics are called."""

METRICS = "Payments"
"""Namespace of the metrics that the functions publish."""
RELEASE_METRICS = "Payments/Release"
"""Namespace of the metrics that the release controller publishes."""
CANDIDATE_WEIGHT = "CandidateWeight"
"""The one of them: percent of production traffic on the candidate, by the dimension ``Environment``."""

STABLE_RELEASE = "stable"
CANDIDATE_RELEASE = "candidate"
"""What a stage of the API says in the header ``RELEASE_HEADER``. The candidate's stage has this name, too."""
RELEASE_HEADER = "X-Release"


def platform(environment: str) -> str:
    """What an environment has one of: the API, the load balancer, the network, the cluster, the dashboard."""
    return f"payment-{environment}"


def stack(environment: str) -> str:
    """The CloudFormation stack of an environment."""
    return resource("platform", environment)


def resource(name: str, environment: str) -> str:
    """What an environment has several of: functions, alarms, topics, build projects."""
    return f"payment-{name}-{environment}"


def service(function: str) -> str:
    """The dimension ``service`` of a function's metrics: the same in every environment."""
    return f"payment-{function}"


def log_group(name: str, environment: str) -> str:
    """A log group of the platform, where AWS does not prescribe its name."""
    return f"/payment/{environment}/{name}"


def secret(name: str, environment: str) -> str:
    """A secret in Secrets Manager."""
    return f"payment/{name}-{environment}"


def key_alias(name: str, environment: str) -> str:
    """The alias of a KMS key."""
    return f"alias/{resource(name, environment)}"


class Colour(StrEnum):
    """The two versions that are deployed side by side: what alias and target group of each are called."""

    STABLE = "blue"
    CANDIDATE = "green"

    def target_group(self, environment: str) -> str:
        return resource(self, environment)


class Reached(StrEnum):
    """By what production requests reach a function, which is also what divides them between its two versions."""

    ALIAS = "alias"
    """API Gateway calls alias blue, whose routing config may send a share to the candidate's version."""
    LOAD_BALANCER = "load balancer"
    """The listener's weights choose between two target groups, each of which leads to one alias."""


class Function(StrEnum):
    """The functions that are released blue-green, with the route that each serves.

    CONTRIBUTING.md says how to add one.
    As a string, a function is its short name, which is part of AWS names, records and reports.
    """

    method: str
    """HTTP method of its route."""
    path: str
    """Of its route, as in the contract: ``/validate``."""
    reached: Reached

    def __new__(cls, value: str, method: str = "", path: str = "", reached: Reached = Reached.ALIAS) -> "Function":
        # The empty defaults are for type checkers, which take the look-up Function("validation") for a construction.
        function = str.__new__(cls, value)
        function._value_ = value
        function.method, function.path, function.reached = method, path, reached
        return function

    VALIDATION = "validation", "POST", "/validate"
    FRAUD_DETECTION = "fraud-detection", "POST", "/fraud-check"
    PROCESSING = "processing", "POST", "/process", Reached.LOAD_BALANCER

    @property
    def route(self) -> str:
        """Method and path: ``POST /validate``."""
        return f"{self.method} {self.path}"

    @property
    def folder(self) -> str:
        """Its package under ``lambdas/``."""
        return self.replace("-", "_")

    @property
    def id(self) -> str:
        """Of its construct: ``FraudDetection``."""
        return _pascal_case(self)

    @property
    def name_output(self) -> str:
        """The output of the platform's stack that holds the function's name."""
        return f"{self.id}FunctionName"

    def of(self, environment: str) -> str:
        """The Lambda function."""
        return resource(self, environment)


class Role(StrEnum):
    """Roles of an environment's account that the pipeline's steps assume."""

    RELEASE = "release"
    """Moves traffic between the versions."""
    LOAD_TEST = "loadtest"
    """Calls the API."""
    LOAD_RUNNER = "load"
    """Runs the load gate on Fargate, whose cluster and tasks have the same name."""

    def of(self, environment: str) -> str:
        return resource(self, environment)


class Table(StrEnum):
    """DynamoDB tables."""

    TRANSACTIONS = "transactions"
    IDEMPOTENCY = "idempotency"
    RELEASES = "releases"
    """Records and lease of the release controller."""

    def of(self, environment: str) -> str:
        return resource(self, environment)


class Index(StrEnum):
    """Global secondary indexes of the table of transactions."""

    BY_CUSTOMER = "by-customer"
    BY_CARD = "by-card"
    BY_STATUS = "by-status"


class Parameter(StrEnum):
    """SSM parameters of an environment."""

    FRAUD_RULES = "fraud-rules"
    """Read by the functions, changed by operators."""
    ALB_CERTIFICATE_ARN = "alb-certificate-arn"
    ALB_HOST_NAME = "alb-host-name"
    """``python -m pipeline.bootstrap`` writes these two, and the stack reads them. The stack publishes all others."""
    VPC_ID = "vpc-id"
    AURORA_ENDPOINT = "aurora-endpoint"
    TRANSACTION_TABLE = "transaction-table"
    API_URL = "api-url"
    AUDIT_BUCKET = "audit-bucket"
    KMS_KEY_ID = "kms-key-id"

    @property
    def id(self) -> str:
        """Of its construct, or of the stack's parameter that reads it."""
        return _pascal_case(self)

    def of(self, environment: str) -> str:
        return f"/payment/{self}-{environment}"


def _pascal_case(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-"))
