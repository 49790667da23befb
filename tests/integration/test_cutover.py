"""A cut-over on the local cloud: real records in Route 53, real answers of a name server, clients that follow them."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from environments import CutOverSettings, ReleaseSettings, StepSettings
from localcloud.settings import TIME_SCALE
from migration import __main__ as command_line
from migration import cutover
from migration.gate import CheckResult
from names import OLD_SYSTEM_METRICS, Function
from pipeline.release.analysis import AnalysisVerdict
from pipeline.release.clock import SystemClock
from tests.integration.conftest import Platform
from tests.integration.releases import eventually_quiet
from tests.resolver import Resolver

OLD, NEW, NAME = "old.rehearsal.test", "new.rehearsal.test", "payments.rehearsal.test"
CLIENTS, REQUESTS_A_SECOND = 8, 2.5
"""How many clients there are, and how many payments each makes."""
OLD_MILLISECONDS = 4000.0
"""The old system is slower than the platform on any machine: speed is not what this test is about."""
ALARMS = [f"payment-{alarm}-dev" for alarm in cutover.ALARMS]


class Clients:
    """Merchants that resolve the name before each payment, and remember the answer for its time to live."""

    def __init__(self, platform: Platform, server: tuple[str, int]) -> None:
        self._api, self._cloudwatch = platform.api(), platform.client("cloudwatch")
        self._server, self._over = server, threading.Event()
        self.reached: list[tuple[float, str]] = []
        """When each payment was made, and by whom."""
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._pay) for _ in range(CLIENTS)]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def since(self, at: float) -> Counter[str]:
        return Counter(host for when, host in self.reached if when >= at)

    def _pay(self) -> None:
        # The local cloud's time: a minute is a second.
        resolver = Resolver(self._server, now=lambda: time.monotonic() / TIME_SCALE)
        while not self._over.wait(1 / REQUESTS_A_SECOND):
            try:
                host = resolver.resolve(NAME)
                if host == NEW:
                    reply = self._api.pay(Function.PROCESSING.path)
                    assert reply.status == 201, reply.text
                else:
                    self._old_system_pays()
                self.reached.append((time.time(), host))
            except Exception as error:
                self.failures.append(repr(error))

    def _old_system_pays(self) -> None:
        values = {"Requests": (1.0, "Count"), "Errors": (0.0, "Count"), "Latency": (OLD_MILLISECONDS, "Milliseconds")}
        self._cloudwatch.put_metric_data(
            Namespace=OLD_SYSTEM_METRICS,
            MetricData=[
                {
                    "MetricName": name,
                    "Dimensions": [{"Name": "Environment", "Value": "dev"}],
                    "Value": value,
                    "Unit": unit,
                }
                for name, (value, unit) in values.items()
            ],
        )


@pytest.fixture
def zone(platform: Platform) -> Iterator[str]:
    """A zone in which the name leads to the old system."""
    route53 = platform.client("route53")
    zone = route53.create_hosted_zone(Name="rehearsal.test", CallerReference=str(time.time()))["HostedZone"]["Id"]
    record = {"Name": NAME, "Type": "CNAME", "TTL": 10, "ResourceRecords": [{"Value": OLD}]}
    route53.change_resource_record_sets(
        HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
    )
    yield zone.rpartition("/")[2]
    records = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    changes = [{"Action": "DELETE", "ResourceRecordSet": each} for each in records if each["Type"] == "CNAME"]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    route53.delete_hosted_zone(Id=zone)


@pytest.fixture
def commands(platform: Platform, zone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The commands of the cut-over, in a quiet environment whose releases are frozen."""
    settings = CutOverSettings(
        hosted_zone_id=zone,
        name=NAME,
        old_host=OLD,
        new_host=NEW,
        ttl_seconds=10,
        checks=("verify",),
        release=ReleaseSettings(
            weights=(25, 50, 100),
            bake_seconds=120.0,
            hold_seconds=90.0,
            steps=(StepSettings(weight=50, approval=True),),
            metrics=(),
            minimum_requests=12,
        ),
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cutover, "_settings", lambda _settings, _outputs: settings)
    monkeypatch.setattr(SystemClock, "listen", lambda self: None)
    for name, value in {**platform.cloud.environ(), "BAKE_SCALE": str(TIME_SCALE)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PLATFORM_ROLE_ARN", raising=False)
    cloudwatch = platform.client("cloudwatch")
    before = cloudwatch.describe_alarms(AlarmNames=ALARMS)["MetricAlarms"]
    keep = ("AlarmName", "MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period",
            "EvaluationPeriods", "DatapointsToAlarm", "Threshold", "ComparisonOperator", "TreatMissingData",
            "AlarmDescription", "AlarmActions")  # fmt: skip
    described = [{key: alarm[key] for key in keep if alarm.get(key) is not None} for alarm in before]
    for alarm in described:  # a machine that runs other tests may be late
        cloudwatch.put_metric_alarm(**alarm | {"Threshold": 30_000.0})
    eventually_quiet(cloudwatch, ALARMS)
    assert platform.run("pipeline.release", "freeze", "--env", "dev", "--reason", "cut-over").returncode == 0
    yield lambda *words: command_line.main(["cutover", words[0], "--env", "dev", *words[1:]])
    assert platform.run("pipeline.release", "unfreeze", "--env", "dev", "--reason", "over").returncode == 0
    for alarm in described:
        cloudwatch.put_metric_alarm(**alarm)


def test_clients_move_to_the_platform_by_dns_weights_and_back(
    platform: Platform, commands: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers = iter([AnalysisVerdict.FAIL, AnalysisVerdict.PASS])
    at_the_gate: list[float] = []

    def check() -> CheckResult:
        at_the_gate.append(time.time())
        verdict = next(answers)
        return CheckResult(verdict=verdict, figures=f"a check of the test: {verdict}")

    monkeypatch.setattr(cutover, "CommandCheck", lambda environment, words: check)
    where = platform.cloud.ask("name_server")
    assert platform.api().pay(Function.PROCESSING.path).status == 201  # a first call waits for its environment

    # Given clients of the old system, whose name is divided
    assert commands("prepare") == 0
    with Clients(platform, (where["address"], where["port"])) as clients:
        time.sleep(2)
        assert clients.since(0).keys() == {OLD}

        # When the first try fails at the checks, then all go back
        assert commands("shift") == 1
        time.sleep(1)  # the time to live, and a payment under way
        back = time.time()
        assert commands("status") == 0
        assert clients.since(0)[NEW] > 0
        time.sleep(2)
        assert clients.since(back).keys() == {OLD}

        # When the second try passes them, then all have moved
        assert commands("retry") == 0
        time.sleep(1)
        moved = time.time()
        time.sleep(2)
        assert clients.since(moved).keys() == {NEW}

        # And when it is undone, then all are back
        assert commands("undo", "--now", "--reason", "a test") == 0
        time.sleep(1)
        undone = time.time()
        time.sleep(2)
        assert clients.since(undone).keys() == {OLD}

    # And no payment failed on the way
    assert clients.failures == []
    assert len(at_the_gate) == 2
    report = json.loads((tmp_path / "reports/dev/cutover/release.json").read_text())
    assert (report["phase"], report["stable"]["processing"]) == ("promoted", "new")
