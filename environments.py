"""The environments and their settings.

This is the only place of per-environment values. Templates, gate, release controller and local runs read them here.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import names
from windows import Window

DEFAULT_REGION = "us-east-1"
"""The region of a command when the settings, the person's variables and the person's profile name none."""

ZONES = 3
"""The number of availability zones of an environment."""


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """The load gate: its load, and the limits that a candidate must keep before it may get traffic."""

    rate: float = 30.0
    """Requests a second, all routes together, in an open model. Two processors can hold it beside the local cloud."""
    duration_seconds: float = 40.0
    """Measured time, after the warm-up. It gives each route ``rate * duration * share of the mix`` samples."""
    max_seconds: float = 120.0
    """The longest measured time. An undecided run extends itself up to it."""
    warm_up_seconds: float = 20.0
    """Time before the measurement, which is not judged. The rate reaches its height half-way, so that the environments
    that it needs have started when the measurement begins. On two slow processors that takes 15 seconds."""
    limit_ms: float = 200.0
    """The 99th percentile of each route must be proven to be at or under this."""
    limit_factors: tuple[tuple[str, float], ...] = ((names.Function.TRANSACTIONS.path, 1.5),)
    """Routes with a limit of their own, as multiples of ``limit_ms``. Nobody waits at a till for a look-up or a
    reversal."""
    confidence: float = 0.95
    error_budget: float = 0.001
    """Share of requests that may fail."""
    others_share: float = 0.25
    """The share of a machine that other programs may take, when it runs gate and API. Above it, slow answers prove
    nothing about the candidate."""
    slower_share: float = 0.25
    """A p99 that is above that of the last promoted release by this share is a warning, and no failure."""
    mix: tuple[tuple[str, int], ...] = tuple((function.path, 1) for function in names.Function)
    """Routes and their shares of the traffic."""
    seed: int | None = None
    """The same seed gives the same payments. ``None``: another one for each run, which its report names."""
    concurrency: int = 64
    """The most simultaneous requests of each generator process."""
    timeout_seconds: float = 10.0
    """A request without an answer after this is an error."""
    wake_up_seconds: float = 600.0
    """Before the load, the longest wait for what AWS has put to sleep: a VPC link after 60 days without traffic, a
    function in a VPC after weeks. Both fail requests while they wake up, which takes minutes."""

    def limit_of(self, route: str) -> float:
        """The limit of the route's p99, in milliseconds."""
        return self.limit_ms * dict(self.limit_factors).get(route, 1.0)


@dataclass(frozen=True, kw_only=True)
class StepSettings:
    """How the step of one weight differs from the others. ``None``: not at all."""

    weight: int
    bake_seconds: float | None = None
    minimum_requests: int | None = None
    error_margin: float | None = None
    """The share of requests that may fail beyond stable's. The other steps have the load gate's error budget."""
    approval: bool = False
    """Hold the step, when its bake and analysis are done, until a person gives the command `promote`."""


@dataclass(frozen=True, kw_only=True)
class Count:
    """A metric of CloudWatch that counts something by version.

    In the values of ``dimensions``, ``{version}`` is the version, ``{function}`` the function's name, ``{alias}`` the
    alias by which it is called, and ``{service}`` the name under which the function publishes its own metrics.
    ``statistic``: ``Sum``, or ``TC(200:)``, the number of values above 200 ("Trimmed count" in CloudWatch's statistics
    definitions).
    """

    metric: str
    namespace: str = names.METRICS
    dimensions: tuple[tuple[str, str], ...] = (("service", "{service}"), ("FunctionVersion", "{version}"))
    statistic: str = "Sum"


@dataclass(frozen=True, kw_only=True)
class MetricSettings:
    """A share by which a release is judged, beside errors and latencies: how many of ``all`` are ``some``.

    A share, because counts can be tested: Fisher's test says whether a difference is chance. The value of any other
    expression could only be compared.
    """

    name: str
    some: Count
    all: Count | None = None
    """``None``: all requests."""
    functions: tuple[names.Function, ...] = tuple(names.Function)
    better: Literal["fewer", "more"] = "fewer"
    margin: float = 0.01
    """By how much the candidate's share may be worse than stable's. Of the whole: how bad it may be at all."""
    of: Literal["version", "whole"] = "version"
    """``whole``: both versions together, which can hold a step but not reject the candidate."""
    mode: Literal["enforce", "observe"] = "enforce"
    """``observe``: tell, and decide nothing."""


CLIENT_ERRORS = MetricSettings(name="4xx answers", some=Count(metric="ClientErrors"))
APPROVALS = MetricSettings(
    name="approved payments",
    some=Count(metric="Approved"),
    all=Count(metric="Decided"),
    functions=(names.Function.PROCESSING,),
    better="more",
    margin=0.02,
)
SLOW_PAYMENTS = MetricSettings(
    # The load gate's limit for the p99, as a share: at most one payment in a hundred takes over 200 ms.
    name="payments over 200 ms",
    some=Count(
        namespace="AWS/Lambda",
        metric="Duration",
        dimensions=(("FunctionName", "{function}"), ("Resource", "{function}:{alias}")),
        statistic="TC(200:)",
    ),
    functions=(names.Function.PROCESSING,),
    mode="observe",
)

Reaction = Literal["roll back", "pause"]


@dataclass(frozen=True, kw_only=True)
class ReleaseSettings:
    """How production traffic moves from stable (blue) to candidate (green)."""

    weights: tuple[int, ...] = (10, 25, 50, 100)
    """Percent of traffic on the candidate, step by step."""
    bake_seconds: float = 60.0
    """The time that each step is watched before the next. Local runs scale it (see ``pipeline.local``)."""
    hold_seconds: float = 300.0
    """The time that a step without a clear verdict is held after its bake. Then it is rolled back. Never scaled."""
    pause_seconds: float = 1800.0
    """The time of a pause without a duration of its own. Then the release is rolled back. Never scaled."""
    steps: tuple[StepSettings, ...] = ()
    """Steps that differ from the others."""
    minimum_requests: int = 20
    """The fewest requests of the candidate with which a step may pass."""
    metrics: tuple[MetricSettings, ...] = (CLIENT_ERRORS, APPROVALS, SLOW_PAYMENTS)
    """Shares by which a release is judged, beside errors and latencies."""
    on_failure: Reaction = "roll back"
    """When the analysis fails. A pause holds the weights for a person, and is rolled back at its end."""
    on_inconclusive: Reaction = "roll back"
    """When a step has no verdict until its deadline."""
    deadline_seconds: float | None = None
    """The longest time of a whole release. Then it is rolled back. ``None``: holds and pauses alone bound it."""
    windows: tuple[str, ...] = ()
    """When a release may start, in UTC: ``"Mon-Fri 08:00-16:30"``, ``"Fri-Mon 22:00-02:00"``. Empty: always."""
    freeze_alarms: tuple[str, ...] = ()
    """CloudWatch alarms of others (a parent service, a company-wide freeze) during which no release starts."""
    traffic_rate: float = 30.0
    """Synthetic requests a second during a shift, so that every step has data to judge."""
    watchdog: bool = True
    """A function of the platform looks every minute, ends a release that nobody drives, and tells of drift. Off: such a
    release stays where it is until the next command."""

    @property
    def most_seconds(self) -> float:
        """The longest time of a shift that first finishes an interrupted release, and is paused once. Waiting for
        approvals ends with it, too."""
        own = {step.weight: step.bake_seconds for step in self.steps if step.bake_seconds is not None}
        bakes = [own.get(weight, self.bake_seconds) for weight in self.weights]
        # The last two steps are done again if the candidate, alone, looks worse than the versions together.
        steps = sum(bake + self.hold_seconds for bake in (*bakes, *bakes[-2:]))
        return 2 * steps + self.pause_seconds

    @property
    def build_minutes(self) -> int:
        """The time that the pipeline gives the build of a shift. No pause may outlive it."""
        return round(15 + self.most_seconds / 60)

    def __post_init__(self) -> None:
        for window in self.windows:
            Window.parse(window)


@dataclass(frozen=True, kw_only=True)
class MigrationSource:
    """The old system's database, which AWS DMS reads."""

    secret_arn: str
    """A secret with ``username``, ``password``, ``host``, ``port`` and ``dbname``, as DMS reads it."""
    key_arn: str
    """The KMS key of that secret."""
    network: str
    """Where the database is: ``10.20.0.0/16``. DMS may connect there only."""
    port: int = 5432
    engine: Literal["postgres", "mysql", "oracle", "sqlserver", "db2"] = "postgres"
    schema: str = "public"
    """The schema with the tables."""


@dataclass(frozen=True, kw_only=True)
class CutOverSettings:
    """How clients move from the old system to the platform: by the weights of two DNS records (docs/migration.md)."""

    hosted_zone_id: str
    """The Route 53 zone of ``name``: ``Z0123456789ABCDEFGHIJ``."""
    name: str
    """What clients call, and go on calling: ``payments.example.com``. Not the zone's own name: that can be no CNAME."""
    old_host: str
    """The old system's own name."""
    new_host: str
    """The regional name of the custom domain ``name`` of the API: ``d-0123456789.execute-api.REGION.amazonaws.com``."""
    ttl_seconds: int = 30
    """For so long resolvers may answer from memory. The two records are made with it (`cutover prepare`)."""
    release: ReleaseSettings = ReleaseSettings(
        weights=(1, 5, 25, 50, 100),
        bake_seconds=1800.0,
        hold_seconds=3600.0,
        pause_seconds=14_400.0,
        steps=(StepSettings(weight=50, approval=True),),
        metrics=(),
        minimum_requests=200,
    )
    """Its steps. One with ``approval`` waits for the checks."""
    checks: tuple[str, ...] = ("verify", "reconcile --day {yesterday}", "reconcile --day {today}")
    """Commands of ``python -m migration`` that compare the sides, with options and days. If all end with
    0, they approve the step; if one ends with 1, clients go back. Without any, a person decides."""

    @classmethod
    def rehearsed(cls, zone: str, name: str, old_host: str, new_host: str) -> "CutOverSettings":
        """Those of a rehearsal, whose clients send a few requests a second: fewer are enough for a verdict."""
        release = ReleaseSettings(
            weights=(1, 5, 25, 50, 100),
            bake_seconds=600.0,
            hold_seconds=300.0,
            steps=(
                StepSettings(weight=1, minimum_requests=1),
                StepSettings(weight=5, minimum_requests=3),
                StepSettings(weight=50, approval=True),
            ),
            metrics=(),
            minimum_requests=25,
        )
        return cls(
            hosted_zone_id=zone,
            name=name,
            old_host=old_host,
            new_host=new_host,
            ttl_seconds=10,
            release=release,
            checks=("verify --lag 10", "reconcile --day {today} --wait 10"),
        )

    def __post_init__(self) -> None:
        if not 10 <= self.ttl_seconds <= 60:
            raise ValueError(f"ttl_seconds={self.ttl_seconds}: from 10 to 60")
        if {self.old_host, self.new_host, self.name} != {*map(_host_name, (self.old_host, self.new_host, self.name))}:
            raise ValueError("name, old_host and new_host: lower case, and without the last dot")
        if len({self.old_host, self.new_host, self.name}) != 3:
            raise ValueError("name, old_host and new_host must be three names: a record can't lead to itself")
        least = PROPAGATION_SECONDS + 2 * self.ttl_seconds
        own = [step.bake_seconds for step in self.release.steps if step.bake_seconds is not None]
        if min([self.release.bake_seconds, *own]) < least:
            raise ValueError(f"a step must bake for {least} s at least: Route 53 and resolvers are late by so much")


PROPAGATION_SECONDS = 60
"""Route 53 answers with a change everywhere within so many seconds, normally (Developer Guide)."""


def _host_name(name: str) -> str:
    return name.lower().rstrip(".")


@dataclass(frozen=True, kw_only=True)
class MigrationSettings:
    """The move of another payment system to this environment (docs/migration.md)."""

    migration_source: MigrationSource | None = None
    """AWS DMS writes the files of the move. ``None``: something else does."""
    lag_alarm_seconds: int = 300
    """The alarm rings when a change waits longer than this."""
    cut_over: CutOverSettings | None = None
    """How clients move. ``None``: they do not yet."""
    payments_per_second: int = 300
    """How fast the history of payments is written. The ledger's index by status takes about 1,000 writes a second for
    one status; payments need their part of them."""
    source_amends: bool = True
    """Whether the old system still decides and gives back the payments that it took. This platform then refuses to, so
    that nobody gets money back twice. Turn it off when the old system has stopped (docs/migration.md)."""

    @property
    def variables(self) -> dict[str, str]:
        """What functions must know of it."""
        return {"SOURCE_AMENDS": "true"} if self.source_amends else {}


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One deployed copy of the platform.

    ``account`` and ``region`` may be ``None``. The template then is environment-agnostic, and deploys to the account
    and region of the credentials. An environment in another region
    than the pipeline must name both.
    """

    name: str
    account: str | None = None
    region: str | None = None
    availability_zones: tuple[str, ...] = ()
    """Three zones of the region, by their names in this account. Empty: the region's first three. Name them if API
    Gateway offers no VPC links V2 in one of those, such as ``use1-az3`` (``aws ec2 describe-availability-zones`` lists
    names and ids). Choose before the first deployment, because subnets can't move."""
    alert_email: str = "alerts@example.com"
    aurora_min_acu: float = 0.5
    aurora_max_acu: float = 2.0
    backup_days: int = 7
    admin_rotation: Literal["schedule", "rds"] = "schedule"
    """Who schedules the rotation of the database administrator's password. ``schedule``: the stack, every 30 days. The
    resource is not documented for a secret that RDS owns. ``rds``: RDS itself, every 7 days; the stack has no resource
    for it (RDS User Guide, "Password management with Amazon RDS and Secrets Manager")."""
    log_retention_days: int = 365
    audit_glacier_days: int | None = 90
    """Age at which audit records go to Glacier. ``None``: never, which is cheaper for them (docs/audit.md)."""
    audit_lock_days: int | None = None
    """Days for which nobody, not even root, can delete or change an audit record (S3 Object Lock, compliance mode).
    Needs ``retain_data``, because locked records and therefore their key outlive the stack. Choose before the first
    deployment, because an existing bucket would be replaced."""
    audit_trail: bool = False
    """A trail of CloudTrail: the account's API calls in all regions, and each access to an audit record, in a bucket of
    their own. Turn it off where the organisation has such a trail: AWS takes money for a second one."""
    throttle_rate: int = 500
    """Requests a second that each stage of the API admits, with a burst of ``throttle_burst`` at once."""
    throttle_burst: int = 1000
    requests_per_address: int = 30_000
    """Requests that the firewall admits from one address in five minutes. Load gate and clients use few addresses."""
    alb_certificate_verified: bool = False
    """Whether a public authority signed the load balancer's certificate, so that API Gateway can verify its origin.
    Off: the bootstrap command signed it, and API Gateway checks only its dates and host name."""
    protected: bool = False
    """Termination and deletion protection. It must be turned off before ``cdk destroy``."""
    retain_data: bool = False
    """Keep databases, tables and buckets when the stack is deleted. Off: ``cdk destroy`` leaves nothing."""
    demo_customers: bool = True
    """Seed demonstration customers. The load test's own synthetic customers exist everywhere."""
    requires_approval: bool = False
    """A person must approve before the pipeline changes this environment."""
    own_account: bool = False
    """Refuse to synthesise unless the environment has an AWS account that neither the pipeline nor another environment
    is in. Off: the synthesis warns where approval is required, because roles of one account are a weak border."""
    four_eyes: bool = False
    """Whether two reviewers must approve a payment that stands in review. Reviewers are IAM users then, because a
    session of their role must have its user's name."""
    load_workers: int = 0
    """Fargate tasks, of one processor each, that generate the load gate's load. 0: the gate's build generates it. All
    tasks share one address: a rate above 100 needs more ``requests_per_address``, above 500 more ``throttle_rate``."""
    migration: MigrationSettings | None = None
    """Customers and payments of another system move here. Remove it after the move: the right to write customers does
    not stand around in an environment that moves nobody."""
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
    """The AWS pipeline's account and region, and the repository and branch that start it.

    ``account`` and ``region`` may be ``None`` while every environment shares the pipeline's account. They are required
    when an environment names its own, or another region.
    """

    account: str | None = None
    region: str | None = None
    repository: str = PLACEHOLDER_REPOSITORY
    """``owner/name`` of the repository whose pushes are promoted."""
    branch: str = "main"
    pages: str = "https://github.com/{repository}/blob/{branch}/{path}"
    """Where people read a file of the repository: links of alarms lead there."""
    approver_email: str = "approvers@example.com"
    """Gets a message for each waiting approval and failed execution."""
    another_approves: bool = False
    """Somebody else than a commit's author must approve it. An approver is known by the e-mail address that is the name
    of a session of IAM Identity Center, or by ``addresses``; nobody else may approve then (docs/approvals.md)."""
    addresses: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The e-mail addresses with which people commit, by their user or session name."""

    def runbook(self, name: str) -> str:
        """The address of a page of ``docs/runbooks``."""
        path = f"docs/runbooks/{name}.md"
        return self.pages.format(repository=self.repository, branch=self.branch, path=path)

    @property
    def comparison(self) -> str:
        """The address of the commits after ``BEFORE`` up to ``AFTER``. Empty if the pages are not of GitHub's form."""
        host, form, _ = self.pages.partition("/{repository}/blob/")
        return f"{host}/{self.repository}/compare/BEFORE...AFTER" if form else ""


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
    retain_data=True,
    audit_lock_days=365,
    audit_trail=True,
    demo_customers=False,
    requires_approval=True,
    release=ReleaseSettings(
        weights=(2, 10, 25, 50, 100),
        bake_seconds=300.0,
        # Half of the traffic tells most in a minute, and is compared in the same minutes.
        steps=(StepSettings(weight=2, minimum_requests=10), StepSettings(weight=50, bake_seconds=900.0)),
    ),
)

PROMOTION_ORDER = (DEV, STAGING, PROD)
"""The path of a commit, first to last."""


def sharing(order: Sequence[Environment], pipeline: PipelineSettings) -> list[str]:
    """The environments behind an approval that share their AWS account, as warnings.

    Raises ``ValueError`` for one whose settings demand an account of its own.
    """
    accounts = Counter([pipeline.account, *(each.account for each in order)])
    warnings = []
    for each in order:
        alone = each.account is not None and accounts[each.account] == 1
        if not alone and (each.own_account or each.requires_approval):
            what = f"{each.name} has no AWS account of its own (account in environments.py; docs/accounts.md)"
            if each.own_account:
                raise ValueError(f"environments.py: {what}, and its setting own_account demands one")
            warnings.append(f"{what}: whoever may change the pipeline or another environment reaches it")
    return warnings


def environment(name: str) -> Environment:
    """The settings of environment ``name``. An unknown name gives an ephemeral environment with dev's settings.

    Raises ``ValueError`` for a name that can't be part of AWS resource names, for the candidate's API stage name, and
    for what looks like a slip in the name of a permanent environment.
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
    for known in PROMOTION_ORDER:
        if name.isalpha() and _is_slip(name, known.name):
            raise ValueError(
                f"environment name {name!r}: did you mean {known.name!r}? The name of an ephemeral environment must "
                f"differ by more than a letter, such as {known.name}-2"
            )
    return replace(DEV, name=name)


def _is_slip(name: str, known: str) -> bool:
    """Whether one letter is missing, too many or another, or two neighbours are exchanged."""
    rest = range(len(known))
    missing = {known[:i] + known[i + 1 :] for i in rest}
    too_many = {name[:i] + name[i + 1 :] for i in range(len(name))}
    exchanged = {known[:i] + known[i + 1 : i + 2] + known[i] + known[i + 2 :] for i in rest}
    another = len(name) == len(known) and sum(a != b for a, b in zip(name, known, strict=True)) == 1
    return name in missing | exchanged or known in too_many or another
