"""The questions of the preflight: each asks AWS or the settings one thing, and changes nothing.

A question raises ``account.WrongAccount`` or ``ValueError`` for a plain no, and the SDK's errors.
"""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from environments import ZONES, Environment, PipelineSettings
from names import CONNECTION_PARAMETER, Parameter
from pipeline import assembly
from pipeline import aws as platform
from pipeline.bootstrap import account, rds_roots

EXAMPLE_DOMAIN = "@example.com"
ENGINE, ENGINE_VERSION, INSTANCE_CLASS = "aurora-postgresql", "18.6", "db.serverless"
BUILD_IMAGE = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
"""It has the runtimes that the builds ask for, Python 3.13 and Node.js 22."""
WAF_CAPACITY = 1500
"""Web ACL capacity units that cost nothing extra."""
CONCURRENCY = 100
"""Executions of functions at once. Four functions, each with candidate and stable, and their load gate need fewer."""
VPC_LINK_ZONES = {
    "us-east-1": "1 2 4 5 6", "us-east-2": "1 2 3", "us-west-1": "1 3", "us-west-2": "1 2 3 4", "ap-east-1": "2 3",
    "ap-south-1": "1 2 3", "ap-northeast-2": "1 2 3", "ap-southeast-1": "1 2 3", "ap-southeast-2": "1 2 3",
}  # fmt: skip
"""Numbers of the zones with VPC links V2 (API Gateway developer guide, "Set up VPC links V2"), where we know them."""


class NobodyReads(Exception):
    """Notices would go to a placeholder. The message says what to do."""


class Status(StrEnum):
    """The outcome of a check, worst first."""

    FAILED = "failed"
    WARNING = "warning"
    UNKNOWN = "unknown"
    OK = "ok"


Answer = tuple[Status, str, str]
"""The outcome, what was found, and what to do unless all is well."""
Question = Callable[[boto3.Session], Answer]


def ok(found: str) -> Answer:
    return Status.OK, found, ""


def identity(expected: str | None) -> Question:
    """Whether these are the credentials of account ``expected`` (``None``: any), where CDK is bootstrapped."""
    return lambda aws: ok(account.check(aws, account=expected))


def outputs(aws: boto3.Session, target: Environment) -> dict[str, str] | None:
    """The outputs of the environment's stack. ``None``: it does not exist, or may not be read."""
    try:
        found = aws.client("cloudformation").describe_stacks(StackName=target.stack_name)["Stacks"][0]
    except (BotoCoreError, ClientError):
        return None
    return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}


def roots(aws: boto3.Session) -> Answer:
    rds_roots.require(aws.region_name)
    return ok(aws.region_name)


def aurora(aws: boto3.Session) -> Answer:
    offered = aws.client("rds").describe_orderable_db_instance_options(
        Engine=ENGINE, EngineVersion=ENGINE_VERSION, DBInstanceClass=INSTANCE_CLASS
    )["OrderableDBInstanceOptions"]
    if offered:
        return ok(f"PostgreSQL {ENGINE_VERSION}, serverless")
    return (
        Status.FAILED,
        "not offered",
        f"{aws.region_name} has no serverless {ENGINE} {ENGINE_VERSION}: another region",
    )


def zones(aws: boto3.Session, target: Environment) -> Answer:
    found = aws.client("ec2").describe_availability_zones()["AvailabilityZones"]
    ids = {
        each["ZoneName"]: each["ZoneId"] for each in found if each.get("ZoneType", "availability-zone") != "local-zone"
    }
    chosen = target.availability_zones or tuple(sorted(ids)[:ZONES])
    if unknown := [each for each in chosen if each not in ids]:
        return Status.FAILED, ", ".join(unknown), f"not in {aws.region_name}: correct availability_zones"
    if aws.region_name not in VPC_LINK_ZONES:
        remedy = "compare with 'Set up VPC links V2' in API Gateway's developer guide"
        return Status.UNKNOWN, ", ".join(ids[each] for each in chosen), remedy
    served = VPC_LINK_ZONES[aws.region_name].split()
    if unserved := [f"{each} ({ids[each]})" for each in chosen if ids[each].rpartition("az")[2] not in served]:
        names_of_served = ", ".join(sorted(each for each, id in ids.items() if id.rpartition("az")[2] in served))
        remedy = f"choose {ZONES} of {names_of_served} in availability_zones, before the first deployment"
        return Status.FAILED, f"no VPC links in {', '.join(unserved)}", remedy
    return ok(", ".join(chosen))


def concurrency(aws: boto3.Session) -> Answer:
    limit = aws.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    if limit >= CONCURRENCY:
        return ok(str(limit))
    remedy = f"{CONCURRENCY} are needed: ask for 1000 under Service Quotas, Lambda, Concurrent executions (L-B99A9384)"
    return Status.FAILED, str(limit), remedy


def quota(aws: boto3.Session, service: str, code: str, used: Callable[[boto3.Session], int]) -> Answer:
    quotas: Any = aws.client("service-quotas")
    try:
        quota = quotas.get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchResourceException":
            raise
        quota = quotas.get_aws_default_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]
    limit, taken = int(quota["Value"]), used(aws)
    if taken < limit:
        return ok(f"{taken} of {limit} in use")
    return Status.FAILED, f"{taken} of {limit} in use", f"ask for one more under Service Quotas, {service} ({code})"


def vpcs(aws: boto3.Session) -> int:
    return len(aws.client("ec2").describe_vpcs()["Vpcs"])


def addresses(aws: boto3.Session) -> int:
    return len(aws.client("ec2").describe_addresses()["Addresses"])


def firewall(aws: boto3.Session, target: Environment, cdk_out: Path) -> Answer:
    try:
        [stack] = [each for each in assembly.all_stacks(cdk_out) if each.name == target.stack_name]
        resources = stack.template()["Resources"].values()
        [acl] = [each["Properties"] for each in resources if each["Type"] == "AWS::WAFv2::WebACL"]
    except (OSError, ValueError, KeyError):
        return Status.UNKNOWN, f"no template in {cdk_out}", "make synth"
    used = aws.client("wafv2").check_capacity(Scope=acl["Scope"], Rules=acl["Rules"])["Capacity"]
    if used <= WAF_CAPACITY:
        return ok(f"{used} of {WAF_CAPACITY}")
    return Status.WARNING, f"{used} of {WAF_CAPACITY}", "more than the fee of a web ACL includes: AWS charges extra"


def certificate(aws: boto3.Session, target: Environment) -> Answer:
    ssm = aws.client("ssm")
    arn = account.parameter(ssm, Parameter.ALB_CERTIFICATE_ARN.of(target.name))
    if not (arn and account.parameter(ssm, Parameter.ALB_HOST_NAME.of(target.name))):
        return Status.FAILED, "not made yet", f"python -m pipeline.bootstrap --env {target.name}"
    found = aws.client("acm").describe_certificate(CertificateArn=arn)["Certificate"]
    if found["Status"] != "ISSUED":
        return Status.FAILED, str(found["Status"]), f"python -m pipeline.bootstrap --env {target.name}"
    return ok(f"until {found['NotAfter']:%Y-%m-%d}")


def alarm_mail(aws: boto3.Session, target: Environment) -> Answer:
    topic = (outputs(aws, target) or {}).get("AlertTopicArn")
    if topic is None:
        return address(target.alert_email, "alert_email")
    listed = aws.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    waiting = [each["Endpoint"] for each in listed if each["SubscriptionArn"] == "PendingConfirmation"]
    if waiting or not listed:
        return Status.WARNING, f"not confirmed: {', '.join(waiting) or 'nobody'}", "open the mail of AWS, and confirm"
    return ok(f"confirmed: {', '.join(each['Endpoint'] for each in listed)}")


def address(address: str, setting: str) -> Answer:
    """An e-mail address that somebody reads. A local cloud sends no mail."""
    if address.endswith(EXAMPLE_DOMAIN):
        status = Status.WARNING if platform.is_local() else Status.FAILED
        return status, address, f"nobody reads this address: set {setting} in environments.py"
    return ok(address)


def require_reader(mail: str, setting: str) -> None:
    """Raise ``NobodyReads`` for a placeholder, except on a local cloud."""
    status, found, remedy = address(mail, setting)
    if status is Status.FAILED:
        raise NobodyReads(f"{found}: {remedy}, commit, and run this again")


def retention(target: Environment) -> Answer:
    """Only where a person approves: there data are somebody's."""
    missing = [
        setting
        for setting, chosen in (("retain_data", target.retain_data), ("audit_lock_days", target.audit_lock_days))
        if not chosen
    ]
    if target.requires_approval and missing:
        remedy = (
            "set them in environments.py before the first deployment, or accept that the stack's end deletes the data"
        )
        return Status.WARNING, f"off: {', '.join(missing)}", remedy
    return ok("as set")


def connection(aws: boto3.Session) -> Answer:
    arn, remedy = account.parameter(aws.client("ssm"), CONNECTION_PARAMETER), "python -m pipeline.bootstrap --pipeline"
    if arn is None:
        return Status.FAILED, "not made yet", remedy
    status = aws.client("codeconnections").get_connection(ConnectionArn=arn)["Connection"]["ConnectionStatus"]
    return ok("available") if status == "AVAILABLE" else (Status.FAILED, status, remedy)


def build_image(aws: boto3.Session) -> Answer:
    platforms = aws.client("codebuild").list_curated_environment_images()["platforms"]
    offered = {
        image["name"] for platform in platforms for language in platform["languages"] for image in language["images"]
    }
    if BUILD_IMAGE in offered:
        return ok(BUILD_IMAGE)
    return Status.FAILED, "not offered", f"{aws.region_name} has no {BUILD_IMAGE}: put the pipeline elsewhere"


def bootstrapped_in(region: str, settings: PipelineSettings) -> Question:
    return lambda _: ok(account.check(boto3.Session(region_name=region), account=settings.account))
