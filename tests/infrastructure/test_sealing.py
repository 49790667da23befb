"""The sealing job in the template: who may write seals, when it runs, what alarms miss it, what outlives the stack."""

from collections.abc import Mapping

import pytest

from tests.infrastructure.platform_template import PlatformTemplate, logical_id, text


def test_only_the_job_may_write_seals_whatever_other_policies_say(platform: PlatformTemplate) -> None:
    [policy] = [
        each["PolicyDocument"]["Statement"]
        for each in platform.properties("AWS::S3::BucketPolicy")
        if "Audit" in logical_id(each["Bucket"])
    ]
    [deny] = [each for each in policy if each.get("Sid") == "SealsAreWrittenByTheirJob"]
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", {"AWS": "*"}, "s3:PutObject")
    assert text(deny["Resource"]).rstrip('"]}').endswith("/seals/*")
    [(operator, condition)] = deny["Condition"].items()
    job = platform.named("AWS::Lambda::Function", FunctionName=f"payment-sealing-{platform.environment}")
    assert (operator, logical_id(condition["aws:PrincipalArn"])) == ("ArnNotEquals", logical_id(job["Role"]))


def test_the_job_runs_every_hour_and_once_with_a_new_stack(platform: PlatformTemplate) -> None:
    id, rule = platform.schedule(f"payment-sealing-{platform.environment}")
    assert rule["Properties"]["ScheduleExpression"] == "rate(1 hour)"
    assert rule["Properties"].get("State", "ENABLED") == "ENABLED"
    [target] = rule["Properties"]["Targets"]
    [permission] = [
        each
        for each in platform.properties("AWS::Lambda::Permission")
        if each["Principal"] == "events.amazonaws.com" and each["FunctionName"] == target["Arn"]
    ]
    assert target["Arn"] == platform.only("Custom::FirstSeal")["ServiceToken"]
    assert logical_id(permission["SourceArn"]) == id


@pytest.mark.parametrize("name", ["dev", "staging"])
def test_no_seal_comes_after_the_bucket_was_emptied(platforms: Mapping[str, PlatformTemplate], name: str) -> None:
    platform = platforms[name]
    # A dependent is deleted first.
    [emptied] = [id for id in platform.resources("Custom::EmptyBucket") if "Audit" in id]
    _, rule = platform.schedule(f"payment-sealing-{platform.environment}")
    assert emptied in rule["DependsOn"]


def test_alarms_ring_for_faults_of_the_books_and_for_a_job_that_does_not_run(platform: PlatformTemplate) -> None:
    found = {
        name: platform.named("AWS::CloudWatch::Alarm", AlarmName=f"payment-{name}-{platform.environment}")
        for name in ("audit-faults", "audit-seals")
    }
    faults, seals = found["audit-faults"], found["audit-seals"]
    assert (faults["ComparisonOperator"], faults["Threshold"], faults["MetricName"]) == (
        "GreaterThanThreshold", 0, "AuditFaults",
    )  # fmt: skip
    assert (seals["ComparisonOperator"], seals["Threshold"], seals["MetricName"]) == (
        "LessThanThreshold", 1, "AuditSeals",
    )  # fmt: skip
    assert (seals["TreatMissingData"], seals["EvaluationPeriods"], seals["Period"]) == ("breaching", 3, 3600)
    for alarm in (faults, seals):
        dimensions = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
        assert dimensions == {"Environment": platform.environment, "service": "payment-sealing"}
    # A new environment has its first seal before an alarm misses one.
    [first] = platform.resources("Custom::FirstSeal")
    [(_, alarm)] = [
        (id, each) for id, each in platform.resources("AWS::CloudWatch::Alarm").items() if "AuditSeals" in id
    ]
    assert first in alarm["DependsOn"]


def test_where_data_are_kept_the_seals_are_locked_with_them_and_their_key_is_kept(
    platforms: Mapping[str, PlatformTemplate],
) -> None:
    keeping = platforms["keeping"].resources()
    lock = keeping["StorageAudit9012A908"]["Properties"]["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
    assert lock == {"Days": 365, "Mode": "COMPLIANCE"}
    assert keeping["SealingKeyB60D65A5"]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert platforms["dev"].resources()["SealingKeyB60D65A5"]["DeletionPolicy"] == "Delete"
