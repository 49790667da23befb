"""IAM as on AWS: every caller proves who it is, and no well-known key is root.

MiniStack takes unsigned requests, the key ``test`` and any 12-digit key for the account's root without looking at a
signature. Here the one root key is the one generated for this start, and its signature is checked like any other.
"""

import functools
import hashlib
import hmac
import json
import os
import re
import secrets
from typing import Any

from ministack import app
from ministack.core import iam_actions, iam_evaluator, lambda_runtime
from ministack.core.responses import get_account_id
from ministack.services import lambda_svc

from localcloud.emulator.upstream import Function, original, replaces

_TRUSTED_ACCOUNT = re.compile(r"(?<=:iam::)\d{12}(?=:root)")
_SESSION_SEED = secrets.token_bytes(32)
_parsed = functools.lru_cache(512)(original(iam_evaluator, "parse_policy_document"))


@replaces(iam_evaluator, "parse_policy_document")
def parse_policy_document(parse: Function, document: Any) -> Any:
    """A role's policies are parsed once, not for each of its calls."""
    return list(_parsed(document)) if isinstance(document, str) else parse(document)


@replaces(iam_evaluator, "is_root_access_key")
def is_root_access_key(_: Function, access_key_id: str) -> bool:
    return access_key_id == os.environ["AWS_ACCESS_KEY_ID"]


@replaces(iam_evaluator, "_is_root_key")
def spared_from_signature(_: Function, _access_key_id: str) -> bool:
    """MiniStack asks this before it checks a signature: nobody is spared."""
    return False


@replaces(app, "_enforce_execute_api")
def enforce_execute_api(enforce: Function, *args: Any, **kwargs: Any) -> Any:
    """An unsigned call of an API is refused by the method it reaches, if that asks for a signature."""
    return None if iam_evaluator._anonymous.get() else enforce(*args, **kwargs)


@replaces(iam_evaluator, "resolve_caller_identity")
def resolve_caller_identity(resolve: Function, access_key_id: str) -> Any:
    if access_key_id != os.environ["AWS_ACCESS_KEY_ID"]:
        return resolve(access_key_id)
    account = get_account_id()
    return {
        "accessKey": access_key_id,
        "accountId": account,
        "userArn": f"arn:aws:iam::{account}:root",
        "userId": account,
        "principalOrgId": None,
        "session": None,
    }


@replaces(iam_evaluator, "evaluate_trust_policy")
def evaluate_trust_policy(evaluate: Function, trust: Any, caller_arn: str, *rest: Any) -> Any:
    """The root here also plays the accounts that a role trusts, such as the pipeline's: there are no others here."""
    if caller_arn.endswith(":root"):
        document = trust if isinstance(trust, str) else json.dumps(trust)
        trust = _TRUSTED_ACCOUNT.sub(get_account_id(), document)
    return evaluate(trust, caller_arn, *rest)


@replaces(lambda_runtime, "execution_credentials", lambda_svc)
def execution_credentials(issue: Function, config: dict[str, Any]) -> dict[str, str]:
    """A function's role session, its secret drawn for this start; MiniStack derives it from the function's ARN."""
    from ministack.services import sts

    credentials: dict[str, str] = issue(config)
    session = sts._sessions[credentials["AWS_ACCESS_KEY_ID"]]

    def drawn(name: str) -> str:
        message = f"{name} {credentials['AWS_ACCESS_KEY_ID']}".encode()
        return hmac.new(_SESSION_SEED, message, hashlib.sha256).hexdigest()

    session["SecretAccessKey"], session["SessionToken"] = drawn("secret"), drawn("token")
    return {
        **credentials,
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }


@replaces(iam_actions, "_lambda_action")
def lambda_action(guess: Function, method: str, path: str) -> Any:
    """MiniStack takes a call on one alias for ``ListAliases``."""
    if path.rstrip("/").rpartition("/")[0].endswith("/aliases"):
        return {"GET": "GetAlias", "PUT": "UpdateAlias", "DELETE": "DeleteAlias"}.get(method)
    return guess(method, path)


@replaces(iam_actions, "extract_resource_arn")
def resource_of_call(
    guess: Function, service: str, method: str, path: str, headers: Any, body: bytes, *rest: Any
) -> Any:
    """MiniStack takes a call about a task for one about its cluster, and one about a log stream for one about its
    group."""
    arn = guess(service, method, path, headers, body, *rest)
    if service not in ("ecs", "logs") or not body.startswith(b"{"):
        return arn
    call = json.loads(body)
    if service == "logs":
        return f"{arn}:log-stream:{call['logStreamName']}" if "logStreamName" in call else arn
    named = call.get("task") or call.get("taskDefinition") or next(iter(call.get("tasks") or [arn]))
    return named if named.startswith("arn:") else arn


@replaces(iam_actions, "request_tag_context")
def request_context(
    tags: Function, service: str, iam_action: str, body: bytes, params: dict[str, Any]
) -> dict[str, Any]:
    """MiniStack leaves out the one condition key that limits who may write which metrics."""
    context: dict[str, Any] = tags(service, iam_action, body, params)
    if iam_action == "cloudwatch:PutMetricData":
        context["cloudwatch:namespace"] = _namespace(body, params)
    return context


def _namespace(body: bytes, params: dict[str, Any]) -> str | None:
    """Of a call by form or by JSON, the two ways in which the SDKs send it."""
    if named := params.get("Namespace"):
        return str(named[0] if isinstance(named, list) else named)
    try:
        return str(json.loads(body)["Namespace"])
    except (ValueError, KeyError, TypeError):
        return None
