"""Alarms and the topic that they notify."""

from aws_cdk import (
    Duration,
    RemovalPolicy,
    Stack,
)
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

import names
from environments import PIPELINE, Environment
from names import Function
from stages.api import Api
from stages.candidate_alarms import balancer_metric, candidate_alarms
from stages.compute import Compute
from stages.dashboard import audit_metric, dashboard
from stages.database import Database
from stages.encryption import Encryption
from stages.load_balancer import LoadBalancer
from stages.sealing import Sealing
from stages.storage import Storage
from stages.sweeper import Sweeper, sweep_metric

FIVE_MINUTES = Duration.minutes(5)
ONE_HOUR = Duration.hours(1)
ONE_DAY = Duration.days(1)


class Monitoring(Construct):
    """Twelve alarms for operations, and five on the candidate for the release controller. All notify the topic.

    ``rollback_alarms``: when one of them is in ALARM during a shift, traffic returns to the stable version. Each
    compares the candidate with stable. The alarms for operations are absolute: what they count may be stable's, or a
    trouble that both versions share. They tell people, and judge no release.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        environment: Environment,
        encryption: Encryption,
        storage: Storage,
        database: Database,
        compute: Compute,
        balancer: LoadBalancer,
        api: Api,
        sealing: Sealing,
        sweeper: Sweeper,
        alert_email: str,
    ) -> None:
        super().__init__(scope, id)
        self._environment = environment
        self.topic = sns.Topic(
            self,
            "Alerts",
            topic_name=names.resource("alerts", environment.name),
            master_key=encryption.operations_key,
            enforce_ssl=True,
        )
        self.topic.apply_removal_policy(RemovalPolicy.DESTROY)
        # A topic with its own policy loses the default one, which allows alarms to publish.
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsOfThisAccount",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )
        sns.Subscription(
            self, "AlertEmail", topic=self.topic, protocol=sns.SubscriptionProtocol.EMAIL, endpoint=alert_email
        )

        stage = api.stable_stage
        self.alarm(
            "ApiLatency",
            "api-latency",
            "API latency p99 over 200 ms",
            runbook="slow-or-failing",
            metric=stage.metric_latency(statistic="p99", period=FIVE_MINUTES),
            threshold=200,
        )
        self.alarm(
            "ApiErrors",
            "api-errors",
            "More than 10 server errors of the API in 5 minutes",
            runbook="slow-or-failing",
            metric=stage.metric_server_error(statistic="Sum", period=FIVE_MINUTES),
            threshold=10,
        )
        self.alarm(
            "LambdaErrors",
            "lambda-errors",
            "More than 5 errors of the functions in 5 minutes",
            runbook="slow-or-failing",
            metric=_sum(
                [f.function.metric_errors(period=FIVE_MINUTES) for f in compute.functions.values()], FIVE_MINUTES
            ),
            threshold=5,
        )
        self.alarm(
            "AuroraCpu",
            "aurora-cpu",
            "Aurora CPU over 80 %",
            runbook="database",
            metric=database.cluster.metric_cpu_utilization(period=FIVE_MINUTES),
            threshold=80,
        )
        self.alarm(
            "CertificateExpiry",
            "certificate-expiry",
            "The load balancer's certificate runs out in less than 45 days: run the bootstrap command again",
            runbook="certificate-expiry",
            metric=cloudwatch.Metric(
                namespace="AWS/CertificateManager",
                metric_name="DaysToExpiry",
                dimensions_map={"CertificateArn": balancer.certificate_arn},
                statistic="Minimum",
                period=ONE_DAY,
            ),
            threshold=45,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            # ACM publishes no metric for an expired certificate. The alarm must stay on without it.
            missing=cloudwatch.TreatMissingData.IGNORE,
        )

        self.alarm(
            "ConfigurationRefused",
            "configuration-refused",
            "Card keys or fraud rules are unusable: functions go on with the last good ones",
            runbook="configuration-refused",
            metric=_sum(
                [
                    cloudwatch.Metric(
                        namespace=names.METRICS,
                        metric_name=names.CONFIGURATION_REFUSED,
                        dimensions_map={"Environment": environment.name, "service": names.service(function)},
                        statistic="Sum",
                        period=FIVE_MINUTES,
                    )
                    for function in compute.functions
                ],
                FIVE_MINUTES,
            ),
            threshold=0,
        )

        self.alarm(
            "AuditFaults",
            "audit-faults",
            "The books do not agree: python -m pipeline.audit verify names the first fault",
            runbook="books",
            metric=audit_metric(environment, names.AUDIT_FAULTS, "Maximum"),
            threshold=0,
        )
        seals = self.alarm(
            "AuditSeals",
            "audit-seals",
            "The books were not sealed for three hours",
            runbook="books",
            metric=audit_metric(environment, names.AUDIT_SEALS, "Sum"),
            threshold=1,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            missing=cloudwatch.TreatMissingData.BREACHING,
            datapoints_to_alarm=3,
            evaluation_periods=3,
        )
        # A new environment's first seal is visible as a metric minutes later. The database takes longer.
        seals.node.add_dependency(sealing.first, database.schema)
        self.alarm(
            "PendingAge",
            "pending-age",
            "A payment or an amendment is pending for over 15 minutes: the sweeper can't finish it",
            runbook="pending-payments",
            metric=sweep_metric(environment, names.PENDING_AGE, "Maximum", FIVE_MINUTES),
            threshold=15 * 60,
        )
        self.alarm(
            "PendingCount",
            "pending-count",
            "More than 10 payments or amendments in an hour were left pending: functions end between their writes",
            runbook="pending-payments",
            metric=sweep_metric(environment, names.PENDING_FINISHED, "Sum", ONE_HOUR),
            threshold=10,
        )
        self.alarm(
            "SweeperErrors",
            "sweeper-errors",
            "The sweeper of pending payments and amendments failed, and its next runs too",
            runbook="pending-payments",
            metric=sweeper.function.metric_errors(period=FIVE_MINUTES),
            threshold=0,
            datapoints_to_alarm=2,
            evaluation_periods=3,
        )

        self.rollback_alarms = [
            # Two minutes in a row: the weights may change within one. Requests that fail in its second half then look
            # like the candidate's.
            self.alarm(
                id,
                name,
                description,
                runbook="rolled-back-by-alarm",
                metric=metric,
                threshold=0,
                datapoints_to_alarm=2,
                evaluation_periods=2,
            )
            for id, name, description, metric in candidate_alarms(compute, balancer)
        ]
        self.alarm(
            "CandidateLatency",
            "candidate-latency",
            f"The candidate takes over 200 ms for one answer of {Function.PROCESSING.path} in twenty",
            runbook="slow-or-failing",
            # Not the p99: the gate has measured that. The first minutes of a shift may hold fewer than a hundred
            # requests, and the gate's warm-up minute holds cold starts.
            metric=balancer_metric("TargetResponseTime", balancer.green_target_group_name, balancer, "p95"),
            threshold=0.2,
            datapoints_to_alarm=2,
            evaluation_periods=3,
        )
        self.dashboard_url = dashboard(
            self, environment=environment, storage=storage, compute=compute, balancer=balancer, api=api
        )

    def alarm(
        self,
        id: str,
        name: str,
        description: str,
        *,
        runbook: str,
        metric: cloudwatch.IMetric,
        threshold: float,
        comparison: cloudwatch.ComparisonOperator = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
        missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
        datapoints_to_alarm: int = 1,
        evaluation_periods: int = 1,
    ) -> cloudwatch.Alarm:
        """An alarm that notifies the topic. ``runbook``: the page of ``docs/runbooks`` for whom it wakes."""
        alarm = cloudwatch.Alarm(
            self,
            id,
            alarm_name=names.resource(name, self._environment.name),
            alarm_description=f"{description}. Runbook: {PIPELINE.runbook(runbook)}",
            metric=metric,
            threshold=threshold,
            comparison_operator=comparison,
            datapoints_to_alarm=datapoints_to_alarm,
            evaluation_periods=evaluation_periods,
            treat_missing_data=missing,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))
        return alarm


def _sum(metrics: list[cloudwatch.IMetric], period: Duration) -> cloudwatch.MathExpression:
    """The sum of the metrics. A metric without data counts as 0."""
    names = [f"m{index}" for index in range(len(metrics))]
    return cloudwatch.MathExpression(
        expression=" + ".join(f"FILL({name}, 0)" for name in names),
        using_metrics=dict(zip(names, metrics, strict=True)),
        period=period,
    )
