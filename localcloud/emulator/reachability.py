"""Enforce the VPC where a connection is made: functions to the database and to AWS, a VPC link to its load balancer.

A refused connection fails as a lost packet does: nobody answers. The emulator's log says which rule or route is
missing. An admission holds for ``DECISION_SECONDS``, so that a request pays for a look into a dictionary only.

A load balancer invokes a function by Lambda's API, so no rule stands between the two (Elastic Load Balancing User
Guide, "Use Lambda functions as targets"). Tasks of ECS and persons on this machine are not held to the VPC.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psutil
from ministack.core import lambda_runtime
from ministack.core.responses import request_scope
from ministack.services import ec2, lambda_svc, rds

from localcloud.emulator.network import AWS_SERVICE, Peer, Routes, refusal
from localcloud.emulator.own_api import settings
from localcloud.emulator.upstream import Function, replaces

logger = logging.getLogger(__name__)

DECISION_SECONDS = 1.0
CONNECT_SECONDS = 5.0
"""A caller of AWS without a way gets an error after this, if it still waits. On AWS it would wait for its own limit."""

HTTPS = 443
VPC_PORT = "_vpc_port"
"""Where a cluster's record keeps the port that the template gives it. ``Port`` is the server's port on this machine."""

_CREDENTIAL = re.compile(rb"Credential=([^/]+)/\d+/[^/]+/([^/]+)/")


@dataclass(frozen=True)
class Interface:
    """The network interfaces of a function or a VPC link. ``owner``: for messages."""

    owner: str
    subnet_ids: tuple[str, ...]
    group_ids: tuple[str, ...]

    @classmethod
    def of_function(cls, config: Mapping[str, Any]) -> "Interface | None":
        """``None`` for a function outside of any VPC."""
        network = config.get("VpcConfig") or {}
        if not network.get("SubnetIds"):
            return None
        owner = f"function {config['FunctionName']}"
        return cls(owner, tuple(network["SubnetIds"]), tuple(network["SecurityGroupIds"]))


_callers: dict[str, Interface] = {}
"""The functions in a VPC, by the access key of their role's session."""


@replaces(lambda_runtime, "execution_credentials", lambda_svc)
def execution_credentials(issue: Function, config: dict[str, Any]) -> dict[str, str]:
    credentials: dict[str, str] = issue(config)
    interface = Interface.of_function(config)
    if interface is None:
        _callers.pop(credentials["AWS_ACCESS_KEY_ID"], None)
    else:
        _callers[credentials["AWS_ACCESS_KEY_ID"]] = interface
    return credentials


_decisions: dict[tuple[Interface, str], tuple[float, str | None]] = {}
"""When each was made, and why the connection is refused."""


def _decided(client: Interface, target: str, missing: Callable[[], str | None]) -> str | None:
    """Why the connection is refused. Only an admission is used again: a deployment may use a rule that it has added."""
    now = time.monotonic()
    made, reason = _decisions.get((client, target), (-DECISION_SECONDS, None))
    is_old = now - made >= DECISION_SECONDS
    if reason is None and not is_old:
        return None
    with request_scope(settings().account, settings().region):
        lacks = missing()
    reason = f"{client.owner} can't reach {target}: {lacks}" if lacks else None
    if reason is None or is_old:
        _decisions[client, target] = (now, reason)
        if reason:
            logger.warning("network: %s", reason)
    return reason


def _peer(subnet_ids: Iterable[str], group_ids: Iterable[str]) -> Peer:
    return Peer(
        groups=[ec2._security_groups[each] for each in group_ids if each in ec2._security_groups],
        networks=[ec2._subnets[each]["CidrBlock"] for each in subnet_ids],
    )


def refusal_of_service(caller: Interface, service: str) -> str | None:
    """Why ``caller`` can't reach a service of AWS, such as ``s3``; ``None`` when it can."""

    def missing() -> str | None:
        rule = refusal(_peer(caller.subnet_ids, caller.group_ids), AWS_SERVICE, HTTPS)
        if rule:
            return rule
        routes = Routes(
            list(ec2._route_tables.values()), list(ec2._vpc_endpoints.values()), list(ec2._nat_gateways.values())
        )
        return next(filter(None, (routes.missing(ec2._subnets[each], service) for each in caller.subnet_ids)), None)

    return _decided(caller, service, missing)


def refusal_of_load_balancer(link: Interface, balancer: Mapping[str, Any], port: int) -> str | None:
    """Why the VPC link can't reach the load balancer; ``None`` when it can."""
    return _decided(
        link,
        f"{balancer['LoadBalancerArn']} on port {port}",
        lambda: refusal(
            _peer(link.subnet_ids, link.group_ids), _peer(balancer["Subnets"], balancer["SecurityGroups"]), port
        ),
    )


def database_admits(client_port: int) -> bool:
    """Whether the connection from this local port may reach the database.

    Only functions can be refused. Only while one is refused, its processes are asked whether the connection is theirs.
    """
    with lambda_runtime._lock:
        workers = [worker for pool in lambda_runtime._workers.values() for worker in pool]
    refused = [worker for worker in workers if _refusal_of_database(worker.config)]
    return not any(client_port in _local_ports(worker) for worker in refused)


def _refusal_of_database(config: Mapping[str, Any]) -> str | None:
    function = Interface.of_function(config) or Interface(f"function {config['FunctionName']}", (), ())

    def missing() -> str | None:
        """Any cluster may be meant: all of them are one server."""
        if not function.subnet_ids:
            return "it is in no VPC"
        client = _peer(function.subnet_ids, function.group_ids)
        reasons = [refusal(client, _cluster_peer(each), each[VPC_PORT]) for each in rds._clusters.values()]
        return None if None in reasons else next(iter(reasons), None)

    return _decided(function, "the database", missing)


def _cluster_peer(cluster: Mapping[str, Any]) -> Peer:
    subnets = rds._subnet_groups[cluster["DBSubnetGroup"]]["Subnets"]
    return _peer(
        [each["SubnetIdentifier"] for each in subnets],
        [each["VpcSecurityGroupId"] for each in cluster["VpcSecurityGroups"]],
    )


def _local_ports(worker: Any) -> set[int]:
    try:
        connections = psutil.Process(worker._proc.pid).net_connections("tcp4")
    except (AttributeError, psutil.Error):  # it has not started, or has ended
        return set()
    return {connection.laddr.port for connection in connections}


def enforced(app: Function) -> Function:
    """The ASGI application ``app``, which the functions in a VPC reach only if their VPC has a way to the service."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        reason = _refusal_of_request(scope) if scope["type"] == "http" else None
        if reason is None:
            await app(scope, receive, send)
        else:
            await _lose(reason, receive, send)

    return serve


def _refusal_of_request(scope: Mapping[str, Any]) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            signed = _CREDENTIAL.search(value)
            caller = _callers.get(signed[1].decode()) if signed else None
            return refusal_of_service(caller, signed[2].decode()) if signed and caller else None
    return None


async def _lose(reason: str, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        await send({"type": "http.response.start", "status": 504, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": reason.encode()})
