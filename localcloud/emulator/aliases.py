"""Weighted Lambda aliases: a share of an alias's invocations runs its additional version.

MiniStack stores ``RoutingConfig`` and returns it, but always invokes the main version. An :class:`Invocation` keeps,
for the metrics, the alias that was called and whether the call failed.
"""

import contextvars
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ministack.services import alb, apigateway_v1, lambda_svc

from localcloud.emulator.upstream import Function, replaces


@dataclass
class Invocation:
    """One synchronous or asynchronous call of a function, as long as it runs."""

    qualifier: str | None = None
    failed: bool = False
    weighted: bool = False
    """Whether ``qualifier`` is an alias that divides its invocations between two versions."""


current: contextvars.ContextVar[Invocation | None] = contextvars.ContextVar("invocation", default=None)


def weights(alias: Mapping[str, Any]) -> Mapping[str, float]:
    """The share of each additional version of ``alias``."""
    return (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}


def pick_version(alias: Mapping[str, Any], draw: float) -> str:
    """The version that an invocation of ``alias`` runs, for a ``draw`` from [0, 1)."""
    for version, weight in weights(alias).items():
        draw -= float(weight)
        if draw < 0:
            return str(version)
    return str(alias["FunctionVersion"])


@replaces(lambda_svc, "_update_alias")
def update_alias(update: Function, name: str, alias: str, change: dict[str, Any]) -> Any:
    """Refuse weights over two versions with different execution roles, as Lambda does. MiniStack takes them.

    Source: AWS Lambda Developer Guide, "Implement Lambda canary deployments using a weighted alias".
    """
    function = lambda_svc._functions.get(name, {})
    main = change.get("FunctionVersion") or function.get("aliases", {}).get(alias, {}).get("FunctionVersion")
    versions = [main, *((change.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {})]
    roles = {function["versions"][each]["config"]["Role"] for each in versions if each in function.get("versions", {})}
    if len(roles) > 1:
        return lambda_svc.error_response_json(
            "InvalidParameterValueException",
            f"The versions {' and '.join(versions)} have different execution roles: an alias can't point to both",
            400,
        )
    return update(name, alias, change)


@replaces(lambda_svc, "_effective_func_record_for_qualifier")
def effective_record(find: Function, function: dict[str, Any] | None, qualifier: str | None) -> Any:
    invocation = current.get()
    if function is None or invocation is None or qualifier is None:
        return find(function, qualifier)
    invocation.qualifier = qualifier
    alias = function.get("aliases", {}).get(qualifier)
    if alias is None:
        return find(function, qualifier)
    invocation.weighted = bool(weights(alias))
    return find(function, pick_version(alias, random.random()))  # noqa: S311


@replaces(lambda_svc, "_invoke")
async def invoke(
    invoke_version: Function,
    name: str,
    event: Any,
    headers: Any,
    path_qualifier: str | None = None,
    query_params: Any = None,
) -> Any:
    """Pick the version first: MiniStack's Invoke API would resolve the alias to its main version."""
    qualifier = lambda_svc._qualifier_from_path_or_query(path_qualifier, query_params)
    invocation = Invocation(qualifier)
    token = current.set(invocation)
    try:
        function = lambda_svc._functions.get(name)
        alias = (function or {}).get("aliases", {}).get(qualifier)
        if alias is not None:
            invocation.weighted = bool(weights(alias))
            path_qualifier = pick_version(alias, random.random())  # noqa: S311
        return await invoke_version(name, event, headers, path_qualifier, query_params)
    finally:
        current.reset(token)


@replaces(alb, "_invoke_lambda_target")
async def invoke_target(forward: Function, *args: Any, **kwargs: Any) -> Any:
    token = current.set(current.get() or Invocation())
    try:
        return await forward(*args, **kwargs)
    finally:
        current.reset(token)


@replaces(apigateway_v1, "_call_lambda_raw")
async def call_lambda(call: Function, *args: Any, **kwargs: Any) -> Any:
    token = current.set(Invocation())
    try:
        return await call(*args, **kwargs)
    finally:
        current.reset(token)
