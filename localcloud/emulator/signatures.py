"""The scope of a signature (Signature Version 4) must be that of the call: its service, and the region of its host.

A signature is valid for one day, region and service. MiniStack checks the day, and takes region and service from the
signature. The endpoint of a local cloud serves every region, so the region is checked where a host name states it.
Source of the messages: IAM User Guide, "Troubleshoot Signature Version 4 signing for AWS API requests".
"""

import re
from typing import Any

from ministack.core import iam_actions, iam_evaluator, router, sigv4
from ministack.core.iam_evaluator import AuthError

from localcloud.emulator.upstream import Function, original, replaces

_REGION_OF_HOST = re.compile(r"\.execute-api\.([a-z0-9-]+)\.amazonaws\.com(?::\d+)?$")

original(sigv4, "parse_header_signature")
original(router, "detect_service")


def scope_failure(region: str, service: str, *, of_host: str | None, of_call: str) -> str | None:
    """What is wrong with a scope. ``of_host``: region that the host name states; ``of_call``: the call's service."""
    if of_host is not None and region != of_host:
        return f"Credential should be scoped to a valid Region, not '{region}'. "
    if service != of_call:
        return f"Credential should be scoped to correct service: '{of_call}'. "
    return None


def _refused(service: str, iam_action: str) -> AuthError | None:
    request = iam_evaluator._signed_request.get()
    if request is None or request.unverifiable or request.sigv2 or request.s3_scoped:
        return None
    if request.presigned:
        signature = sigv4.parse_query_signature(request.query_params)
    else:
        signature = sigv4.parse_header_signature(request.headers)
    if isinstance(signature, tuple) or signature.region_set is not None:
        return None
    host = _REGION_OF_HOST.search(request.headers.get("host", ""))
    failure = scope_failure(
        signature.region,
        signature.service,
        of_host=host[1] if host else None,
        of_call=_expected_service(signature.service, service, iam_action),
    )
    return AuthError("SignatureDoesNotMatch", failure) if failure else None


def _expected_service(signed: str, service: str, iam_action: str) -> str:
    """The name by which a call's service signs: ``signed`` itself, if MiniStack leads that name to the same service."""
    if iam_action.startswith("execute-api:"):
        return "execute-api"
    scope = {"authorization": f"AWS4-HMAC-SHA256 Credential=key/date/region/{signed}/aws4_request"}
    leads_to = router.detect_service("POST", "/", scope, {})
    same = leads_to == service or _namespace(leads_to) == _namespace(service)
    return signed if same else _namespace(service)


def _namespace(service: str) -> str:
    return str(iam_actions.SERVICE_TO_IAM_NAMESPACE.get(service, service))


@replaces(iam_evaluator, "enforce")
def enforce(check: Function, access_key_id: str, iam_action: str, service: str, *args: Any, **kwargs: Any) -> Any:
    return _refused(service, iam_action) or check(access_key_id, iam_action, service, *args, **kwargs)


@replaces(iam_evaluator, "check_credentials")
def check_credentials(check: Function, access_key_id: str, service: str | None = None) -> Any:
    return (_refused(service, "") if service else None) or check(access_key_id, service)
