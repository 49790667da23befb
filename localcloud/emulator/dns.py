"""Route 53 answers: a name server on loopback, by the weights and health checks of the records.

MiniStack keeps the records, and answers no name. Here a program that resolves gets the target of a ``CNAME``, which
stands for the address and port that ``host`` has given it. Not emulated: other record types and routing policies, the
time until a change is at all servers, checkers in several regions, other health checks than those of TCP.

Sources: Route 53's Developer Guide, "How Route 53 chooses records when health checking is configured", "Values
specific for weighted records".
"""

import random
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from ministack.core.responses import set_request_account_id
from ministack.services import route53

from localcloud.dns_messages import CNAME, Answer, answer, read_question
from localcloud.emulator.control import command
from localcloud.emulator.own_api import settings
from localcloud.emulator.upstream import Function, original, replaces
from localcloud.settings import TIME_SCALE

CONNECT_SECONDS = 0.5
LONGEST_MESSAGE = 512
"""Of a message by UDP, in bytes (RFC 1035, 4.2.1)."""

original(route53, "_parse_record_set")  # the shape of the records that are read here

Record = Mapping[str, Any]


def pick(records: Sequence[Record], healthy: Mapping[str, bool], draw: float) -> Record:
    """The record that is answered, for a ``draw`` from [0, 1).

    A record of weight 0 is answered if no other is healthy. If none is, all are taken for healthy. Weights of 0 alone
    divide evenly.
    """
    well = [record for record in records if healthy.get(record.get("HealthCheckId", ""), True)] or records
    weighted = [record for record in well if record.get("Weight")]
    choice = weighted or well
    weights = [record.get("Weight") or 1 for record in choice]
    left = draw * sum(weights)
    for record, weight in zip(choice, weights, strict=True):
        left -= weight
        if left < 0:
            return record
    return choice[-1]


class NameServer:
    """Answers by UDP on a free port of loopback, from its first use until the process ends."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._hosts: dict[str, tuple[str, int]] = {}
        self._failures: dict[str, int] = {}
        """For each health check, how often in a row nothing took the connection."""
        self._draw = random.random

    def start(self) -> tuple[str, int]:
        """Its address and port."""
        if self._socket is None:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.bind(("127.0.0.1", 0))
            for work in (partial(self._serve, self._socket), self._check):
                threading.Thread(target=work, daemon=True, name="name server").start()
        address: tuple[str, int] = self._socket.getsockname()
        return address

    def place(self, name: str, address: str, port: int) -> None:
        """Connections to port 443 of ``name`` reach ``address`` and ``port``."""
        self._hosts[name] = (address, port)

    def resolve(self, name: str) -> Answer:
        """Where the records of this account lead ``name``."""
        records = [
            record
            for records in route53._records.values()
            for record in records
            if record["Name"] == f"{name}." and record["Type"] == "CNAME"
        ]
        if not records:
            return Answer(target=None)
        record = pick(records, self._healthy(), self._draw())
        value = str(record["ResourceRecords"][0]).rstrip(".")
        return Answer(target=value, ttl=int(record["TTL"]))

    def _healthy(self) -> dict[str, bool]:
        limits = {id: check["config"] for id, check in route53._health_checks.items()}
        return {
            id: self._failures.get(id, 0) < int(config.get("FailureThreshold") or 3) for id, config in limits.items()
        }

    def _serve(self, listening: socket.socket) -> None:
        set_request_account_id(settings().account)
        while True:
            message, sender = listening.recvfrom(LONGEST_MESSAGE)
            with suppress(ValueError, OSError):  # what is no question gets no answer
                asked = read_question(message)
                found = self.resolve(asked.name) if asked.type == CNAME else Answer(target=None)
                listening.sendto(answer(asked, found), sender)

    def _check(self) -> None:
        """Test the connections of all health checks, again and again, in the local cloud's time."""
        set_request_account_id(settings().account)
        pause = threading.Event()
        while True:
            checks = {id: check["config"] for id, check in list(route53._health_checks.items())}
            for id, config in checks.items():
                self._failures[id] = 0 if self._connects(config) else self._failures.get(id, 0) + 1
            pause.wait(min([float(c.get("RequestInterval") or 30) for c in checks.values()], default=30.0) * TIME_SCALE)

    def _connects(self, config: Mapping[str, Any]) -> bool:
        place = self._hosts.get(str(config.get("FullyQualifiedDomainName")))
        if place is None:
            return True  # nothing is known of it
        try:
            socket.create_connection(place, timeout=CONNECT_SECONDS).close()
        except OSError:
            return False
        return True


server = NameServer()


@command
def name_server() -> dict[str, Any]:
    """Start the name server, and say where it is."""
    address, port = server.start()
    return {"address": address, "port": port}


@command
def host(name: str, address: str, port: int) -> dict[str, Any]:
    """Say where port 443 of a host is."""
    server.place(name, address, port)
    return {}


@replaces(route53, "_change_resource_record_sets")
def change_records(change: Function, zone_id: str, body: bytes) -> Any:
    """Refuse what the DNS forbids and MiniStack takes: a simple record beside weighted ones, another type beside a
    ``CNAME``, and weights beyond 255."""
    before = list(route53._records.get(zone_id) or [])
    changed = change(zone_id, body)
    if changed[0] == 200 and (fault := _fault(route53._records[zone_id])):
        route53._records[zone_id] = before
        return route53._error_response("InvalidChangeBatch", fault)
    return changed


def _fault(records: Sequence[Record]) -> str | None:
    by_name: dict[str, list[Record]] = {}
    for record in records:
        by_name.setdefault(record["Name"], []).append(record)
    for name, ours in by_name.items():
        types = {record["Type"] for record in ours}
        if "CNAME" in types and len(types) > 1:
            return f"RRSet of type CNAME with DNS name {name} is not permitted as it conflicts with other records"
        for type in types:
            weighted = ["Weight" in record for record in ours if record["Type"] == type]
            if any(weighted) and not all(weighted):
                return f"RRSet with DNS name {name}, type {type} cannot be created as a non-weighted set exists"
        if any(not 0 <= int(record.get("Weight") or 0) <= 255 for record in ours):
            return f"Invalid weight of a record set with DNS name {name}"
    return None
