"""IAM as on AWS: every caller must sign, and no well-known key belongs to root.

MiniStack treats an unsigned request, the key ``test`` and any 12-digit key as the account's root, and checks no
signature of these. Here the only root key is the one generated for this start, and its signature is checked like any
other.
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
from ministack.services import iam as iam_svc
from ministack.services import lambda_svc

from localcloud.emulator.upstream import Function, original, replaces

_ROLE_SESSION = re.compile(r"arn:aws:sts::(?P<account>\d{12}):assumed-role/(?P<role>[^/]+)/.+")
_TRUSTED_ACCOUNT = re.compile(r"(?<=:iam::)\d{12}(?=:root)")
_BUILD_ROLE = re.compile(r"(?<=:iam::)\d{12}:role/payment-step-[a-z0-9-]+")
_CHANGE = re.compile(r"/change/([^/]+)/?$")
_SESSION_SEED = secrets.token_bytes(32)
_parsed = functools.lru_cache(512)(original(iam_evaluator, "parse_policy_document"))


@replaces(iam_evaluator, "parse_policy_document")
def parse_policy_document(parse: Function, document: Any) -> Any:
    """Parse a role's policies once, not at each of its calls."""
    return list(_parsed(document)) if isinstance(document, str) else parse(document)


@replaces(iam_evaluator, "is_root_access_key")
def is_root_access_key(_: Function, access_key_id: str) -> bool:
    return access_key_id == os.environ["AWS_ACCESS_KEY_ID"]


@replaces(iam_evaluator, "_is_root_key")
def skips_signature_check(_: Function, _access_key_id: str) -> bool:
    """MiniStack calls this before it checks a signature. No key skips the check."""
    return False


@replaces(app, "_enforce_execute_api")
def enforce_execute_api(enforce: Function, *args: Any, **kwargs: Any) -> Any:
    """Let an unsigned call of an API pass: the API's method refuses it, if the method requires a signature."""
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
    """Let this account's root assume roles that trust another account's root, or builds of the pipeline.

    A local cloud has one account only, and there are no builds: the local engine gives their commands as root.
    """
    if caller_arn.endswith(":root"):
        document = trust if isinstance(trust, str) else json.dumps(trust)
        document = _BUILD_ROLE.sub(f"{get_account_id()}:root", document)
        trust = _TRUSTED_ACCOUNT.sub(get_account_id(), document)
    return evaluate(trust, caller_arn, *rest)


@replaces(lambda_runtime, "execution_credentials", lambda_svc)
def execution_credentials(issue: Function, config: dict[str, Any]) -> dict[str, str]:
    """A function's role session with a random secret. MiniStack derives the secret from the function's ARN."""
    from ministack.services import sts

    credentials: dict[str, str] = issue(config)
    session = sts._sessions[credentials["AWS_ACCESS_KEY_ID"]]

    def random_value(name: str) -> str:
        message = f"{name} {credentials['AWS_ACCESS_KEY_ID']}".encode()
        return hmac.new(_SESSION_SEED, message, hashlib.sha256).hexdigest()

    session["SecretAccessKey"], session["SessionToken"] = random_value("secret"), random_value("token")
    return {
        **credentials,
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }


@replaces(iam_evaluator, "_resolve_condition_key")
def condition_key(resolve: Function, key: str, context: Any) -> Any:
    """Give ``aws:PrincipalArn`` of a role's session as the role's ARN. MiniStack gives the session's.

    Source: IAM User Guide, "AWS global condition context keys".
    """
    value = resolve(key, context)
    session = _ROLE_SESSION.fullmatch(str(value)) if key.lower() == "aws:principalarn" else None
    if session is None:
        return value
    role = iam_svc._roles.get_scoped(session["account"], None, session["role"]) or {}
    return role.get("Arn", value)


@replaces(iam_actions, "_lambda_action")
def lambda_action(guess: Function, method: str, path: str) -> Any:
    """Name the action of a call on one alias. MiniStack takes each for ``ListAliases``."""
    if path.rstrip("/").rpartition("/")[0].endswith("/aliases"):
        return {"GET": "GetAlias", "PUT": "UpdateAlias", "DELETE": "DeleteAlias"}.get(method)
    return guess(method, path)


@replaces(iam_actions, "extract_resource_arn")
def resource_of_call(
    guess: Function, service: str, method: str, path: str, headers: Any, body: bytes, *rest: Any
) -> Any:
    """Name the resource of calls on ECS tasks and log streams, where MiniStack names the cluster and the log group, and
    of calls on a change of DNS records, where it names none."""
    arn = guess(service, method, path, headers, body, *rest)
    if service == "route53" and (change := _CHANGE.search(path)):
        return f"arn:aws:route53:::change/{change[1]}"
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
    """Add the condition keys that limit the metrics, the events and the DNS records a role may write. MiniStack omits
    them.

    Source: Service Authorization Reference, "Condition keys" of CloudWatch, EventBridge and Route 53.
    """
    context: dict[str, Any] = tags(service, iam_action, body, params)
    if iam_action == "cloudwatch:PutMetricData":
        context["cloudwatch:namespace"] = _namespace(body, params)
    if iam_action == "route53:ChangeResourceRecordSets":
        prefix, text = iam_action.lower(), body.decode()
        # Action and type stand in each change, the name in its record: lower case, without the last dot.
        for key, tag in (("actions", "Action"), ("recordtypes", "Type"), ("normalizedrecordnames", "Name")):
            found = re.findall(rf"<{tag}>([^<]*)</{tag}>", text)
            context[f"{prefix}{key}"] = [each.lower().rstrip(".") for each in found] if tag == "Name" else found
    if iam_action == "events:PutEvents":
        entries = json.loads(body)["Entries"]
        for key, field in (("events:source", "Source"), ("events:detail-type", "DetailType")):
            # AWS asks for each entry. Entries that differ match no single value.
            context[key] = " ".join(sorted({str(entry.get(field)) for entry in entries}))
    return context


def _namespace(body: bytes, params: dict[str, Any]) -> str | None:
    """The namespace in a call's form fields or JSON body. The SDKs send either."""
    if named := params.get("Namespace"):
        return str(named[0] if isinstance(named, list) else named)
    try:
        return str(json.loads(body)["Namespace"])
    except (ValueError, KeyError, TypeError):
        return None
