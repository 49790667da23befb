"""The watchdog of releases: when it runs, what tells that it does not, and what its artefact holds."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from names import Function, ReleaseMetric
from pipeline.release.aws import watchdog as deployed_module
from stages import watchdog_bundle
from tests.infrastructure.platform_template import PlatformTemplate, logical_id, references, text

REPORTING = """
import sys

class OnlyTheRuntime:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in ("scipy", "numpy", "rich", "lambdas", "stages", "localcloud", "loadtest"):
            raise ImportError(f"{name} is not in Lambda's runtime")

sys.meta_path.insert(0, OnlyTheRuntime())
sys.path.insert(0, sys.argv[1])
import pipeline.release.aws.watchdog as module
print(module.__file__, callable(module.handler))
"""


def watchdog(platform: PlatformTemplate) -> str:
    """The logical id of its function."""
    [id] = [id for id in platform.resources("AWS::Lambda::Function") if id.startswith("Watchdog")]
    return id


def test_it_runs_every_minute_and_when_a_rollback_alarm_rings(platform: PlatformTemplate) -> None:
    rules = platform.resources("AWS::Events::Rule")
    ours = {
        id: rule["Properties"]
        for id, rule in rules.items()
        if [logical_id(target["Arn"]) for target in rule["Properties"]["Targets"]] == [watchdog(platform)]
    }
    [schedule] = [rule["ScheduleExpression"] for rule in ours.values() if "ScheduleExpression" in rule]
    assert schedule == "rate(1 minute)"
    [pattern] = [rule["EventPattern"] for rule in ours.values() if "EventPattern" in rule]
    assert pattern["detail"] == {"state": {"value": ["ALARM"]}}
    # And the alarms are those that roll a release back
    assert references(pattern["resources"]) == references(platform.outputs["RollbackAlarmNames"])
    # And EventBridge may call it for these rules, and for no other
    permissions = [
        permission
        for permission in platform.properties("AWS::Lambda::Permission")
        if logical_id(permission["FunctionName"]) == watchdog(platform)
    ]
    assert {permission["Principal"] for permission in permissions} == {"events.amazonaws.com"}
    assert {logical_id(permission["SourceArn"]) for permission in permissions} == set(ours)


def test_an_alarm_rings_when_it_has_not_run(platform: PlatformTemplate) -> None:
    alarm = platform.named("AWS::CloudWatch::Alarm", AlarmName=f"payment-watchdog-silent-{platform.environment}")
    assert (alarm["MetricName"], alarm["TreatMissingData"]) == ("WatchdogRuns", "breaching")
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanThreshold", 1)
    # And each alarm of the watchdog tells people
    for name in ("watchdog-silent", "release-unattended", "release-drift"):
        alarm = platform.named("AWS::CloudWatch::Alarm", AlarmName=f"payment-{name}-{platform.environment}")
        assert references(alarm["AlarmActions"]) == references(platform.outputs["AlertTopicArn"])
        assert alarm["Dimensions"] == [{"Name": "Environment", "Value": platform.environment}]


def test_it_does_not_look_before_there_are_aliases(platform: PlatformTemplate) -> None:
    # A missing alias is drift to it.
    _, schedule = platform.schedule(f"payment-watchdog-{platform.environment}")
    aliases = platform.resources("Custom::BlueAlias")
    assert len(aliases) == len(Function)
    assert aliases.keys() <= set(schedule["DependsOn"])


def test_the_dashboard_shows_what_controller_and_watchdog_publish(platform: PlatformTemplate) -> None:
    body = text(platform.only("AWS::CloudWatch::Dashboard")["DashboardBody"])
    assert [metric for metric in ReleaseMetric if f'\\"{metric}\\"' not in body] == []


def test_it_may_read_no_payment_and_judge_no_candidate(platform: PlatformTemplate) -> None:
    statements = [statement for id, statement in platform.statements() if id.startswith("Watchdog")]
    actions = {action for each in statements for action in _listed(each["Action"])}
    assert {action.partition(":")[0] for action in actions} == {
        "cloudwatch", "dynamodb", "ec2", "elasticloadbalancing", "events", "kms", "lambda", "logs",
        "secretsmanager", "sns", "xray",
    }  # fmt: skip
    tables = {text(each["Resource"]) for each in statements if "dynamodb:GetItem" in _listed(each["Action"])}
    # And the only secret is that with the addresses of chat rooms
    secrets = [text(each["Resource"]) for each in statements if "secretsmanager:" in text(each["Action"])]
    assert len(secrets) == 1
    assert secrets[0].count("release-webhooks") == secrets[0].count(":secret:") == 2
    assert len(tables) == 1
    assert "Releases" in tables.pop()


def test_it_gets_each_output_that_it_reads(dev: PlatformTemplate) -> None:
    variables = dev.resources()[watchdog(dev)]["Properties"]["Environment"]["Variables"]
    assert variables["ENVIRONMENT"] == "dev"
    source = Path(deployed_module.__file__).read_text() + "".join(
        (Path(deployed_module.__file__).parent / name).read_text() for name in ("traffic.py", "announcer.py")
    )
    given = text(variables["PLATFORM_OUTPUTS"])
    read = {name for name in dev.outputs if f'outputs["{name}"]' in source} | {f.name_output for f in Function}
    assert {"ListenerArn", "AlertTopicArn", "RollbackAlarmNames", "ReleaseTableName"} < read
    assert [name for name in read if name not in given] == []


def test_an_environment_can_do_without_it(platforms: Mapping[str, PlatformTemplate]) -> None:
    keeping = platforms["keeping"]
    assert not [id for id in keeping.resources() if id.startswith("Watchdog")]
    assert not [p for p in keeping.properties("AWS::Lambda::Function") if "watchdog" in str(p["FunctionName"])]


def test_its_artefact_is_complete_with_lambdas_runtime_and_holds_nothing_else() -> None:
    folder = watchdog_bundle.bundle()
    # When the artefact is imported where only the standard library and boto3 are
    done = subprocess.run(
        [sys.executable, "-B", "-P", "-c", REPORTING, str(folder)], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{folder}/pipeline/release/aws/watchdog.py True\n"
    # And nothing is there that moves no traffic
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"names.py", "environments.py", "pipeline/release/machine.py"} < found
    assert not found & {"pipeline/release/cli.py", "pipeline/release/git.py", "pipeline/release/report.py"}
    assert all(name.endswith(".py") for name in found)


def _listed(value: object) -> list[str]:
    return value if isinstance(value, list) else [str(value)]
