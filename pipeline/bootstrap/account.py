"""Checks that an account is the right one, and creates the platform's prerequisites outside its stacks."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from environments import PIPELINE
from names import API_LOG_ROLE, EXECUTION_BOUNDARY, EXECUTION_POLICY

if TYPE_CHECKING:
    from mypy_boto3_apigateway import APIGatewayClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_ssm import SSMClient

TOOLKIT_QUALIFIER = "hnb659fds"
"""CDK's default qualifier: part of the names that ``cdk bootstrap`` gives."""
TOOLKIT_PARAMETER = f"/cdk-bootstrap/{TOOLKIT_QUALIFIER}/version"
TOOLKIT_VERSION = 21
"""The version of CDK's bootstrap stack that this CDK needs."""
LOG_POLICY = "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"

ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
ROOT = Path(__file__).parents[2]
EXECUTION, BOUNDARY = (Path(__file__).with_name(f"{name}.json") for name in (EXECUTION_POLICY, EXECUTION_BOUNDARY))

SETTLING_SECONDS, SETTLING_PAUSE = 60, 5
"""The total time of the retries, and the pause between them, until IAM has propagated a new role."""


class WrongAccount(Exception):
    """The app cannot be deployed to this account yet. The message says what to do."""


def check(aws: boto3.Session, *, account: str | None) -> str:
    """Check that the credentials are of ``account`` (``None``: any), that CDK is bootstrapped there, and that the
    pipeline's account may deploy to it.

    Returns ``account/region``. Raises ``WrongAccount``.
    """
    here = aws.client("sts").get_caller_identity()["Account"]
    if account and account != here:
        raise WrongAccount(f"the credentials are of account {here}, but settings name {account}: use that account's")
    version = parameter(aws.client("ssm"), TOOLKIT_PARAMETER)
    if version is None:
        defect = "is missing"
    elif int(version) < TOOLKIT_VERSION:
        defect = f"is at version {version}, {TOOLKIT_VERSION} is needed"
    elif not _pipeline_may_deploy(aws, here):
        defect = f"does not trust the pipeline's account {PIPELINE.account}"
    else:
        return f"{here}/{aws.region_name}"
    commands = "\n  ".join(toolkit_commands(here, aws.region_name))
    raise WrongAccount(f"CDK's bootstrap stack {defect}: run  {commands}")


def toolkit_commands(account: str, region: str) -> list[str]:
    """The commands that create or update CDK's bootstrap stack: in an account that is not the pipeline's, with what the
    pipeline may do there at most."""
    if PIPELINE.account in (None, account):
        return [toolkit_command(account, region)]
    partition = boto3.Session().get_partition_for_region(region)
    policy = f"arn:{partition}:iam::{account}:policy/{EXECUTION.stem}"
    limits = f" --custom-permissions-boundary {BOUNDARY.stem} --termination-protection"
    return [
        *(
            f"aws iam create-policy --policy-name {each.stem} --policy-document file://{each.relative_to(ROOT)}"
            for each in (EXECUTION, BOUNDARY)
        ),
        toolkit_command(account, region, policy) + limits,
    ]


def toolkit_command(account: str, region: str, policy: str = ADMINISTRATOR) -> str:
    """The command for CDK's bootstrap stack alone. ``policy``: what it lets the pipeline's account do; the default is
    for a local cloud, which has no other policies yet."""
    command = f"cdk bootstrap aws://{account}/{region}"
    if PIPELINE.account in (None, account):
        return command
    return f"{command} --trust {PIPELINE.account} --cloudformation-execution-policies {policy}"


def _pipeline_may_deploy(aws: boto3.Session, here: str) -> bool:
    if PIPELINE.account in (None, here):
        return True
    role = aws.client("iam").get_role(RoleName=f"cdk-{TOOLKIT_QUALIFIER}-deploy-role-{here}-{aws.region_name}")["Role"]
    return PIPELINE.account in json.dumps(role["AssumeRolePolicyDocument"])


def parameter(ssm: "SSMClient", name: str) -> str | None:
    """The value of an SSM parameter; ``None`` when it does not exist."""
    try:
        return ssm.get_parameter(Name=name)["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound:
        return None


def ensure_parameter(ssm: "SSMClient", name: str, value: str) -> str:
    """Write ``value`` to the SSM parameter ``name`` unless it holds it. Returns ``kept`` or ``written``."""
    if parameter(ssm, name) == value:
        return "kept"
    ssm.put_parameter(Name=name, Value=value, Type="String", Overwrite=True)
    return "written"


def ensure_api_logs(api: "APIGatewayClient", iam: "IAMClient") -> str:
    """Let API Gateway write its logs. An account has one such role for all its APIs, so no stack may own it."""
    known = api.get_account().get("cloudwatchRoleArn")
    if known and _exists(iam, known):
        return "kept"
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "apigateway.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    try:
        role = iam.create_role(RoleName=API_LOG_ROLE, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    except iam.exceptions.EntityAlreadyExistsException:
        role = iam.get_role(RoleName=API_LOG_ROLE)["Role"]["Arn"]
    iam.attach_role_policy(RoleName=API_LOG_ROLE, PolicyArn=LOG_POLICY)
    _set_log_role(api, role)
    return "role made and set"


def _exists(iam: "IAMClient", role_arn: str) -> bool:
    try:
        iam.get_role(RoleName=role_arn.rpartition("/")[2])
    except iam.exceptions.NoSuchEntityException:
        return False
    return True


def _set_log_role(api: "APIGatewayClient", role: str) -> None:
    """Set the role. API Gateway refuses a new role until IAM has propagated it, so this retries."""
    for seconds_left in range(SETTLING_SECONDS, -1, -SETTLING_PAUSE):
        try:
            api.update_account(patchOperations=[{"op": "replace", "path": "/cloudwatchRoleArn", "value": role}])
            return
        except api.exceptions.BadRequestException:
            if not seconds_left:
                raise
            time.sleep(SETTLING_PAUSE)
