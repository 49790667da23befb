"""The interface of the platform: outputs, parameters, alarms, dashboard, names."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

import names
from environments import PIPELINE, PROMOTION_ORDER, environment
from lambdas.payments import rules, sweeping
from localcloud.emulator.metric_math import evaluate
from names import Function, Parameter
from pipeline.bootstrap.certificate import RENEW_BEFORE
from tests.infrastructure.platform_template import PlatformTemplate, logical_id, text

FOR_OPERATIONS = {
    "VpcId",
    "AuroraClusterEndpoint",
    "TransactionTableName",
    "ApiGatewayUrl",
    "AlbDnsName",
    "AuditLogBucket",
    "AlertTopicArn",
    "KmsKeyId",
    "DashboardUrl",
    "FirstRelease",
    "ReviewerRoleArn",
    "OperatorRoleArn",
}
FOR_DELIVERY = {
    "CandidateApiUrl",
    "ListenerArn",
    "BlueTargetGroupArn",
    "GreenTargetGroupArn",
    *(function.name_output for function in Function),
    "RollbackAlarmNames",
    "ReleaseTableName",
    "ReleaseRoleArn",
    "LoadTestRoleArn",
}


def test_every_environment_has_exactly_the_promised_outputs(platform: PlatformTemplate) -> None:
    assert set(platform.outputs) == FOR_OPERATIONS | FOR_DELIVERY


def test_outputs_and_their_parameters_have_the_same_values(platforms: Mapping[str, PlatformTemplate]) -> None:
    for name in ("dev", "staging", "prod", "pr42"):
        # Given the published parameters of an environment
        template = platforms[name]
        values = {p["Name"]: p["Value"] for p in template.properties("AWS::SSM::Parameter")}
        # Then each has the value of the output of the same meaning
        for parameter, output in {
            "vpc-id": "VpcId",
            "aurora-endpoint": "AuroraClusterEndpoint",
            "transaction-table": "TransactionTableName",
            "api-url": "ApiGatewayUrl",
            "audit-bucket": "AuditLogBucket",
            "kms-key-id": "KmsKeyId",
        }.items():
            assert values.pop(f"/payment/{parameter}-{name}") == template.outputs[output]
        assert set(values) == {f"/payment/fraud-rules-{name}"}


def test_no_update_of_the_stack_takes_an_override_of_the_fraud_rules_away(platform: PlatformTemplate) -> None:
    # Given the parameter of the fraud rules, whose value `python -m pipeline.rules put` changes
    parameter = dict(platform.named("AWS::SSM::Parameter", Name=Parameter.FRAUD_RULES.of(platform.environment)))
    # Then no property ever changes: CloudFormation would write them all
    assert hashlib.sha256(parameter.pop("Value").encode()).hexdigest()[:10] == rules.NO_OVERRIDE == "de8809b4f4"
    del parameter["Name"]
    assert parameter == {
        "Type": "String",
        "Description": "Weights and limits of the fraud check",
        "Tags": {"application": "payments", "environment": platform.environment},
    }


def test_the_functions_name_the_rules_that_they_ship(platform: PlatformTemplate) -> None:
    for function in set(Function) - {Function.TRANSACTIONS}:  # that one decides by no rules
        properties = platform.named("AWS::Lambda::Function", FunctionName=function.of(platform.environment))
        named = properties["Environment"]["Variables"][names.RULES_VERSION]
        assert f"shipped-{named}" == rules.shipped().version


def test_the_two_addresses_are_the_stable_and_the_candidate_stage(dev: PlatformTemplate) -> None:
    stages = dev.resources("AWS::ApiGateway::Stage")

    def stage_of(output: str) -> str:
        [id] = [id for id in stages if id in text(dev.outputs[output])]
        return str(stages[id]["Properties"]["StageName"])

    assert stage_of("ApiGatewayUrl") == "dev"
    assert stage_of("CandidateApiUrl") == "candidate"


@pytest.mark.parametrize(
    ("name", "metric", "statistic", "threshold", "period"),
    [
        ("api-latency", "Latency", "p99", 200, 300),
        ("api-errors", "5XXError", "Sum", 10, 300),
        ("aurora-cpu", "CPUUtilization", "Average", 80, 300),
    ],
)
def test_alarms_of_one_metric(
    platform: PlatformTemplate, name: str, metric: str, statistic: str, threshold: float, period: int
) -> None:
    [alarm] = [a for a in platform.properties("AWS::CloudWatch::Alarm") if f"payment-{name}-" in a["AlarmName"]]
    assert alarm["MetricName"] == metric
    assert statistic in (alarm.get("ExtendedStatistic"), alarm.get("Statistic"))
    assert alarm["Period"] == period
    assert alarm["Threshold"] == threshold
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"


def test_the_alarm_of_an_expiring_certificate_starts_when_bootstrap_would_renew_it(
    platform: PlatformTemplate,
) -> None:
    [alarm] = [a for a in platform.properties("AWS::CloudWatch::Alarm") if a.get("MetricName") == "DaysToExpiry"]
    assert alarm["Namespace"] == "AWS/CertificateManager"
    # Given the certificate of the listener
    assert alarm["Dimensions"] == [{"Name": "CertificateArn", "Value": {"Ref": "AlbCertificateArn"}}]
    [certificate] = platform.only("AWS::ElasticLoadBalancingV2::Listener")["Certificates"]
    assert certificate["CertificateArn"] == {"Ref": "AlbCertificateArn"}
    # Then the alarm starts when a second run of the bootstrap command helps, and stays when the metric ends
    assert alarm["ComparisonOperator"] == "LessThanThreshold"
    assert alarm["Threshold"] < RENEW_BEFORE.days
    assert alarm["TreatMissingData"] == "ignore"


def test_the_api_alarms_watch_the_stage_that_clients_use(platform: PlatformTemplate) -> None:
    stages = platform.resources("AWS::ApiGateway::Stage")
    for name in ("api-latency", "api-errors"):
        [alarm] = [a for a in platform.properties("AWS::CloudWatch::Alarm") if f"payment-{name}-" in a["AlarmName"]]
        [stage] = [d["Value"] for d in alarm["Dimensions"] if d["Name"] == "Stage"]
        assert stages[logical_id(stage)]["Properties"]["StageName"] != "candidate"


def test_the_functions_errors_are_counted_together(platform: PlatformTemplate) -> None:
    [alarm] = [a for a in platform.properties("AWS::CloudWatch::Alarm") if "payment-lambda-errors-" in a["AlarmName"]]
    parts = [m["MetricStat"] for m in alarm["Metrics"] if "MetricStat" in m]
    assert [part["Metric"]["MetricName"] for part in parts] == ["Errors"] * len(Function)
    assert {part["Period"] for part in parts} == {300}
    assert alarm["Threshold"] == 5


def test_only_its_schedule_calls_the_sweeper(platform: PlatformTemplate) -> None:
    schedule, rule = platform.schedule(f"payment-sweeper-{platform.environment}")
    [target] = rule["Properties"]["Targets"]
    assert rule["Properties"]["ScheduleExpression"] == "rate(5 minutes)"
    [permission] = [
        each
        for each in platform.properties("AWS::Lambda::Permission")
        if logical_id(each["FunctionName"]) == logical_id(target["Arn"])
    ]
    assert permission["Principal"] == "events.amazonaws.com"
    assert logical_id(permission["SourceArn"]) == schedule


def test_what_stays_pending_rings(platform: PlatformTemplate) -> None:
    alarms = {
        name: platform.named("AWS::CloudWatch::Alarm", AlarmName=f"payment-{name}-{platform.environment}")
        for name in ("pending-age", "pending-count", "sweeper-errors")
    }
    assert alarms["pending-age"]["Threshold"] == sweeping.STALE.total_seconds()
    watched = {alarm["MetricName"] for alarm in alarms.values()}
    assert watched == {names.PENDING_AGE, names.PENDING_FINISHED, "Errors"}


def test_every_alarm_notifies_the_topic_and_the_topic_lets_alarms_publish(platform: PlatformTemplate) -> None:
    [topic] = platform.resources("AWS::SNS::Topic")
    for alarm in platform.properties("AWS::CloudWatch::Alarm"):
        assert [logical_id(action) for action in alarm["AlarmActions"]] == [topic]
    policy = platform.only("AWS::SNS::TopicPolicy")["PolicyDocument"]
    assert any(
        s["Effect"] == "Allow" and s["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        for s in policy["Statement"]
    )


def test_alarms_go_to_the_address_that_the_deployment_or_the_settings_name(
    platforms: Mapping[str, PlatformTemplate],
) -> None:
    for each in PROMOTION_ORDER:
        template = platforms[each.name]
        assert template.body["Parameters"]["AlertEmail"]["Default"] == each.alert_email
        subscription = template.only("AWS::SNS::Subscription")
        assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", {"Ref": "AlertEmail"})


def test_the_dashboard_shows_what_operations_asked_for(platform: PlatformTemplate) -> None:
    body = text(platform.only("AWS::CloudWatch::Dashboard")["DashboardBody"])
    for title, metrics in {
        "API Gateway latency (p99 and median)": ("p99", "p50"),
        "API Gateway errors (4xx and 5xx)": ("4XXError", "5XXError"),
        "Lambda invocation counts": ("Invocations",),
        "Lambda error rates": ("Errors",),
        "DynamoDB read/write capacity": ("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"),
        "DynamoDB throttled requests": ("ThrottledRequests",),
        "Payments by outcome": ("approved", "review", "declined"),
        "Synthetic payments by outcome": ("SyntheticPayments",),
        "Payments and amendments that a crash left pending": (names.PENDING_FINISHED, names.PENDING_LEFT),
        "Age of the oldest pending payment or amendment": (names.PENDING_AGE,),
    }.items():
        assert title in body
        for metric in metrics:
            assert metric in body


def test_only_alarms_that_compare_the_candidate_with_stable_roll_back(dev: PlatformTemplate) -> None:
    alarms = {id: alarm["Properties"] for id, alarm in dev.resources("AWS::CloudWatch::Alarm").items()}
    rolling_back = [alarms[logical_id(value)] for value in dev.outputs["RollbackAlarmNames"]["Fn::Join"][1]]
    assert {alarm["AlarmName"] for alarm in rolling_back} == {
        *(f"payment-candidate-errors-{function}-dev" for function in Function),
        "payment-candidate-server-errors-dev",
    }
    for alarm in rolling_back:
        measured = [query["MetricStat"] for query in alarm["Metrics"] if "MetricStat" in query]
        assert len(measured) <= 10, "AWS takes ten metrics in one alarm"
        dimensions = [{d["Name"]: text(d["Value"]) for d in each["Metric"]["Dimensions"]} for each in measured]
        groups = {each.get("Resource", "").rpartition(":")[2] or each.get("TargetGroup") for each in dimensions}
        assert len(groups) == 2, "both colours"


def test_the_candidate_is_watched_under_both_aliases(dev: PlatformTemplate) -> None:
    """During a shift, some calls of alias blue run the candidate. Only the executed version distinguishes them."""
    for each in Function:
        function = each.of("dev")
        alarm = dev.named("AWS::CloudWatch::Alarm", AlarmName=f"payment-candidate-errors-{each}-dev")
        dimensions = [
            {d["Name"]: d["Value"] for d in m["MetricStat"]["Metric"]["Dimensions"]}
            for m in alarm["Metrics"]
            if "MetricStat" in m
        ]
        assert {"FunctionName": function, "Resource": f"{function}:green"} in dimensions
        assert {"FunctionName": function, "Resource": f"{function}:blue"} in dimensions
        versions = [d["ExecutedVersion"] for d in dimensions if "ExecutedVersion" in d]
        assert len(versions) == 2, "of errors and of requests"
        assert {dev.body["Resources"][logical_id(version)]["Type"] for version in versions} == {"AWS::Lambda::Version"}


@pytest.mark.parametrize(
    ("candidate", "stable", "rings"),
    [
        ((0, 600), (0, 5400), False),
        ((60, 60), (0, 540), True),
        ((5, 20), (0, 980), True),
        ((4, 4), (0, 980), False),
        ((6, 600), (5, 5400), False),
        ((10, 20), (490, 980), False),
        ((20, 20), (980, 980), False),
        ((300, 300), (0, 0), False),
        ((3000, 30_000), (0, 30_000), True),
    ],
    ids=[
        "sound", "dead", "dead with little traffic", "four requests say little", "one per cent is for the analysis",
        "a fail-over hits both", "nothing works", "no stable", "a tenth fails",
    ],
)  # fmt: skip
def test_an_alarm_rings_when_the_candidate_is_gravely_worse_than_stable(
    dev: PlatformTemplate, candidate: tuple[int, int], stable: tuple[int, int], rings: bool
) -> None:
    # Given the errors and requests of both target groups in one minute
    alarm = dev.named("AWS::CloudWatch::Alarm", AlarmName="payment-candidate-server-errors-dev")
    [blue] = [
        id
        for id, group in dev.resources("AWS::ElasticLoadBalancingV2::TargetGroup").items()
        if group["Properties"]["Name"] == "payment-blue-dev"
    ]
    values: dict[str, float | None] = {}
    for query in alarm["Metrics"]:
        if "MetricStat" in query:
            metric = query["MetricStat"]["Metric"]
            counts = stable if blue in text(metric["Dimensions"]) else candidate
            values[query["Id"]] = float(counts[metric["MetricName"] == "RequestCount"])
    # Then the expression of the alarm decides
    [expression] = [query["Expression"] for query in alarm["Metrics"] if "Expression" in query]
    assert evaluate(expression, values) == (1.0 if rings else 0.0)
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")


def test_names_that_would_not_fit_aws_are_refused_before_anything_is_built() -> None:
    for name in ("", "a", "PR-42", "4you", "a" * 13, "under_score", "pr-", "pr--42", "candidate"):
        with pytest.raises(ValueError, match="environment name"):
            environment(name)


def test_no_name_is_too_long_for_its_service(platforms: Mapping[str, PlatformTemplate]) -> None:
    spare = 12 - len("pr42")  # an ephemeral environment's name may have 12 characters
    template = platforms["pr42"]
    for kind, limit in (("LoadBalancer", 32), ("TargetGroup", 32)):
        for properties in template.properties(f"AWS::ElasticLoadBalancingV2::{kind}"):
            assert len(properties["Name"]) + spare <= limit
    for properties in template.properties("AWS::Lambda::Function"):
        assert len(properties["FunctionName"]) + spare <= 64


def test_the_load_balancer_reads_the_form_in_which_the_functions_answer(platform: PlatformTemplate) -> None:
    groups = platform.properties("AWS::ElasticLoadBalancingV2::TargetGroup")
    multi_value = {"Key": "lambda.multi_value_headers.enabled", "Value": "true"}
    assert [multi_value in group["TargetGroupAttributes"] for group in groups] == [True, True]


def test_each_alarm_names_its_runbook(platforms: Mapping[str, PlatformTemplate]) -> None:
    folder, prefix = Path(__file__).parents[2] / "docs/runbooks", PIPELINE.runbook("NAME").partition("NAME")[0]
    table = (folder / "README.md").read_text().partition("## By symptom: alarms")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \| \[.*?\]\(([\w-]+)\.md\) \|$", table, re.M)
    documented = {name: page for names, page in rows for name in re.findall(r"`([a-z<>-]+)`", names)}
    described = set()
    for template in platforms.values():
        for alarm in template.properties("AWS::CloudWatch::Alarm"):
            # Given an alarm, whose mail shows its description, when somebody follows the link
            linked = alarm["AlarmDescription"].partition(prefix)[2].removesuffix(".md")
            # Then there is a page, it knows this alarm, and the table of symptoms leads to the same
            name = alarm["AlarmName"].removeprefix("payment-").removesuffix(f"-{template.environment}")
            name = re.sub(f"-({'|'.join(Function)})$", "-<function>", name)
            assert f"`{name}`" in (folder / f"{linked}.md").read_text()
            assert documented[name] == linked
            described.add(name)
    assert documented.keys() == described | {"migration-lag"}  # while another system moves here
