"""The router of a cut-over: two weighted records of one name in Route 53, ``blue`` and ``green``, as on the platform.

To the release controller the sides are versions: ``old`` and ``new``. The name carries every route, so all functions
have the same version. Weights divide the name's answers, and what the controller asks for by weights of the listener
and shares of the aliases is one state of the two records. It is reached by one change, which Route 53 makes as a whole.

Sources: Route 53's API reference (ChangeResourceRecordSets, GetChange), and in its Developer Guide "Quotas": five calls
a second for an account, "Values specific for weighted records": weights of 0 alone divide evenly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from environments import CutOverSettings
from names import Colour, Function
from pipeline.release.aws import CLIENT_CONFIG, calling
from pipeline.release.ports import Missing
from pipeline.release.traffic import ROUTED, Alias, Move, Traffic, Versions, WeighListener, Weights

if TYPE_CHECKING:
    import boto3

TYPE = "CNAME"
READING_SECONDS = 0.9
"""One reading serves a round of the controller, whose rounds are a second apart at least."""
SPREADING_SECONDS = 10.0
"""The longest that one call waits until all servers of Route 53 answer with a change. The lease lasts longer."""


class Side(StrEnum):
    """The two sides of a cut-over, as the versions of the release controller."""

    OLD = "old"
    NEW = "new"


@dataclass(frozen=True, kw_only=True)
class State:
    """The two records."""

    hosts: Mapping[Colour, str]
    weights: Mapping[Colour, int]
    others: Mapping[str, int]
    """The weights of further records of the same name, by their identifiers."""

    @property
    def divided(self) -> Weights:
        """The weights as Route 53 takes them: if all are 0, every record is answered as often as another."""
        weights = [*self.weights.values(), *self.others.values()]
        even = not any(weights)
        return Weights(
            blue=1 if even else self.weights[Colour.STABLE],
            green=1 if even else self.weights[Colour.CANDIDATE],
            others={name: 1 if even else weight for name, weight in self.others.items()},
        )

    def after(self, move: Move, hosts: Mapping[str, str]) -> State:
        """The state that ``move`` leads to. ``hosts``: those of the sides."""
        if isinstance(move, WeighListener):
            return self._weighed(move.weights.blue, move.weights.green)
        moved = replace(self, hosts={**self.hosts, move.colour: hosts[move.alias.version]})
        if move.colour is Colour.CANDIDATE or move.function not in ROUTED:
            return moved
        for side, percent in move.alias.shares.items():
            divided = replace(moved, hosts={**moved.hosts, Colour.CANDIDATE: hosts[side]})
            return divided._weighed(100 - round(percent), round(percent))
        one_host = len(set(moved.hosts.values())) == 1
        return moved if one_host else moved._weighed(100, 0)

    def _weighed(self, blue: int, green: int) -> State:
        return replace(self, weights={Colour.STABLE: blue, Colour.CANDIDATE: green})


class WeightedRecords:
    """``TrafficRouter`` of the cut-over with these ``settings``."""

    def __init__(
        self, aws: boto3.Session, settings: CutOverSettings, *, now: Callable[[], float], sleep: Callable[[float], None]
    ):
        self._route53 = aws.client("route53", config=CLIENT_CONFIG)
        self._zone, self._name = settings.hosted_zone_id, f"{settings.name}."
        self.hosts: Mapping[str, str] = {Side.OLD: settings.old_host, Side.NEW: settings.new_host}
        self._sides = {host: side for side, host in self.hosts.items()}
        self._now, self._sleep = now, sleep
        self._read_at, self._sets = -READING_SECONDS, dict[str, Any]()
        self._spreading: tuple[str, State] | None = None
        """The id of the last change that is not at all servers yet, and the state that they may still answer with."""

    def read(self) -> Traffic:
        return Traffic(
            listener=self.weights(),
            blue={function: self.alias(function, Colour.STABLE) for function in Function},
            green=self.alias(Function.PROCESSING, Colour.CANDIDATE).version,
        )

    def weights(self) -> Weights:
        return self._answered().divided

    def alias(self, function: Function, colour: Colour) -> Alias:
        state = self._answered()
        version, candidate = self._side(state, colour), self._side(state, Colour.CANDIDATE)
        share = state.divided.percent.get(Colour.CANDIDATE, 0.0)
        if colour is Colour.CANDIDATE or function not in ROUTED or version == candidate or not share:
            return Alias(version=version)
        return Alias(version=version, shares={candidate: round(share, 6)})

    def exists(self, function: Function, version: str) -> bool:
        return version in self.hosts

    def is_closed(self, function: Function, version: str) -> bool:
        return False  # the old system serves clients

    def deployed(self) -> Versions:
        return dict.fromkeys(Function, self._side(self._answered(), Colour.CANDIDATE))

    def make(self, move: Move) -> None:
        before = self._state()
        wanted = before.after(move, self.hosts)
        if wanted != before:
            change = self._change(wanted, str(move))
            self._spreading = change, self._spreading[1] if self._spreading else before
        end = self._now() + SPREADING_SECONDS
        while self._spreads() and self._now() < end:
            self._sleep(1.0)

    def _answered(self) -> State:
        """What every server of Route 53 answers with. While a change spreads: the state before it."""
        state = self._state()
        return self._spreading[1] if self._spreading and self._spreads() else state

    def _spreads(self) -> bool:
        if self._spreading is None:
            return False
        with calling("asking whether the change of the records is everywhere"):
            status = self._route53.get_change(Id=self._spreading[0])["ChangeInfo"]["Status"]
        if status == "INSYNC":
            self._spreading = None
        return self._spreading is not None

    def _side(self, state: State, colour: Colour) -> str:
        host = state.hosts[colour]
        return self._sides.get(host, host)

    def _state(self) -> State:
        sets = self._record_sets()
        ours = {colour: sets[colour] for colour in Colour if colour in sets}
        if len(ours) < len(Colour):
            lacks = ", ".join(colour for colour in Colour if colour not in ours)
            raise Missing(
                f"{self._name} has no weighted record {lacks}: `python -m migration cutover prepare` makes it"
            )
        return State(
            hosts={colour: _host(each) for colour, each in ours.items()},
            weights={colour: each["Weight"] for colour, each in ours.items()},
            others={name: each.get("Weight", 1) for name, each in sets.items() if name not in ours},
        )

    def _record_sets(self) -> Mapping[str, Any]:
        if self._now() - self._read_at >= READING_SECONDS:
            with calling(f"reading the records of {self._name}"):
                found = self._route53.list_resource_record_sets(
                    HostedZoneId=self._zone, StartRecordName=self._name, StartRecordType=TYPE, MaxItems="100"
                )["ResourceRecordSets"]
            ours = (each for each in found if each["Name"] == self._name and each["Type"] == TYPE)
            self._sets = {each.get("SetIdentifier", "a simple record"): each for each in ours}
            self._read_at = self._now()
        return self._sets

    def _change(self, wanted: State, what: str) -> str:
        """Write both records. Returns the id of the change.

        Always both: a call that arrives late, when another controller has moved on, then sets a whole state. One record
        alone could leave two weights of 0, by which Route 53 divides evenly.
        """
        checks = self._health_checks() if all(wanted.weights.values()) else {}
        changes: list[Any] = []
        for colour in Colour:
            host = wanted.hosts[colour]
            record = {key: value for key, value in self._sets[colour].items() if key != "HealthCheckId"}
            record |= {"Weight": wanted.weights[colour], "ResourceRecords": [{"Value": host}]}
            if mine := checks.get(health_check_reference(self._name.rstrip("."), host)):
                record["HealthCheckId"] = mine
            changes.append({"Action": "UPSERT", "ResourceRecordSet": record})
        self._read_at = self._now() - READING_SECONDS
        with calling(f"changing the records of {self._name}: {what}"):
            answer = self._route53.change_resource_record_sets(
                HostedZoneId=self._zone, ChangeBatch={"Comment": what, "Changes": changes}
            )
        return str(answer["ChangeInfo"]["Id"]).rpartition("/")[2]

    def _health_checks(self) -> Mapping[str, str]:
        """By reference. Records have them only while clients are divided: if all records with a weight are unwell,
        Route 53 answers with those of weight 0, and clients would move although no step has moved them."""
        with calling("finding the health checks"):
            pages = self._route53.get_paginator("list_health_checks").paginate()
            return {check["CallerReference"]: check["Id"] for page in pages for check in page["HealthChecks"]}


def _host(record: Mapping[str, Any]) -> str:
    [value] = record.get("ResourceRecords") or [{"Value": "an alias record"}]
    return str(value["Value"]).rstrip(".")


def health_check_reference(name: str, host: str) -> str:
    """The caller reference by which the health check of a side is found: at most 64 characters."""
    return hashlib.sha256(f"{name} {host}".encode()).hexdigest()[:32]
