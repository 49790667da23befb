"""Rotates the secret of the application's database role: Secrets Manager's single-user rotation in four steps.

The role changes its own password. Between ``setSecret`` and ``finishSecret`` the database may refuse the functions'
cached password. They then read the secret again. Each step may be repeated.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from lambdas.adapters import aws, database, roles

_CURRENT, _PENDING = "AWSCURRENT", "AWSPENDING"


def handler(event: Mapping[str, str], context: Any) -> None:
    """``event``: ``SecretId``, ``ClientRequestToken``, ``Step``. Raises ``ValueError`` when the version does not exist
    or is not pending."""
    arn, token = event["SecretId"], event["ClientRequestToken"]
    secret = aws.patient_client("secretsmanager").describe_secret(SecretId=arn)
    stages = secret["VersionIdsToStages"].get(token)
    if stages is None:
        raise ValueError(f"secret {arn} has no version {token}")
    if _CURRENT in stages:
        return  # an earlier attempt finished
    if _PENDING not in stages:
        raise ValueError(f"version {token} of secret {arn} is not pending")
    _STEPS[event["Step"]](arn, token)


def _create(arn: str, token: str) -> None:
    client = aws.patient_client("secretsmanager")
    try:
        client.get_secret_value(SecretId=arn, VersionId=token, VersionStage=_PENDING)
    except client.exceptions.ResourceNotFoundException:
        password = client.get_random_password(PasswordLength=48, ExcludePunctuation=True)["RandomPassword"]
        login = _login(arn, _CURRENT) | {"password": password}
        client.put_secret_value(
            SecretId=arn, ClientRequestToken=token, SecretString=json.dumps(login), VersionStages=[_PENDING]
        )


def _set(arn: str, token: str) -> None:
    pending = _login(arn, _PENDING, token)
    if _can_connect(pending):
        return
    connection = database.connect(_login(arn, _CURRENT), os.environ)
    try:
        roles.set_password(connection, pending["username"], pending["password"])
    finally:
        connection.close()


def _test(arn: str, token: str) -> None:
    connection = database.connect(_login(arn, _PENDING, token), os.environ)
    try:
        connection.run("SELECT 1 FROM customers LIMIT 1")
    finally:
        connection.close()


def _finish(arn: str, token: str) -> None:
    client = aws.patient_client("secretsmanager")
    versions = client.describe_secret(SecretId=arn)["VersionIdsToStages"]
    current = next(version for version, stages in versions.items() if _CURRENT in stages)
    client.update_secret_version_stage(
        SecretId=arn, VersionStage=_CURRENT, MoveToVersionId=token, RemoveFromVersionId=current
    )


def _login(arn: str, stage: str, token: str | None = None) -> dict[str, str]:
    version = {"VersionId": token} if token else {}
    value = aws.patient_client("secretsmanager").get_secret_value(SecretId=arn, VersionStage=stage, **version)
    login: dict[str, str] = json.loads(value["SecretString"])
    return login


def _can_connect(login: dict[str, str]) -> bool:
    from pg8000.exceptions import DatabaseError

    try:
        database.connect(login, os.environ).close()
    except DatabaseError as error:
        if database.sqlstate(error) != "28P01":
            raise
        return False
    return True


_STEPS = {"createSecret": _create, "setSecret": _set, "testSecret": _test, "finishSecret": _finish}
