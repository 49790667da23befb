"""A stage of a REST API serves the snapshot that its deployment took: resources, methods, integrations, models.

MiniStack serves the API as it is now, and would hide a change that no deployment brought to a stage. A stage's own
settings need no deployment. Source: API Gateway Developer Guide, "Updating a REST API".
"""

import contextlib
import contextvars
import copy
import json
from collections.abc import Iterator
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, request_scope
from ministack.services import apigateway_v1

from localcloud.emulator.upstream import Function, replaces

Snapshot = dict[str, Any]

_snapshots: dict[tuple[str, str], Snapshot] = {}
"""By API and deployment: what each of ``COPIED`` held for the API."""
_served: contextvars.ContextVar[tuple[str, Snapshot] | None] = contextvars.ContextVar("served", default=None)


class Store(AccountRegionScopedDict):  # type: ignore[misc]
    """One of MiniStack's stores by API. While a stage serves a request, it shows the snapshot of the stage."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def get(self, key: str, default: Any = None) -> Any:
        served = _served.get()
        if served is not None and served[0] == key:
            return served[1][self.name]
        return super().get(key, default)


COPIED = ("_resources", "_models", "_request_validators", "_authorizers")
for _name in COPIED:
    setattr(apigateway_v1, _name, Store(_name))


@contextlib.contextmanager
def serving(api_id: str, stage_name: str) -> Iterator[dict[str, Any] | None]:
    """Show the snapshot of a stage, and give the stage; ``None`` when the API has no such stage."""
    stage = apigateway_v1._stages_v1.get(api_id, {}).get(stage_name)
    snapshot = _snapshots.get((api_id, stage["deploymentId"])) if stage else None
    token = _served.set((api_id, snapshot) if snapshot else None)
    try:
        yield stage
    finally:
        _served.reset(token)


@replaces(apigateway_v1, "_create_deployment")
def create_deployment(create: Function, api_id: str, data: Any) -> Any:
    answer = create(api_id, data)
    if answer[0] < 300:
        _snapshots[api_id, json.loads(answer[2])["id"]] = {
            name: copy.deepcopy(getattr(apigateway_v1, name).get(api_id, {})) for name in COPIED
        }
    return answer


@replaces(apigateway_v1, "_delete_deployment")
def delete_deployment(delete: Function, api_id: str, deployment_id: str) -> Any:
    _snapshots.pop((api_id, deployment_id), None)
    return delete(api_id, deployment_id)


@replaces(apigateway_v1, "_delete_rest_api")
def delete_api(delete: Function, api_id: str) -> Any:
    for key in [key for key in _snapshots if key[0] == api_id]:
        del _snapshots[key]
    return delete(api_id)


@replaces(apigateway_v1, "method_authorization_type")
def authorization_type(find: Function, api_id: str, stage_name: str, method: str, path: str) -> Any:
    scope = apigateway_v1.find_api_scope(api_id)
    if scope is None:
        return None
    with request_scope(*scope), serving(api_id, stage_name):
        return find(api_id, stage_name, method, path)
