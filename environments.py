"""The environments and all that differs between them.

Every setting has one place: here. Templates, gate, release controller and local runs read it; nothing else holds a
per-environment value.
"""

import re
from dataclasses import dataclass, field, replace

import names

DEFAULT_REGION = "us-east-1"
"""Where a command works when neither the settings nor the person's variables or profile name a region."""

ZONES = 3
"""Availability zones over which an environment is spread."""


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """What the load gate asks of a candidate before it may take traffic."""

    rate: float = 40.0
    """Requests a second over all routes together, in an open model."""
    duration_seconds: float = 30.0
    """Measured time, after the warm-up. It gives each route ``rate * duration * share of the mix`` samples."""
    max_seconds: float = 90.0
    """Measured time at which an undecided run ends; up to it the run extends itself."""
    warm_up_seconds: float = 10.0
    """Not judged. The rate ramps up during it, and the candidate's cold starts fall into it."""
    limit_ms: float = 200.0
    """The 99th percentile of each route must be proven to be at or under this."""
    confidence: float = 0.95
    error_budget: float = 0.001
    """Share of requests that may fail."""
    mix: tuple[tuple[str, int], ...] = tuple((function.path, 1) for function in names.Function)
    """Routes and their shares of the traffic."""
    seed: int = 1
    """Same seed, same payments."""
    concurrency: int = 64
    """Requests that may be under way at once in each process of the generator."""
    timeout_seconds: float = 10.0
    """A request without an answer after this is an error."""


@dataclass(frozen=True, kw_only=True)
class ReleaseSettings:
    """How production traffic moves from stable (blue) to candidate (green)."""

    weights: tuple[int, ...] = (10, 25, 50, 100)
    """Percent of traffic on the candidate, step by step."""
    bake_seconds: float = 60.0
    """How long each step is watched before the next. Local runs scale it (see ``pipeline.local``)."""
    hold_seconds: float = 300.0
    """How long a step without a clear verdict is held after its bake; then it is rolled back. Never scaled."""
    pause_seconds: float = 1800.0
    """How long a pause lasts when nobody says; then the release is rolled back. Never scaled."""
    minimum_requests: int = 20
    """Requests of the candidate without which no step passes."""
    windows: tuple[str, ...] = ()
    """When a release may start, in UTC, such as ``"Mon-Fri 08:00-16:30"``. Empty: always."""
    freeze_alarms: tuple[str, ...] = ()
    """CloudWatch alarms of others (a parent service, a company-wide freeze) during which no release starts."""
    traffic_rate: float = 20.0
    """Synthetic requests a second that flow during a shift, so that every step has data to judge."""

    @property
    def most_seconds(self) -> float:
        """What a shift may need that first finishes a release that was left to it, and is paused once on its way."""
        return (2 * len(self.weights) + 1) * (self.bake_seconds + self.hold_seconds) + self.pause_seconds


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One deployed copy of the platform.

    ``account`` and ``region`` may be ``None``: the template then is environment-agnostic and deploys where the
    credentials point. A region that is named must be the pipeline's.
    """

    name: str
    account: str | None = None
    region: str | None = None
    availability_zones: tuple[str, ...] = ()
    """Three zones of the region, by their names in this account. Empty: the region's first three. Name them where API
    Gateway offers no VPC links V2 in one of those, as in ``use1-az3`` (``aws ec2 describe-availability-zones`` tells
    names and ids). Choose before the first deployment: subnets can't move."""
    alert_email: str = "alerts@example.com"
    aurora_min_acu: float = 0.5
    aurora_max_acu: float = 2.0
    backup_days: int = 7
    log_retention_days: int = 365
    audit_glacier_days: int = 90
    audit_lock_days: int | None = None
    """For so many days nobody, root included, can delete or change an audit record (S3 Object Lock, compliance mode).
    Needs ``retain_data``: locked records outlive their stack, and so must their key. Choose it before the first
    deployment, for a bucket that exists would be replaced."""
    throttle_rate: int = 500
    """Requests a second that each stage of the API admits, with a burst of ``throttle_burst`` at once."""
    throttle_burst: int = 1000
    requests_per_address: int = 30_000
    """Requests that the firewall admits from one address in five minutes; load gate and clients are few addresses."""
    alb_certificate_verified: bool = False
    """Whether the load balancer's certificate is of a public authority, so that API Gateway can verify its origin.
    Off: one that the bootstrap command signed itself; API Gateway then checks its dates and host name only."""
    protected: bool = False
    """Termination and deletion protection: it must be lifted on purpose before ``cdk destroy``."""
    retain_data: bool = False
    """Keep databases, tables and buckets when the stack goes. Off: ``cdk destroy`` leaves nothing."""
    demo_customers: bool = True
    """Seed demonstration customers. The load test's own synthetic customers exist everywhere."""
    requires_approval: bool = False
    """A person approves before the pipeline touches this environment."""
    load_workers: int = 0
    """Fargate tasks of one processor each that generate the load gate's load. 0: the gate's build does it alone. They
    are one address: a rate above 100 needs more ``requests_per_address``, one above 500 more ``throttle_rate``."""
    gate: GateSettings = field(default_factory=GateSettings)
    release: ReleaseSettings = field(default_factory=ReleaseSettings)

    def __post_init__(self) -> None:
        if self.audit_lock_days is not None and not self.retain_data:
            raise ValueError(f"environment {self.name}: audit_lock_days needs retain_data")
        if self.availability_zones and len(set(self.availability_zones)) != ZONES:
            raise ValueError(f"environment {self.name}: availability_zones must name {ZONES} zones, or none")

    @property
    def stack_name(self) -> str:
        return names.stack(self.name)


PLACEHOLDER_REPOSITORY = "example/payment-pipeline"


@dataclass(frozen=True, kw_only=True)
class PipelineSettings:
    """Where the AWS pipeline lives and what it listens to.

    ``account`` and ``region`` may be ``None`` while every environment shares the pipeline's account; they must be named
    as soon as one environment names them.
    """

    account: str | None = None
    region: str | None = None
    repository: str = PLACEHOLDER_REPOSITORY
    """``owner/name`` of the repository whose pushes are promoted."""
    branch: str = "main"
    approver_email: str = "approvers@example.com"
    """Hears of waiting approvals and failed executions."""


PIPELINE = PipelineSettings()

DEV = Environment(name="dev")

STAGING = Environment(
    name="staging",
    release=ReleaseSettings(bake_seconds=120.0),
)

PROD = Environment(
    name="prod",
    aurora_min_acu=1.0,
    aurora_max_acu=16.0,
    backup_days=35,
    protected=True,
    demo_customers=False,
    requires_approval=True,
    release=ReleaseSettings(bake_seconds=300.0),
)

PROMOTION_ORDER = (DEV, STAGING, PROD)
"""The path of a commit, first to last."""


def environment(name: str) -> Environment:
    """The settings of environment ``name``; an unknown name is an ephemeral environment with dev's settings.

    Raises ``ValueError`` for a name that can't be part of AWS resource names, or is that of the candidate's API stage.
    """
    for known in PROMOTION_ORDER:
        if known.name == name:
            return known
    well_formed = 2 <= len(name) <= 12 and re.fullmatch("[a-z][a-z0-9]*(-[a-z0-9]+)*", name)
    if not well_formed or name == names.CANDIDATE_RELEASE:
        raise ValueError(
            f"environment name {name!r}: use 2 to 12 of a-z and 0-9, a letter first, single '-' between them, "
            f"and not {names.CANDIDATE_RELEASE!r}"
        )
    return replace(DEV, name=name)
