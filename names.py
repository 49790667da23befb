"""The names of the platform, each spelled once: functions and their routes, roles, tables, parameters, metrics.

Stages, pipeline, load test and tests take every name from here, so that a resource and the policies that name it always
agree. AWS identifies resources by name: changing a name replaces the resource and loses its data.

The functions under ``lambdas/`` import no delivery code. They get names as settings, and as properties of their custom
resources. tests/unit/test_names.py compares their routes with this file.
"""

import re
from enum import StrEnum
from typing import NamedTuple

PIPELINE = "payment-pipeline"
"""The stack of the pipeline, the pipeline itself, its key and its connection to the repository."""
REGIONAL_ARTIFACTS = f"{PIPELINE}-artifacts-"
"""The stack with the pipeline's artifacts in another region, before the region's name."""
CONNECTION_PARAMETER = "/payment/pipeline/connection-arn"
"""SSM parameter from which the pipeline's stack reads the ARN of that connection."""

SYNTH_PROJECT = "payment-synth"
"""The build that tests and synthesises."""
INSPECTION_PROJECT = "payment-inspection"
"""The build that looks at what that one wrote."""
PIPELINE_SUMMARY_PROJECT = "payment-summary-pipeline"
"""The build that sums up a change of the pipeline itself, for its approval."""
PIPELINE_APPROVAL = "ApprovePipeline"
"""The stage in which a person lets a change of the pipeline itself take effect."""
API_LOG_ROLE = "payment-api-gateway-logs"
"""The role under which API Gateway writes the logs of all environments of an account."""
EXECUTION_POLICY, EXECUTION_BOUNDARY = "payment-execution", "payment-boundary"
"""What CDK's execution role may do in an account that is not the pipeline's: ``pipeline/bootstrap/<name>.json``."""
FIREWALL_METRIC = "payment-firewall"
"""The name of the web ACL's own metrics."""

METRICS = "Payments"
"""Namespace of the metrics that the functions publish."""
RELEASE_METRICS = "Payments/Release"
"""Namespace of the metrics that the release controller publishes."""
OLD_SYSTEM_METRICS = f"{METRICS}/OldSystem"
"""Namespace of the metrics that the old system of a migration publishes, by ``Environment``: of its payments, the sums
of ``Requests`` and ``Errors``, and ``Latency`` in milliseconds."""
CUT_OVER = "cutover"
"""The move of clients from the old system to the platform: its role, and the last part of its records' name."""
RELEASE_EVENTS, RELEASE_EVENT = "payments.release", "Release Event"
"""Source and detail type of the events that it puts on the account's default event bus."""

PAYMENTS = "Payments"
SYNTHETIC_PAYMENTS = f"Synthetic{PAYMENTS}"
"""The metrics that count payments by ``Outcome``: of real customers, and of load tests."""
CONFIGURATION_REFUSED = "ConfigurationRefused"
"""The metric of functions that read an unusable configuration, by ``Environment`` and ``service``."""

SEALS = "seals"
"""The seals of the books: their folder in the audit bucket, and the alias of their key."""
SEALING = "sealing"
"""The function that makes them."""
AUDIT_TRAIL = "audit-trail"
"""The trail of CloudTrail, and its log group."""
CONTROLS_SWITCHED_OFF = "ControlsSwitchedOff"
"""The metric of the calls by which somebody ends a control, with the environment's name at its end."""
IMPORTS = "imports"
"""The folder of the audit bucket with the records of imported payments."""
AUDIT_FAULTS, AUDIT_SEALS = "AuditFaults", "AuditSeals"
"""Its metrics, by ``Environment``: the faults of the books that a run has found, and the seals that were made."""

STABLE_RELEASE = "stable"
CANDIDATE_RELEASE = "candidate"
"""The values of ``RELEASE_HEADER``, which a stage of the API sets. The candidate's stage has this name, too."""
RELEASE_HEADER = "X-Release"
PROMOTED_GATES = "promoted-gates"
"""The item of the table of releases with what the load gate measured of those that were promoted."""
GATE_REPORTS = "gate-reports"
"""The folder in which CodeBuild's build of the shift finds the gate's reports. Elsewhere they are with the others."""
CLOSED_HANDLER = "lambdas.api.closed.handler"
"""The handler of the stable version before the first release: it answers 503."""


def platform(environment: str) -> str:
    """The name of a resource that an environment has once: API, load balancer, network, cluster, dashboard."""
    return f"payment-{environment}"


def cut_over(environment: str) -> str:
    """The name under which the records of an environment's cut-over are kept, beside those of its releases."""
    return f"{environment}/{CUT_OVER}"


def stack(environment: str) -> str:
    """The CloudFormation stack of an environment."""
    return resource("platform", environment)


def resource(name: str, environment: str) -> str:
    """The name of a resource that an environment has several of: function, alarm, topic, build project."""
    return f"payment-{name}-{environment}"


def service(function: str) -> str:
    """The dimension ``service`` of a function's metrics: the same in every environment."""
    return f"payment-{function}"


def log_group(name: str, environment: str) -> str:
    """A log group of the platform whose name AWS does not prescribe."""
    return f"/payment/{environment}/{name}"


def secret(name: str, environment: str) -> str:
    """A secret in Secrets Manager."""
    return f"payment/{name}-{environment}"


def release_webhooks(environment: str) -> str:
    """The secret with the addresses of chat rooms. It is no part of the stack: people make it if they want it."""
    return secret("release-webhooks", environment)


def key_alias(name: str, environment: str) -> str:
    """The alias of a KMS key."""
    return f"alias/{resource(name, environment)}"


EMPTIED_ON_DELETE = "payment:emptied-on-delete"
"""Tag of the buckets that may be emptied when CloudFormation deletes their ``Custom::EmptyBucket``."""


class ReleaseMetric(StrEnum):
    """The metrics in ``RELEASE_METRICS``, by ``Environment``. Controller and watchdog publish them once a minute."""

    CANDIDATE_WEIGHT = "CandidateWeight"
    """Percent of production traffic on the candidate."""
    STEP = "Step"
    """The step of the release under way, counted from 1. 0: none is under way, or it goes back."""
    HELD_SECONDS = "HeldSeconds"
    """For how long the step has been paused, or held after its bake because the analysis could not decide."""
    FAILED_ROUNDS = "FailedRounds"
    """Rounds of the controller in a row in which a call failed."""
    RELEASES_ENDED = "ReleasesEnded"
    """Releases that ended, by ``Outcome`` too: a release's last phase."""
    LAST_ROUND_AGE = "LastRoundAge"
    """Seconds since the controller of the release under way was heard of. 0: none is under way, or a pause runs."""
    DRIFT = "Drift"
    """1 when the traffic is not where the last release left it, else 0."""
    WATCHDOG_RUNS = "WatchdogRuns"
    """1 for each time that the watchdog has looked, and has done what there was to do."""


RELEASE_OUTCOMES = ("promoted", "rolled-back")
"""The values of ``Outcome``: the phases in which a release ends."""


class Colour(StrEnum):
    """The two deployed versions, by the name of their alias and their target group."""

    STABLE = "blue"
    CANDIDATE = "green"

    def target_group(self, environment: str) -> str:
        return resource(self, environment)


class Reached(StrEnum):
    """The service that passes production requests to a function. It also divides them between the two versions."""

    ALIAS = "alias"
    """API Gateway calls alias blue. The alias's routing config may send a share to the candidate's version."""
    LOAD_BALANCER = "load balancer"
    """The listener's weights choose between two target groups, one for each alias."""


class Route(NamedTuple):
    """A route of the API."""

    method: str
    path: str
    """As in the contract: ``/transactions/{transaction_id}``."""

    @property
    def pattern(self) -> str:
        """The path in an ARN, in which ``*`` stands for a parameter."""
        return re.sub("{[^}]*}", "*", self.path)


class Function(StrEnum):
    """The functions that are released blue-green, with the routes that each serves.

    CONTRIBUTING.md says how to add one.
    As a string, a function is its short name, which is part of AWS names, records and reports.
    """

    method: str
    """HTTP method of its first route."""
    path: str
    """The path of its first route in the contract: ``/validate``. Reports name the function by it."""
    reached: Reached
    routes: tuple[Route, ...]
    """All of them, the first one first."""

    def __new__(
        cls, value: str, method: str = "", path: str = "", reached: Reached = Reached.ALIAS, *more: Route
    ) -> "Function":
        # The defaults are for type checkers: they read the look-up Function("validation") as a construction.
        function = str.__new__(cls, value)
        function._value_ = value
        function.method, function.path, function.reached = method, path, reached
        function.routes = (Route(method, path), *more)
        return function

    VALIDATION = "validation", "POST", "/validate"
    FRAUD_DETECTION = "fraud-detection", "POST", "/fraud-check"
    PROCESSING = "processing", "POST", "/process", Reached.LOAD_BALANCER
    TRANSACTIONS = (
        "transactions",
        "GET",
        "/transactions",
        Reached.ALIAS,
        Route("GET", "/transactions/{transaction_id}"),
        Route("POST", "/transactions/{transaction_id}/decision"),
        Route("POST", "/transactions/{transaction_id}/reversal"),
    )

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
        """The id of its construct: ``FraudDetection``."""
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
    CUT_OVER = "cutover"
    """Moves clients from an old system to the platform."""
    LOAD_RUNNER = "load"
    """Runs the load gate on Fargate, whose cluster and tasks have the same name."""

    def of(self, environment: str) -> str:
        return resource(self, environment)


class Build(StrEnum):
    """The pipeline's builds that assume roles of an environment's account."""

    LOAD_GATE = "load-gate"
    SHIFT = "shift"

    def of(self, environment: str) -> str:
        """The build project."""
        return resource(self, environment)

    def role(self, environment: str) -> str:
        """The build's own role. Roles of the environment trust it by this name."""
        return resource(f"step-{self}", environment)


SWEEPER = "sweeper"
"""The function that finishes payments and amendments which a crash left pending, and the schedule that calls it."""
PENDING_FINISHED, PENDING_LEFT, PENDING_AGE = "PendingFinished", "PendingLeft", "PendingAge"
"""Metrics of each sweep: payments and amendments finished, those still pending, seconds since the oldest of these was
decided."""

MIGRATION = "migration"
"""The function that moves customers and merchants of another system here, its key, and its alarm of the lag."""
MIGRATION_LAG = "MigrationLagSeconds"
"""Its metric, by ``Environment`` and ``service``: the age of the oldest change that waits."""

RULES_VERSION = "RULES_VERSION"
"""Setting of a function's version: the version of the fraud rules that it ships with."""


class Staff(StrEnum):
    """Roles of an environment's account that people assume, who look up, decide and reverse payments."""

    REVIEWER = "reviewer"
    """Decides what stands in review."""
    OPERATOR = "operator"
    """Reverses payments."""

    def of(self, environment: str) -> str:
        return resource(self, environment)


SHADOW = "shadow"
"""The role that sends the migration's shadow requests."""


class Table(StrEnum):
    """DynamoDB tables."""

    TRANSACTIONS = "transactions"
    IDEMPOTENCY = "idempotency"
    VELOCITY = "velocity"
    """What customers, cards and callers did lately: what limits and velocity rules count."""
    RELEASES = "releases"
    """Records and lease of the release controller."""

    def of(self, environment: str) -> str:
        return resource(self, environment)


class Index(StrEnum):
    """Global secondary indexes of the table of transactions."""

    BY_CUSTOMER = "by-customer"
    BY_CARD = "by-card"
    BY_DAY = "by-day"
    BY_STATUS = "by-status"
    """For look-ups by status. Each status is one partition, which takes 1,000 writes a second: more than the API lets
    through (``throttle_rate``)."""


class Parameter(StrEnum):
    """SSM parameters of an environment."""

    FRAUD_RULES = "fraud-rules"
    """An override of the rules that ship with the functions: ``python -m pipeline.rules``."""
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
        """The id of its construct, or of the stack's parameter that reads it."""
        return _pascal_case(self)

    def of(self, environment: str) -> str:
        return f"/payment/{self}-{environment}"


def _pascal_case(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-"))
