"""``Ref`` of a secret is its ARN, as on AWS; MiniStack gives its name, which no policy matches."""

from typing import Any

from ministack.services import secretsmanager
from ministack.services.cloudformation import provisioners

from pipeline.local.cloud.emulator.upstream import original

_SECRET = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
_create = original(provisioners, "_sm_secret_create")
_update = original(provisioners, "_sm_secret_update")
_delete = original(provisioners, "_sm_secret_delete")


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
