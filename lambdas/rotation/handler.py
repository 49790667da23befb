"""Rotates the secret of the application's database role: Secrets Manager's single-user rotation in four steps.

The role changes its own password. Between ``setSecret`` and ``finishSecret`` the database may refuse the functions'
cached password. They then read the secret again.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from lambdas.adapters import aws, database, roles
from lambdas.rotation import steps


def handler(event: Mapping[str, str], context: Any) -> None:
    """``event`` and errors: see ``steps.run``."""
    steps.run(event, {"createSecret": _create, "setSecret": _set, "testSecret": _test})


def _create(arn: str, token: str) -> None:
    def login_with_another_password() -> str:
        client = aws.patient_client("secretsmanager")
        password = client.get_random_password(PasswordLength=48, ExcludePunctuation=True)["RandomPassword"]
        return json.dumps(_login(arn, steps.CURRENT) | {"password": password})

    steps.create_once(arn, token, login_with_another_password)


def _set(arn: str, token: str) -> None:
    pending = _login(arn, steps.PENDING, token)
    if _can_connect(pending):
        return
    connection = database.connect(_login(arn, steps.CURRENT), os.environ)
    try:
        roles.set_password(connection, pending["username"], pending["password"])
    finally:
        connection.close()


def _test(arn: str, token: str) -> None:
    connection = database.connect(_login(arn, steps.PENDING, token), os.environ)
    try:
        connection.run("SELECT 1 FROM customers LIMIT 1")
    finally:
        connection.close()


def _login(arn: str, stage: str, token: str | None = None) -> dict[str, str]:
    login: dict[str, str] = json.loads(steps.text(arn, stage, token))
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
