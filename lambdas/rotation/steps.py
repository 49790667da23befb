"""Secrets Manager's rotation in four steps, each of which may be repeated.

Source: AWS Secrets Manager User Guide, "Lambda rotation functions".
"""

from collections.abc import Callable, Mapping
from typing import Any

from lambdas.adapters import aws

CURRENT, PENDING = "AWSCURRENT", "AWSPENDING"

Step = Callable[[str, str], None]
"""Takes the secret's ARN and the token, which is the id of the new version."""


def run(event: Mapping[str, str], steps: Mapping[str, Step]) -> None:
    """``event``: ``SecretId``, ``ClientRequestToken``, ``Step``. Raises ``ValueError`` when the version does not exist
    or is not pending. The step ``finishSecret`` is the same for every secret."""
    arn, token = event["SecretId"], event["ClientRequestToken"]
    secret = aws.patient_client("secretsmanager").describe_secret(SecretId=arn)
    stages = secret["VersionIdsToStages"].get(token)
    if stages is None:
        raise ValueError(f"secret {arn} has no version {token}")
    if CURRENT in stages:
        return  # an earlier attempt finished
    if PENDING not in stages:
        raise ValueError(f"version {token} of secret {arn} is not pending")
    ({**steps, "finishSecret": _finish})[event["Step"]](arn, token)


def create_once(arn: str, token: str, make: Callable[[], str]) -> None:
    """Store the text of ``make`` as the pending version, unless an earlier attempt did."""
    client: Any = aws.patient_client("secretsmanager")
    try:
        client.get_secret_value(SecretId=arn, VersionId=token, VersionStage=PENDING)
    except client.exceptions.ResourceNotFoundException:
        client.put_secret_value(SecretId=arn, ClientRequestToken=token, SecretString=make(), VersionStages=[PENDING])


def text(arn: str, stage: str, token: str | None = None) -> str:
    """The value of the secret's version in ``stage``."""
    version = {"VersionId": token} if token else {}
    value = aws.patient_client("secretsmanager").get_secret_value(SecretId=arn, VersionStage=stage, **version)
    return str(value["SecretString"])


def _finish(arn: str, token: str) -> None:
    client = aws.patient_client("secretsmanager")
    versions = client.describe_secret(SecretId=arn)["VersionIdsToStages"]
    current = next(version for version, stages in versions.items() if CURRENT in stages)
    client.update_secret_version_stage(
        SecretId=arn, VersionStage=CURRENT, MoveToVersionId=token, RemoveFromVersionId=current
    )
