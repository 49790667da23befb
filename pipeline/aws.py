"""The connection of the pipeline's commands to AWS or to the local cloud, by the SDK's own environment variables.

``AWS_ENDPOINT_URL`` and ``AWS_CA_BUNDLE`` select the local cloud (SDK reference guide, "service-specific endpoints").
``PLATFORM_ROLE_ARN`` names the role of the target environment that a pipeline step assumes. Without it, the commands
use the caller's own credentials.
"""

import os
from dataclasses import dataclass

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import ClientError

import names
from environments import DEFAULT_REGION


def session(region: str | None) -> boto3.Session:
    """A session in the target environment, under ``PLATFORM_ROLE_ARN`` when that is set.

    ``region`` comes from the settings. When it is ``None``, the person's variables or profile decide. A role's
    credentials are valid for an hour. They are renewed in time, because a shift may bake longer.
    """
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
        there is no such stack."""
        try:
            stack = aws.client("cloudformation", config=config).describe_stacks(StackName=stack_name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                raise PlatformNotDeployed(f"no stack {stack_name}: deploy the environment first") from error
            raise
        return cls(stack_name=stack_name, values={o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])})
