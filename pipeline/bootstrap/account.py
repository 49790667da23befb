"""What an account holds for the platform besides its stacks, and the checks that it is the right one."""

import json
import time
from typing import TYPE_CHECKING

import boto3

from environments import PIPELINE

if TYPE_CHECKING:
    from mypy_boto3_apigateway import APIGatewayClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_ssm import SSMClient

TOOLKIT_QUALIFIER = "hnb659fds"
"""CDK's default qualifier: part of the names that ``cdk bootstrap`` gives."""
TOOLKIT_PARAMETER = f"/cdk-bootstrap/{TOOLKIT_QUALIFIER}/version"
TOOLKIT_VERSION = 21
"""The version of CDK's own bootstrap stack that this CDK asks for."""
LOG_ROLE = "payment-api-gateway-logs"
LOG_POLICY = "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"

SETTLING_SECONDS, SETTLING_PAUSE = 60, 5
"""How long and how often to try again while a new role is not yet known everywhere."""


class WrongAccount(Exception):
    """The account can't take the app as it is; the message says what to do."""


def check(aws: boto3.Session, *, account: str | None) -> str:
    """Make sure that these are the credentials of ``account`` (``None``: any) and that CDK is bootstrapped there, for
    the pipeline too.

    Returns ``account/region``. Raises ``WrongAccount``.
    """
    here = aws.client("sts").get_caller_identity()["Account"]
    if account and account != here:
        raise WrongAccount(f"the credentials are of account {here}, but settings name {account}: use that account's")
    version = parameter(aws.client("ssm"), TOOLKIT_PARAMETER)
    if version is None:
        trouble = "is not there"
    elif int(version) < TOOLKIT_VERSION:
        trouble = f"is at version {version}, {TOOLKIT_VERSION} is needed"
    elif not _pipeline_may_deploy(aws, here):
        trouble = f"does not trust the pipeline's account {PIPELINE.account}"
    else:
        return f"{here}/{aws.region_name}"
    raise WrongAccount(f"CDK's bootstrap stack {trouble}: run  {toolkit_command(here, aws.region_name)}")


def toolkit_command(account: str, region: str) -> str:
    """The command that makes CDK's bootstrap stack, or brings it up to date."""
    command = f"cdk bootstrap aws://{account}/{region}"
    if PIPELINE.account in (None, account):
        return command
    policy = "arn:aws:iam::aws:policy/AdministratorAccess"
    return f"{command} --trust {PIPELINE.account} --cloudformation-execution-policies {policy}"


def _pipeline_may_deploy(aws: boto3.Session, here: str) -> bool:
    if PIPELINE.account in (None, here):
        return True
    role = aws.client("iam").get_role(RoleName=f"cdk-{TOOLKIT_QUALIFIER}-deploy-role-{here}-{aws.region_name}")["Role"]
    return PIPELINE.account in json.dumps(role["AssumeRolePolicyDocument"])


def parameter(ssm: "SSMClient", name: str) -> str | None:
    """The value of an SSM parameter, or ``None``."""
    try:
        return ssm.get_parameter(Name=name)["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound:
        return None


def ensure_parameter(ssm: "SSMClient", name: str, value: str) -> str:
    """Make sure that SSM parameter ``name`` holds ``value``; return what was done."""
    if parameter(ssm, name) == value:
        return "kept"
    ssm.put_parameter(Name=name, Value=value, Type="String", Overwrite=True)
    return "written"


def ensure_api_logs(api: "APIGatewayClient", iam: "IAMClient") -> str:
    """Make sure that API Gateway may write its logs. That role belongs to the account, so no stack may own it."""
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
        role = iam.create_role(RoleName=LOG_ROLE, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    except iam.exceptions.EntityAlreadyExistsException:
        role = iam.get_role(RoleName=LOG_ROLE)["Role"]["Arn"]
    iam.attach_role_policy(RoleName=LOG_ROLE, PolicyArn=LOG_POLICY)
    _set_log_role(api, role)
    return "role made and set"


def _exists(iam: "IAMClient", role_arn: str) -> bool:
    try:
        iam.get_role(RoleName=role_arn.rpartition("/")[2])
    except iam.exceptions.NoSuchEntityException:
        return False
    return True


def _set_log_role(api: "APIGatewayClient", role: str) -> None:
    """API Gateway tries the role at once, and refuses it until IAM has spread what is new."""
    for seconds_left in range(SETTLING_SECONDS, -1, -SETTLING_PAUSE):
        try:
            api.update_account(patchOperations=[{"op": "replace", "path": "/cloudwatchRoleArn", "value": role}])
            return
        except api.exceptions.BadRequestException:
            if not seconds_left:
                raise
            time.sleep(SETTLING_PAUSE)
