"""Releases on the local cloud as operators make them: what the tests of the release controller share."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from localcloud.settings import TIME_SCALE
from names import RELEASE_METRICS, Function, ReleaseMetric

from .conftest import Platform

FUNCTIONS = {function.path: function.name_output for function in Function}
Versions = dict[str, str]
"""The versions by route, because each function counts its own."""
RATE = "20"
"""Requests a second. Another local cloud, of the other tests, shares the processors."""
ALARM_FIELDS = (
    "AlarmName", "AlarmDescription", "AlarmActions", "MetricName", "Namespace", "ExtendedStatistic", "Dimensions",
    "Period", "EvaluationPeriods", "DatapointsToAlarm", "Threshold", "ComparisonOperator", "TreatMissingData",
)  # fmt: skip
QUICK = {"BAKE_SCALE": str(TIME_SCALE)}


@dataclass
class Releases:
    """The commands as an operator gives them, in a folder of their own."""

    platform: Platform
    folder: Path

    def start(self, *command: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env=self.platform.environ | QUICK,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str, *options: str) -> tuple[int, dict[str, Any]]:
        """Exit code and JSON of one command."""
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.release", command, "--env", "dev", "--json", *options],
            cwd=self.folder,
            env=self.platform.environ | QUICK,
            capture_output=True,
            text=True,
        )
        return done.returncode, json.loads(done.stdout)

    def under_load(self, *command: str, reports: str = "load", rate: str = RATE) -> "subprocess.Popen[str]":
        """Start ``command`` with synthetic customers' requests around it."""
        return self.start(
            "loadtest.traffic", "--env", "dev", "--rate", rate, "--reports", reports, "--", sys.executable, *command
        )

    def shift(self, *command: str, rate: str = RATE) -> "subprocess.Popen[str]":
        return self.under_load("-m", "pipeline.release", *(command or ("shift",)), "--env", "dev", rate=rate)

    def traffic(self, reports: str = "load") -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.folder / reports / "traffic.json").read_text())
        assert report["sent"] > 0
        return report

    def record(self) -> dict[str, Any] | None:
        """The last release, from its table. To give a command for each look would take half of a small machine, while
        clients' requests are counted."""
        found = self._dynamodb.query(
            TableName=self.platform.outputs["ReleaseTableName"],
            KeyConditionExpression="environment = :environment AND release_id < :other_items",
            ExpressionAttributeValues={":environment": {"S": "dev"}, ":other_items": {"S": "a"}},
            ScanIndexForward=False,
            ConsistentRead=True,
            Limit=1,
        )["Items"]
        return cast(dict[str, Any], json.loads(found[0]["document"]["S"])) if found else None

    @cached_property
    def _dynamodb(self) -> Any:
        return self.platform.client("dynamodb")

    def wait_for(self, shift: "subprocess.Popen[str]", arrived: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Until the record of ``shift``'s release says so; returns it. Fails with its output if it ends before."""
        release, given_up = None, time.monotonic() + 240
        while time.monotonic() < given_up:
            release = self.record()
            if release and arrived(release):
                return release
            assert shift.poll() is None, finish(shift)
            time.sleep(0.25)
        raise AssertionError(f"never arrived there: {release}")

    def watchdog_looks(self) -> float:
        """How often the watchdog has looked in the last hours."""
        now = time.time()
        points = self.platform.client("cloudwatch").get_metric_statistics(
            Namespace=RELEASE_METRICS,
            MetricName=ReleaseMetric.WATCHDOG_RUNS,
            Dimensions=[{"Name": "Environment", "Value": "dev"}],
            StartTime=now - 6 * 3600,
            EndTime=now,
            Period=6 * 3600,
            Statistics=["Sum"],
        )["Datapoints"]
        return sum(float(point["Sum"]) for point in points)

    def deploy(self, *routes: str, warm: bool = True, **environ: str) -> Versions:
        """Deploy the functions of ``routes``, or all, and warm up, as a deployment and its load gate do. Returns
        the new versions."""
        client, deployed = self.platform.client("lambda"), {}
        for route in routes or FUNCTIONS:
            name = self.platform.outputs[FUNCTIONS[route]]
            variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
            variables |= {"RELEASE_TEST": str(time.time())} | environ
            client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
            deployed[route] = client.publish_version(FunctionName=name)["Version"]
            client.update_alias(FunctionName=name, Name="green", FunctionVersion=deployed[route])
        if warm:
            options = ("--url", self.platform.outputs["CandidateApiUrl"], "--reports", "warm", "--rate", "6", "--")
            idle = (sys.executable, "-c", "import time; time.sleep(5)")
            finish(self.start("loadtest.traffic", "--env", "dev", *options, *idle))
        return deployed

    def stable(self) -> Versions:
        """The versions that serve all production traffic; fails unless that is the steady state."""
        client = self.platform.client("lambda")
        aliases = {
            route: client.get_alias(FunctionName=self.platform.outputs[output], Name="blue")
            for route, output in FUNCTIONS.items()
        }
        assert not any((alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") for alias in aliases.values())
        listener = self.platform.client("elbv2").describe_listeners(
            ListenerArns=[self.platform.outputs["ListenerArn"]]
        )["Listeners"][0]
        weights = {
            group["TargetGroupArn"]: group["Weight"]
            for group in listener["DefaultActions"][0]["ForwardConfig"]["TargetGroups"]
        }
        assert weights[self.platform.outputs["BlueTargetGroupArn"]] == 100
        assert weights[self.platform.outputs["GreenTargetGroupArn"]] == 0
        return {route: alias["FunctionVersion"] for route, alias in aliases.items()}


@contextmanager
def watchdog(platform: Platform, *, on: bool, schedule: bool = True) -> Iterator[None]:
    """Switch the watchdog on or off, and on again at the end. It would end releases whose controllers tests kill."""
    events = platform.client("events")
    rules = [rule for rule in events.list_rules()["Rules"] if "watchdog" in rule.get("Description", "")]
    assert len(rules) == 2
    try:
        for rule in rules:
            wanted = on and (schedule or "ScheduleExpression" not in rule)
            (events.enable_rule if wanted else events.disable_rule)(Name=rule["Name"])
        yield
    finally:
        for rule in rules:
            events.enable_rule(Name=rule["Name"])


def undisturbed(platform: Platform, folder: Path) -> Iterator[Releases]:
    """The commands, given in ``folder``. Leaves functions, aliases and weights as it found them."""
    client = platform.client("lambda")
    names = [platform.outputs[output] for output in FUNCTIONS.values()]
    before = [
        (name, colour, client.get_alias(FunctionName=name, Name=colour)["FunctionVersion"])
        for name in names
        for colour in ("blue", "green")
    ]
    variables = [client.get_function_configuration(FunctionName=name)["Environment"] for name in names]
    alarms = platform.client("cloudwatch")
    latency = alarms.describe_alarms(AlarmNames=["payment-candidate-latency-dev"])["MetricAlarms"][0]
    latency = {key: latency[key] for key in ALARM_FIELDS if latency.get(key) is not None}
    # A machine that also runs the tests may answer one request in a minute late, which is this alarm's p99.
    alarms.put_metric_alarm(**latency | {"Threshold": 30.0})
    eventually_quiet(alarms, platform.outputs["RollbackAlarmNames"].split(","))
    releases = Releases(platform, folder)
    yield releases
    alarms.put_metric_alarm(**latency)
    assert releases.run("rollback")[0] == 0
    for name, colour, version in before:
        client.update_alias(FunctionName=name, Name=colour, FunctionVersion=version)
    for name, environment in zip(names, variables, strict=True):
        client.update_function_configuration(FunctionName=name, Environment=environment)


def eventually_quiet(alarms: Any, names: list[str]) -> None:
    """Wait until the tests before have no part in how these alarms stand. A ringing one refuses a release."""
    for _ in range(120):
        ringing = [
            alarm["AlarmName"]
            for alarm in alarms.describe_alarms(AlarmNames=names)["MetricAlarms"]
            if alarm["StateValue"] == "ALARM"
        ]
        if not ringing:
            return
        time.sleep(0.5)
    raise AssertionError(f"These alarms go on ringing: {', '.join(ringing)}")


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    output, _ = process.communicate(timeout=240)
    return process.returncode, output


def conclusion(output: str) -> str:
    """The last message of a command. Indented lines are its details."""
    return [line for line in output.splitlines() if line and not line[0].isspace()][-1]


def finish_shift(releases: Releases, process: "subprocess.Popen[str]") -> str:
    """Wait for its promotion. A busy machine may slow one version for a moment, and going back is right then: again."""
    code, output = finish(process)
    if code == 1 and ("p90" in conclusion(output) or " slow" in conclusion(output)):
        assert releases.traffic()["reasons"] == {}
        code, output = finish(releases.shift("retry"))
    assert code == 0, output
    return output


def kill(holder: str) -> None:
    """kill -9 the controller whose record says ``user@host (pid 123)``."""
    os.kill(int(holder.rpartition("(pid ")[2].rstrip(")")), signal.SIGKILL)
