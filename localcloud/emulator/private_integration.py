"""The private integration of a REST API: mapped headers, VPC link, and TLS to the load balancer.

The request stays inside the emulator. What API Gateway checks on the way is checked here: that the link exists, that
the target is a load balancer that the link reaches, and that the listener's certificate suits the host name of the
integration's URI. Where the link's packets are lost, the client gets its 504 at once, and not after the timeout.
"""

import functools
import logging
import re
import urllib.parse
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from ministack import app
from ministack.core.responses import new_uuid
from ministack.services import acm, alb, apigateway_v1
from ministack.services.cloudformation import provisioners

from localcloud.emulator.calls import current_call
from localcloud.emulator.reachability import Interface, refusal_of_load_balancer
from localcloud.emulator.upstream import Function, replaces

logger = logging.getLogger(__name__)

links: dict[str, Interface] = {}
"""The network interfaces of the VPC links that exist, by the link's id."""


class NotReachable(Exception):
    """API Gateway can't reach the load balancer. Clients get 500; the message is for the emulator's log."""


@replaces(apigateway_v1, "_invoke_http_proxy_v1")
async def invoke_http_proxy(
    invoke: Function,
    integration: Any,
    path: str,
    method: str,
    headers: Any,
    body: bytes,
    query: Any,
    path_params: Any = None,
) -> Any:
    call = current_call.get()
    identity = apigateway_v1._iam_caller_identity(headers, query) or {}
    context = {f"context.identity.{name}": str(value) for name, value in identity.items() if value}
    context["context.requestId"] = new_uuid()
    headers = with_mapped_headers(headers, integration.get("requestParameters") or {}, call.variables, context)
    uri = call.with_variables(integration.get("uri", ""))
    if integration.get("connectionType") != "VPC_LINK":
        if _internal_load_balancer(urllib.parse.urlsplit(uri).hostname or ""):
            return _failure(f"{uri} is an internal load balancer: only a VPC link reaches it")
        return await invoke({**integration, "uri": uri}, path, method, headers, body, query, path_params)
    target = urllib.parse.urlsplit(uri)
    port = target.port or (443 if target.scheme == "https" else 80)
    try:
        link = call.with_variables(integration.get("connectionId") or "")
        balancer = _balancer_behind(link, integration)
        if refusal_of_load_balancer(links[link], balancer, port):
            return apigateway_v1._gw_error("INTEGRATION_TIMEOUT", "Endpoint request timed out")
        if target.scheme == "https":
            verified = not provisioners._cfn_bool((integration.get("tlsConfig") or {}).get("insecureSkipVerification"))
            check_certificate(_certificate(balancer, port), target.hostname or "", verified=verified)
    except NotReachable as error:
        return _failure(f"{method} {path}: {error}")
    headers["host"] = target.netloc
    return await alb.dispatch_request(
        balancer, method, target.path or "/", headers, body, query, port, raw_path=target.path or "/"
    )


def _failure(reason: str) -> Any:
    logger.warning("API Gateway: execution failed due to configuration error: %s", reason)
    return apigateway_v1._gw_error("API_CONFIGURATION_ERROR", "Internal server error")


def _balancer_behind(link: str, integration: Mapping[str, Any]) -> Any:
    if link not in links:
        raise NotReachable(f"there is no VPC link {link!r}")
    balancer = alb._lbs.get(integration.get("integrationTarget"))
    if balancer is None:
        raise NotReachable(f"there is no load balancer {integration.get('integrationTarget')!r}")
    return balancer


def _certificate(balancer: Mapping[str, Any], port: int) -> Mapping[str, Any]:
    arn = balancer["LoadBalancerArn"]
    for listener in alb._listeners.values():
        if listener["LoadBalancerArn"] == arn and listener.get("Port") == port:
            if certificates := listener.get("Certificates"):
                first = certificates[0]
                held = acm._certificates.get(first["CertificateArn"] if isinstance(first, dict) else first)
                if held is not None:
                    return held  # type: ignore[no-any-return]
            raise NotReachable(f"the listener on port {port} has no certificate")
    raise NotReachable(f"{arn} has no listener on port {port}")


def check_certificate(certificate: Mapping[str, Any], host: str, *, verified: bool) -> None:
    """Check dates and host name, and the authority if ``verified``: as ``insecureSkipVerification`` is documented.

    ``certificate``: ACM's record of it. One that ACM issued has a public authority; an imported one counts as private.
    Raises ``NotReachable``.
    """
    issued_by_acm = certificate["Type"] == "AMAZON_ISSUED"
    if verified and not issued_by_acm:
        raise NotReachable(f"no public authority signed the certificate of {host}")
    if issued_by_acm:
        names = tuple(certificate["SubjectAlternativeNames"])
    else:
        names, begins, ends = _parsed(certificate["_pem_body"])
        if not begins <= datetime.now(UTC) <= ends:
            raise NotReachable(f"the certificate of {host} is valid from {begins} to {ends}")
    if not any(_names(name, host) for name in names):
        raise NotReachable(f"the listener's certificate is for {', '.join(names)}, not for {host}")


def _names(pattern: str, host: str) -> bool:
    return pattern == host or (pattern.startswith("*.") and pattern[2:] == host.partition(".")[2])


@functools.lru_cache(maxsize=16)
def _parsed(pem: str | bytes) -> tuple[tuple[str, ...], datetime, datetime]:
    found = x509.load_pem_x509_certificate(pem.encode() if isinstance(pem, str) else pem)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(names.get_values_for_type(x509.DNSName)), found.not_valid_before_utc, found.not_valid_after_utc


def _internal_load_balancer(host: str) -> Any:
    balancer = alb.find_lb_for_host(host)
    return balancer if balancer and balancer["Scheme"] == "internal" else None


@replaces(app, "_handle_alb_request")
async def handle_alb_request(handle: Function, host: str, path: str, *args: Any, **kwargs: Any) -> Any:
    """Nothing outside its VPC reaches an internal load balancer. On AWS a connection from there times out."""
    named = re.match(rf"{re.escape(app._ALB_PATH_PREFIX)}([^/]+)", path)
    balancer = _internal_load_balancer(host) or (alb._find_lb_by_name(named[1]) if named else None)
    if balancer and balancer["Scheme"] == "internal":
        message = f"{balancer['LoadBalancerName']} is internal: nothing outside its VPC reaches it"
        return 403, {"Content-Type": "text/plain"}, message.encode()
    return await handle(host, path, *args, **kwargs)


def with_mapped_headers(
    headers: Mapping[str, str], parameters: Mapping[str, str], variables: Mapping[str, str], context: Mapping[str, str]
) -> dict[str, str]:
    """The request's headers after an integration's mapping. A mapped header replaces the client's header of that name.

    A source is a quoted constant, a stage variable, a header, the request's id or the request's caller. Raises
    ``ValueError`` for any other source.
    """
    mapped = {name.lower(): value for name, value in headers.items()}
    for destination, source in parameters.items():
        if not destination.startswith("integration.request.header."):
            continue
        name = destination.removeprefix("integration.request.header.").lower()
        mapped.pop(name, None)
        if source.startswith("'"):
            mapped[name] = source.strip("'")
        elif source.startswith("stageVariables."):
            if (value := variables.get(source.removeprefix("stageVariables."))) is not None:
                mapped[name] = value
        elif source == "context.requestId" or source.startswith("context.identity."):
            if source in context:
                mapped[name] = context[source]
        elif source.startswith("method.request.header."):
            wanted = source.removeprefix("method.request.header.").lower()
            if (value := next((v for k, v in headers.items() if k.lower() == wanted), None)) is not None:
                mapped[name] = value
        else:
            raise ValueError(f"request parameter {destination}: the local cloud can't map {source!r}")
    return mapped
