"""What could stop a first deployment, asked of the account before it begins: ``python -m pipeline.bootstrap --check``.

Nothing is changed. Each check stands alone: one that may not ask, or asks what the endpoint does not know, is UNKNOWN
and keeps no other from its answer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from environments import Environment, PipelineSettings
from pipeline.bootstrap import account, questions
from pipeline.bootstrap.questions import Question, Status


@dataclass(frozen=True, kw_only=True)
class Check:
    """The answer to one question."""

    target: str
    """Name of the environment, or ``pipeline``."""
    name: str
    status: Status
    found: str
    remedy: str = ""
    """What to do, unless all is well."""


def ready(checks: Sequence[Check]) -> bool:
    """Whether a deployment may begin."""
    return not any(each.status is Status.FAILED for each in checks)


def check_environment(aws: boto3.Session, target: Environment, *, cdk_out: Path) -> Iterator[Check]:
    """The checks of one environment. ``cdk_out``: a cloud assembly, whose firewall is measured.

    With credentials of another account than the environment's, no other question is asked than whose they are.
    """
    if target.account not in (None, aws.client("sts").get_caller_identity()["Account"]):
        yield from _asked(aws, target.name, {"account": questions.identity(target.account)})
        return
    new = questions.outputs(aws, target) is None
    checks: dict[str, Question] = {
        "account": questions.identity(target.account),
        "RDS root certificates": questions.roots,
        "Aurora": questions.aurora,
        "zones for VPC links": lambda aws: questions.zones(aws, target),
        "Lambda concurrency": questions.concurrency,
        "firewall capacity": lambda aws: questions.firewall(aws, target, cdk_out),
        "certificate": lambda aws: questions.certificate(aws, target),
        "alarm e-mail": lambda aws: questions.alarm_mail(aws, target),
        "retention": lambda _: questions.retention(target),
    }
    if new:  # a stack that exists has these
        checks["VPCs"] = lambda aws: questions.quota(aws, "vpc", "L-F678F1CE", questions.vpcs)
        checks["elastic IPs"] = lambda aws: questions.quota(aws, "ec2", "L-0263D0A3", questions.addresses)
    yield from _asked(aws, target.name, checks)


def check_pipeline(aws: boto3.Session, settings: PipelineSettings, other_regions: Sequence[str]) -> Iterator[Check]:
    """The checks of the pipeline. ``other_regions``: those of environments that are not its own."""
    checks: dict[str, Question] = {
        "account": questions.identity(settings.account),
        **{f"account in {region}": questions.bootstrapped_in(region, settings) for region in other_regions},
        "connection": questions.connection,
        "builds at once": lambda aws: questions.quota(aws, "codebuild", "L-2DC20C30", lambda _: 0),
        "build image": questions.build_image,
        "approvers' e-mail": lambda _: questions.address(settings.approver_email, "PIPELINE.approver_email"),
    }
    yield from _asked(aws, "pipeline", checks)


def _asked(aws: boto3.Session, target: str, checks: dict[str, Question]) -> Iterator[Check]:
    for name, ask in checks.items():
        try:
            status, found, remedy = ask(aws)
        except (account.WrongAccount, ValueError) as error:
            status, found, remedy = Status.FAILED, "not as needed", str(error)
        except ClientError as error:
            status, found, remedy = Status.UNKNOWN, f"not known here: {error.response['Error']['Code']}", str(error)
        except BotoCoreError as error:
            status, found, remedy = Status.UNKNOWN, "not known here", str(error)
        yield Check(target=target, name=name, status=status, found=found, remedy=remedy)
