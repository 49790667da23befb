"""Secrets of a template, as CloudFormation creates them.

``Ref`` of a secret is its ARN. MiniStack gives its name, which no policy matches. A generated value follows every
property of ``GenerateSecretString``. MiniStack supports two of them, and uses a predictable random generator.
"""

import json
from typing import Any

from ministack.services import secretsmanager
from ministack.services.cloudformation import provisioners

from localcloud.emulator.upstream import Function, original, replaces

_SHAPE = ("ExcludeCharacters", "IncludeSpace", "PasswordLength", "RequireEachIncludedType")
_FLAGS = ("ExcludeLowercase", "ExcludeNumbers", "ExcludePunctuation", "ExcludeUppercase")

_SECRET = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
_create = original(provisioners, "_sm_secret_create")
_update = original(provisioners, "_sm_secret_update")
_delete = original(provisioners, "_sm_secret_delete")


@replaces(provisioners, "_sm_secret_string")
def secret_string(_: Function, props: Any) -> str:
    """The template's ``SecretString``, or a value from the service's GetRandomPassword."""
    wanted = props.get("GenerateSecretString")
    if props.get("SecretString") or wanted is None:
        return str(props.get("SecretString") or "")
    request = {name: wanted[name] for name in _SHAPE if name in wanted}
    request |= {name: provisioners._cfn_bool(wanted[name]) for name in _FLAGS if name in wanted}
    status, _headers, body = secretsmanager._get_random_password(request)
    answer = json.loads(body)
    if status != 200:
        raise ValueError(f"GenerateSecretString: {answer}")
    password = str(answer["RandomPassword"])
    if "GenerateStringKey" not in wanted:
        return password
    return json.dumps({**json.loads(wanted["SecretStringTemplate"]), wanted["GenerateStringKey"]: password})


def _name(arn: str) -> str:
    found, _ = secretsmanager._resolve(arn)
    return str(found or arn)


def _create_secret(logical_id: str, props: Any, stack: str) -> Any:
    _, attributes = _create(logical_id, props, stack)
    return attributes["Arn"], attributes


def _update_secret(arn: str, old: Any, new: Any, stack: str, logical_id: str | None = None) -> Any:
    _, attributes = _update(_name(arn), old, new, stack, logical_id)
    return attributes["Arn"], attributes


def _delete_secret(arn: str, props: Any) -> None:
    _delete(_name(arn), props)


_SECRET.update(create=_create_secret, update=_update_secret, delete=_delete_secret)
