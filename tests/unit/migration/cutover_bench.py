"""A cut-over on the fake AWS: the state of the fake's blue and green is that of two records in a fake Route 53."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from environments import CutOverSettings, environment
from migration import cutover
from migration.gate import Check, Gate
from migration.weighted_records import Side, WeightedRecords, health_check_reference
from names import Colour
from pipeline.release.plan import Plan
from pipeline.release.ports import TrafficRouter
from tests.unit.pipeline.release.bench import PLAN, Bench
from tests.unit.pipeline.release.fake_aws import FUNCTIONS, OUTPUTS, PROCESSING, Behaviour, FakeAws, refused

SETTINGS = CutOverSettings(
    hosted_zone_id="Z123",
    name="payments.example.com",
    old_host="old.example.com",
    new_host="new.example.com",
    ttl_seconds=30,
)


def host(version: str) -> str:
    return f"{version}.example.com"


class FakeRoute53(FakeAws):
    """A record leads to the host of the version that its colour's alias has here."""

    def __init__(self, *, stable: str, candidate: str) -> None:
        super().__init__(stable=stable, candidate=candidate)
        self.alarms = {"payment-api-errors-dev": "OK", "payment-api-latency-dev": "OK", "api-errors": "OK"} | {
            name: "OK" for name in self.alarms
        }
        self.spreads_until = 0.0
        """Until then a change is not at all servers, in seconds of ``clock``."""
        self.spreads_for = 0.0
        self.clock: Any = None
        self.simple: list[dict[str, Any]] | None = None
        """The records instead of the two weighted ones."""
        self.checks: list[dict[str, Any]] = []
        self.batches: list[Any] = []
        self.led_by: dict[str, str] = {}
        """The health check of each record."""

    def shares(self) -> dict[str, dict[str, float]]:
        total = sum(self.weights.values()) or 1
        shares: dict[str, float] = {}
        for colour, weight in self.weights.items():
            version = self.aliases[PROCESSING, colour][0]
            shares[version] = shares.get(version, 0) + weight / total
        return {function: {v: share for v, share in shares.items() if share} for function in FUNCTIONS}

    def _metric(self, stat: Any, seconds: float, shares: dict[str, dict[str, float]]) -> float:
        """Of a side, or, in the random tests, of a version of a function by any of its aliases."""
        dimensions = {d["Name"]: d["Value"] for d in stat["Metric"]["Dimensions"]}
        if "Resource" in dimensions and "FunctionName" in dimensions:
            return super()._metric(stat, seconds, shares)
        if "FunctionVersion" in dimensions:
            return super()._metric(stat, seconds, shares)
        side = Side.NEW if "ApiName" in dimensions else Side.OLD
        behaviour = self.behaviour.get(side, Behaviour())
        requests = round(self.requests_per_second * seconds * shares[PROCESSING].get(side, 0.0))
        match stat["Metric"]["MetricName"]:
            case "Requests" | "Count":
                return requests
            case "Errors" | "5XXError":
                return round(requests * behaviour.errors)
            case _:
                low, _, high = stat["Stat"][3:-1].partition(":")
                return requests if float(low or 0) < behaviour.milliseconds <= float(high or "inf") else 0

    def key_of(self, item: Any) -> str:
        """The platform's own releases are beside those of the cut-over."""
        of_the_platform = item["environment"]["S"] == "dev"
        return f"{'platform ' if of_the_platform else ''}{super().key_of(item)}"

    def record_sets(self) -> list[dict[str, Any]]:
        if self.simple is not None:
            return self.simple
        return [
            {
                "Name": f"{SETTINGS.name}.",
                "Type": "CNAME",
                "SetIdentifier": str(colour),
                "Weight": self.weights[colour],
                "TTL": SETTINGS.ttl_seconds,
                "ResourceRecords": [{"Value": host(self.aliases[PROCESSING, colour][0])}],
                **({"HealthCheckId": self.led_by[colour]} if colour in self.led_by else {}),
            }
            for colour in Colour
        ]

    def list_resource_record_sets(self, *, HostedZoneId: str, StartRecordName: str, **_: Any) -> Any:
        assert (HostedZoneId, StartRecordName) == ("Z123", "payments.example.com.")
        return self._called("ListResourceRecordSets", lambda: {"ResourceRecordSets": self.record_sets()})

    def change_resource_record_sets(self, *, HostedZoneId: str, ChangeBatch: Any) -> Any:
        assert HostedZoneId == "Z123"

        def change() -> Any:
            self.batches.append(ChangeBatch["Changes"])
            for each in ChangeBatch["Changes"]:
                record = each["ResourceRecordSet"]
                if each["Action"] == "DELETE":
                    continue
                colour, [value] = record["SetIdentifier"], record["ResourceRecords"]
                self.simple = None
                self.weights[colour] = record["Weight"]
                for function in FUNCTIONS:
                    self.aliases[function, colour] = (value["Value"].partition(".")[0], {})
                self.led_by[colour] = record.get("HealthCheckId", "none")
            if self.clock is not None:
                self.spreads_until = self.clock.time + self.spreads_for
            return {"ChangeInfo": {"Id": f"/change/C{len(self.batches)}", "Status": "PENDING"}}

        return self._called("ChangeResourceRecordSets", change)

    def get_change(self, *, Id: str) -> Any:
        assert Id.startswith("C")
        spreads = self.clock is not None and self.clock.time < self.spreads_until
        return self._called("GetChange", lambda: {"ChangeInfo": {"Status": "PENDING" if spreads else "INSYNC"}})

    def create_health_check(self, *, CallerReference: str, HealthCheckConfig: Any) -> Any:
        def create() -> Any:
            if any(check["CallerReference"] == CallerReference for check in self.checks):
                raise refused("CreateHealthCheck", "HealthCheckAlreadyExists")
            check = {"Id": f"check-{len(self.checks)}", "CallerReference": CallerReference, **HealthCheckConfig}
            self.checks.append(check)
            return {"HealthCheck": check}

        return self._called("CreateHealthCheck", create)

    def check_of(self, address: str) -> str:
        reference = health_check_reference(SETTINGS.name, address)
        return next(check["Id"] for check in self.checks if check["CallerReference"] == reference)

    def get_paginator(self, operation: str) -> Any:
        if operation != "list_health_checks":
            return super().get_paginator(operation)

        def pages() -> Iterator[Any]:
            yield self._called("ListHealthChecks", lambda: {"HealthChecks": self.checks})

        return SimpleNamespace(paginate=pages)


class RecordsBench(Bench):
    """The environment of the release tests, whose versions are reached by two records: for the random tests."""

    def __init__(self, *, stable: str = "1", candidate: str = "2", plan: Plan = PLAN) -> None:
        super().__init__(stable=stable, candidate=candidate, plan=plan)
        self.aws = FakeRoute53(stable=stable, candidate=candidate)

    def router(self) -> TrafficRouter:
        aws: Any = self.aws
        router = WeightedRecords(aws, SETTINGS, now=self.clock.now, sleep=lambda seconds: None)
        router.hosts = {str(number): host(str(number)) for number in range(1, 200)}
        router._sides = {address: side for side, address in router.hosts.items()}
        return router


class CutOverBench(Bench):
    """A cut-over of dev, as the command line opens it."""

    def __init__(self, *, plan: Plan | None = None, checks: Sequence[Check] = ()) -> None:
        super().__init__(plan=plan or Plan.of(SETTINGS.release))
        self.route53 = FakeRoute53(stable="old", candidate="new")
        self.aws, self.route53.clock = self.route53, self.clock
        self.checks = checks
        self.frozen = True

    def controller(
        self,
        holder: str = "ann",
        *,
        override: str | None = None,
        dry_run: bool = False,
        reason: str | None = None,
    ) -> cutover.CutOver:
        aws: Any = self.aws
        commands = cutover.cut_over(
            aws,
            environment("dev"),
            SETTINGS,
            OUTPUTS,
            clock=self.clock,
            who=holder,
            tell=self.messages.append,
            checks=self.checks,
            arguments=argparse.Namespace(reason=reason, override=override, dry_run=dry_run),
        )
        gate = commands.world.announcer
        assert isinstance(gate, Gate)
        gate.start = lambda run: run()
        metrics: Any = commands.world.metrics
        metrics._timing = self.timing
        return replace(commands, plan=self.plan)
