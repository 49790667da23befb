"""The connection of the pipeline's commands to AWS or to the local cloud, by the SDK's own environment variables.

``AWS_ENDPOINT_URL`` and ``AWS_CA_BUNDLE`` select the local cloud (SDK reference guide, "service-specific endpoints").
``PLATFORM_ROLE_ARN`` names the role of the target environment that a pipeline step assumes. Without it, the commands
use the caller's own credentials.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError

import names
from environments import DEFAULT_REGION


class OtherEnvironment(ValueError):
    """The variables of this shell are those of another environment than the one that a command is for."""


def require_variables_of(environment: str, environ: Mapping[str, str] = os.environ) -> None:
    """Raise ``OtherEnvironment`` if a variable says that the shell is set up for another environment.

    A local cloud's name is in ``LOCAL_CLOUD``, a role's environment in its name. Credentials alone tell nothing: one
    account may hold several environments.
    """
    cloud = environ.get("LOCAL_CLOUD", environment) if environ.get("AWS_ENDPOINT_URL") else environment
    if cloud != environment:
        raise OtherEnvironment(
            f"the variables of this shell are those of the local cloud {cloud}, and not of {environment}: "
            f'eval "$(python -m localcloud env {environment})"'
        )
    role = environ.get("PLATFORM_ROLE_ARN", "").rpartition("/")[2]
    for prefix in (names.resource(each, "") for each in names.Role):
        if role.startswith(prefix) and role.removeprefix(prefix) != environment:
            raise OtherEnvironment(
                f"PLATFORM_ROLE_ARN is a role of {role.removeprefix(prefix)}, and not of {environment}: unset it, or "
                f"name {prefix}{environment}"
            )


def is_local(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the shell is set up for a local cloud (``python -m localcloud env``)."""
    return "LOCAL_CLOUD" in environ and "AWS_ENDPOINT_URL" in environ


class UnusableSettings(BotoCoreError, ValueError):
    """The SDK can't work with the person's own settings of it."""

    fmt = "the SDK of AWS can't use your settings (variables AWS_..., ~/.aws/config): {error}"


def session(region: str | None, environment: str | None = None) -> boto3.Session:
    """A session in the target environment, under ``PLATFORM_ROLE_ARN`` when that is set. ``environment``: its name, if
    it is one of a platform; raises ``OtherEnvironment`` if the shell is set up for another.

    ``region`` comes from the settings. When it is ``None``, the person's variables or profile decide. A role's
    credentials are valid for an hour. They are renewed in time, because a shift may bake longer. Raises
    ``UnusableSettings`` and other ``BotoCoreError``.
    """
    if environment:
        require_variables_of(environment)
    made = _session(region)
    try:
        made.client("sts")  # the first client reads the settings, and raises all kinds of errors
    except (OSError, ValueError) as error:
        raise UnusableSettings(error=error) from error
    return made


def _session(region: str | None) -> boto3.Session:
    own = botocore.session.Session()
    region = region or os.environ.get("AWS_REGION") or own.get_config_variable("region") or DEFAULT_REGION
    role = os.environ.get("PLATFORM_ROLE_ARN")
    if not role:
        return boto3.Session(region_name=region)
    own.set_config_variable("region", region)
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=own.create_client,
        source_credentials=own.get_credentials(),
        role_arn=role,
        extra_args={"RoleSessionName": names.PIPELINE},
    )
    renewed = DeferredRefreshableCredentials(refresh_using=fetcher.fetch_credentials, method="assume-role")
    assumed = botocore.session.Session()
    assumed._credentials = renewed  # type: ignore[attr-defined]  # botocore offers no public way
    return boto3.Session(botocore_session=assumed, region_name=region)


class PlatformNotDeployed(Exception):
    """The environment's stack does not exist, or has no outputs yet."""


@dataclass(frozen=True, kw_only=True)
class PlatformOutputs:
    """The outputs of a platform's stack, by name. Gate and release controller know a platform by these only."""

    stack_name: str
    values: dict[str, str]

    def __getitem__(self, name: str) -> str:
        try:
            return self.values[name]
        except KeyError:
            raise PlatformNotDeployed(f"stack {self.stack_name} has no output {name!r}: deploy it first") from None

    @classmethod
    def read(cls, stack_name: str, aws: boto3.Session, config: Config | None = None) -> "PlatformOutputs":
        """Read the outputs of a deployed stack. ``config``: the call's time limits. Raises ``PlatformNotDeployed`` when
        there is no such stack, or a deployment has given it no outputs yet."""
        try:
            stack = aws.client("cloudformation", config=config).describe_stacks(StackName=stack_name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                raise PlatformNotDeployed(f"no stack {stack_name}: deploy the environment first") from error
            raise
        values = {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}
        if not values:
            raise PlatformNotDeployed(f"stack {stack_name} is {stack['StackStatus']}, without outputs: deploy it first")
        return cls(stack_name=stack_name, values=values)
