"""Requirements 10.2.1, 10.3.2, 10.5.1 and 10.7.2: what is logged, how long it is kept, and who hears of a failure."""

import re
from typing import Any

from pipeline.compliance.pci_dss_4.declaration import (
    BUCKET,
    BUILD,
    CLUSTER,
    DISTRIBUTION,
    HTTP_STAGE,
    INSTANCE,
    LOAD_BALANCER,
    STAGE,
    TOPIC,
    VPC,
    in_cluster,
    rule,
)
from pipeline.compliance.resolution import flag, number, text, unknown
from pipeline.compliance.template_pack import Resource

TWELVE_MONTHS = 365
LOG_RETENTION = "Custom::LogRetention"
ALARMS = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
LOGGED = ("$context.requestTime", "$context.identity.", "$context.status")
CONTENT_LOGS = ("postgresql", "audit")
"""The logs of databases that name who did what. Others, such as that of upgrades, do not."""
DESTINATION = "LoggingConfiguration.DestinationBucketName"
PLACEHOLDER = re.compile(
    r"@([\w-]+\.)*(example(\.(com|org|net))?|invalid|test|localhost)$|//([\w.-]+\.)?example\.(com|org|net)", re.I
)
"""Addresses that RFC 2606 keeps free: nobody reads what is sent there."""


@rule(
    "10.2.1",
    "ApiAccessLogs",
    STAGE,
    HTTP_STAGE,
    DISTRIBUTION,
    fault="The API does not log its requests, with time, caller and result",
)
def api_access_logs(stage: Resource) -> bool:
    if stage.kind == DISTRIBUTION:
        return bool(stage.get("DistributionConfig.Logging.Bucket"))
    settings = "AccessLogSetting" if stage.kind == STAGE else "AccessLogSettings"
    arn, line = stage.get(f"{settings}.DestinationArn"), text(stage.get(f"{settings}.Format"))
    return bool(arn) and not unknown(arn) and all(each in line for each in LOGGED)


@rule("10.2.1", "BalancerAccessLogs", LOAD_BALANCER, fault="The load balancer does not log its requests")
def balancer_access_logs(balancer: Resource) -> bool:
    attributes = {each["Key"]: each["Value"] for each in balancer.items("LoadBalancerAttributes")}
    return flag(attributes.get("access_logs.s3.enabled")) is True


@rule("10.2.1", "BucketAccessLogs", BUCKET, fault="Access to stored data is not logged")
def bucket_access_logs(bucket: Resource) -> bool:
    if _log_sources(bucket):
        return True
    destination = bucket.get(DESTINATION)  # without one, S3 delivers the logs to the bucket itself
    to_itself = bucket in bucket.template.referred(destination) or destination == bucket.get("BucketName")
    return bool(destination) and not unknown(destination) and not to_itself


@rule("10.2.1", "DatabaseLogs", CLUSTER, INSTANCE, fault="The database's log stays in the database")
def database_logs(database: Resource) -> bool:
    exports = database.items("EnableCloudwatchLogsExports")
    return in_cluster(database) or any(each in CONTENT_LOGS for each in exports)


@rule("10.2.1", "FirewallLogs", "AWS::WAFv2::WebACL", fault="The firewall does not log what it decides")
def firewall_logs(firewall: Resource) -> bool:
    return any(
        each.get("LoggingFilter") is None
        and (each.items("LogDestinationConfigs") or "LogDestinationConfigs" not in each.body["Properties"])
        for each in firewall.referrers("AWS::WAFv2::LoggingConfiguration", by="ResourceArn")
    )


@rule("10.2.1", "FlowLogs", VPC, fault="Connections in the network are not logged")
def flow_logs(vpc: Resource) -> bool:
    return any(each.get("TrafficType") == "ALL" for each in vpc.referrers("AWS::EC2::FlowLog", by="ResourceId"))


@rule("10.2.1", "BuildLogs", BUILD, fault="Nobody can read later what a build did")
def build_logs(build: Resource) -> bool:
    # CloudWatch keeps the log of a build, and S3 does not, where the project says nothing.
    return build.get("LogsConfig.CloudWatchLogs.Status") in (None, "ENABLED") or bool(
        build.get("LogsConfig.S3Logs.Status") == "ENABLED"
    )


@rule("10.2.1", "TrailActive", "AWS::CloudTrail::Trail", fault="The trail is off, or its files prove nothing")
def trail_active(trail: Resource) -> bool:
    return all(flag(trail.get(each)) is True for each in ("IsLogging", "EnableLogFileValidation"))


@rule("10.3.2", "TamperProtection", BUCKET, fault="What was written can be overwritten without a trace")
def tamper_protection(bucket: Resource) -> bool:
    return bool(bucket.get("VersioningConfiguration.Status") == "Enabled")


@rule(
    "10.5.1",
    "TwelveMonths",
    "AWS::Logs::LogGroup",
    LOG_RETENTION,
    BUCKET,
    fault="Logs are kept for less than twelve months",
)
def twelve_months(store: Resource) -> bool:
    if store.kind == BUCKET:
        rules = store.items("LifecycleConfiguration.Rules")
        return all(isinstance(each, dict) and _keeps(each, locked=_locks(store)) for each in rules)
    # AWS keeps the class DELIVERY for two days, whatever the retention is.
    return _long(store.get("RetentionInDays")) and store.get("LogGroupClass") != "DELIVERY"


@rule("10.7.2", "AlarmsNotify", *ALARMS, fault="The alarm alerts nobody")
def alarms_notify(alarm: Resource) -> bool:
    enabled = alarm.get("ActionsEnabled")
    actions = alarm.items("AlarmActions")
    return bool(actions) and not unknown(actions) and flag(True if enabled is None else enabled) is True


@rule("10.7.2", "NoticesHeard", TOPIC, fault="Nobody hears what the topic publishes")
def notices_heard(topic: Resource) -> bool:
    endpoints = [each.get("Endpoint") for each in topic.referrers("AWS::SNS::Subscription", by="TopicArn")]
    endpoints += [each.get("Endpoint") for each in topic.items("Subscription")]
    return any(each and not PLACEHOLDER.search(text(each)) for each in endpoints)


def _keeps(lifecycle: dict[str, Any], *, locked: bool) -> bool:
    """Whether a lifecycle rule keeps objects for twelve months, also those that somebody deletes or overwrites.

    ``locked``: nobody can.
    """
    if unknown(lifecycle):
        return False
    if lifecycle.get("Status") == "Disabled":
        return True
    former = (lifecycle.get("NoncurrentVersionExpiration") or {}).get("NoncurrentDays")
    deleted = None if locked else former or lifecycle.get("NoncurrentVersionExpirationInDays")
    return "ExpirationDate" not in lifecycle and _long(lifecycle.get("ExpirationInDays")) and _long(deleted)


def _locks(bucket: Resource) -> bool:
    """Whether each object is locked for twelve months."""
    lock = bucket.get("ObjectLockConfiguration.Rule.DefaultRetention") or {}
    return (number(lock.get("Days")) or 0) + TWELVE_MONTHS * (number(lock.get("Years")) or 0) >= TWELVE_MONTHS


def _long(days: Any) -> bool:
    """Nothing means for ever. Unknown is too short."""
    if days is None:
        return True
    found = number(days)
    return found is not None and found >= TWELVE_MONTHS


def _log_sources(bucket: Resource) -> list[Resource]:
    """The resources that deliver their access logs to ``bucket``. Such a bucket needs no access logs of its own."""
    sources = bucket.referrers(BUCKET, by=DESTINATION) + bucket.referrers(LOAD_BALANCER, by="LoadBalancerAttributes")
    return [each for each in sources if each is not bucket]
