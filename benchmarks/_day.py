"""One day on call: a platform that is broken and mended, and the customers who pay meanwhile."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol

from benchmarks._pages import RUNBOOKS, commands
from benchmarks._platform import Platform
from environments import DEV
from localcloud.settings import TIME_SCALE
from names import Colour, Function, Table
from pipeline.release.aws.traffic import AwsTraffic
from pipeline.release.traffic import Traffic, Versions

LONGEST_SECONDS = 240
"""Of one command."""
FINISHED = ("promoted", "rolled-back")
"""The phases in which a release has ended."""


class Failed(Exception):
    """A page promises what does not come true."""


def claim(holds: bool, promise: str, instead: object = "") -> None:
    """Raises ``Failed`` unless ``promise`` of a page holds."""
    if not holds:
        raise Failed(f"{promise}; instead: {instead}" if instead else promise)


@dataclass(frozen=True, kw_only=True)
class Given:
    """A command that was given, and how it ended."""

    code: int
    stdout: str
    output: str
    """Of both streams."""


class Counts(Protocol):
    """What ``Day.customers`` fills in."""

    sent: int
    lost: int


@dataclass
class Customers:
    """The report of the steady traffic, when it has ended. ``pid``: of the load generator."""

    pid: int = 0
    report: dict[str, Any] = field(default_factory=dict)

    def lost_nothing(self) -> None:
        """Claim that no request was lost or answered wrongly."""
        lost = self.report["lost"] + self.report["wrong"]
        claim(lost == 0, "no request is lost", f"{lost} of {self.report['sent']}: {self.report['reasons']}")


@dataclass(frozen=True)
class Day:
    """``platform``: dev's, with nobody else at work on it."""

    platform: Platform

    # The person on call

    def give(self, page: str, command: str) -> Given:
        """Give the first command of ``page`` that begins with ``command``, here instead of in prod."""
        for words in commands(RUNBOOKS / f"{page}.md"):
            if " ".join(words).startswith(f"python -m {command}"):
                return self.run(*(word.replace("prod", DEV.name) for word in words))
        raise Failed(f"{page}.md has no command {command!r}")

    def run(self, *words: str) -> Given:
        """Run a command to its end."""
        given = self._run(*words)
        print(f"  $ {shlex.join(words)}   → {given.code}", flush=True)
        return given

    def _run(self, *words: str) -> Given:
        try:
            done = subprocess.run(
                words,
                cwd=self.platform.here,
                env=self._environ,
                capture_output=True,
                text=True,
                timeout=LONGEST_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{shlex.join(words)} did not end within {LONGEST_SECONDS} s") from error
        return Given(code=done.returncode, stdout=done.stdout, output=done.stdout + done.stderr)

    @property
    def _environ(self) -> dict[str, str]:
        return self.platform.environ | {"BAKE_SCALE": str(TIME_SCALE)}

    def release(self) -> dict[str, Any]:
        """The last release on record."""
        status = self._run("python", "-m", "pipeline.release", "status", "--env", DEV.name, "--json")
        release: dict[str, Any] = json.loads(status.stdout)["release"]
        return release

    @contextlib.contextmanager
    def controller(self, command: str) -> "Iterator[subprocess.Popen[bytes]]":
        """A release command that runs beside the block."""
        with self.started("python", "-m", "pipeline.release", command, "--env", DEV.name) as process:
            yield process

    @contextlib.contextmanager
    def started(self, *words: str, log: str = os.devnull) -> "Iterator[subprocess.Popen[bytes]]":
        """A command that runs beside the block, and is ended with it. ``log``: the file of its output."""
        print(f"  $ {shlex.join(words)} &", flush=True)
        with (self.platform.here / log).open("wb") as output:
            process = subprocess.Popen(words, cwd=self.platform.here, env=self._environ, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(LONGEST_SECONDS)

    # What customers have

    def traffic(self) -> Traffic:
        """Where their requests go, by ELB and Lambda themselves."""
        aws: Any = SimpleNamespace(client=self.platform.client)
        return AwsTraffic(aws, self.platform.outputs).read()

    def all_on(self, versions: Versions, promise: str) -> None:
        """Claim that all production traffic goes to ``versions``."""
        traffic = self.traffic()
        claim(traffic.is_steady and traffic.stable == versions, promise, traffic)

    def record(self) -> dict[str, Any]:
        """The last release, from its table; empty if there is none. A command for each look would take half of a small
        machine."""
        found = self.platform.client("dynamodb").query(
            TableName=self.platform.outputs["ReleaseTableName"],
            KeyConditionExpression="environment = :environment AND release_id < :other_items",
            ExpressionAttributeValues={":environment": {"S": DEV.name}, ":other_items": {"S": "a"}},
            ScanIndexForward=False,
            ConsistentRead=True,
            Limit=1,
        )["Items"]
        return dict(json.loads(found[0]["document"]["S"])) if found else {}

    def settled(self) -> bool:
        """Whether all production traffic is on one version, and no release is under way."""
        return self.traffic().is_steady and self.record().get("phase") in (None, *FINISHED)

    @contextlib.contextmanager
    def customers(self, counts: Counts, rate: int = 40) -> Iterator[Customers]:
        """Steady payments while the block runs. ``counts`` gets their numbers."""
        name = f"customers-{time.monotonic_ns()}"
        seen, began = Customers(), self.platform.here / f"{name}.began"
        try:
            # What the traffic tells its command of losses is not for these customers.
            stay = "while kill -0 $PPID 2> /dev/null; do sleep 1; done"
            with self.under_load(name, rate, "sh", "-c", f"trap '' USR1 USR2; touch {began}; {stay}") as load:
                self.wait(began.exists, "the first customers pay")
                seen.pid = load.pid
                yield seen
        finally:
            with contextlib.suppress(OSError):
                seen.report = self.report(name)
                counts.sent, counts.lost = seen.report["sent"], seen.report["lost"] + seen.report["wrong"]

    @contextlib.contextmanager
    def under_load(self, name: str, rate: int, *command: str) -> "Iterator[subprocess.Popen[bytes]]":
        """``command`` with steady payments around it. It is ended with the block."""
        traffic = ("python", "-m", "loadtest.traffic", "--env", DEV.name, "--rate", str(rate))
        with (self.platform.here / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*traffic, "--reports", name, "--", *command],
                cwd=self.platform.here,
                env=self._environ,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(LONGEST_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)

    def report(self, name: str) -> dict[str, Any]:
        """``traffic.json`` of traffic that has ended."""
        report: dict[str, Any] = json.loads((self.platform.here / name / "traffic.json").read_text())
        return report

    # What breaks

    def until_baking(self, weight: int) -> None:
        """Wait until the release under way bakes at so many percent."""

        def bakes() -> bool:
            release = self.release()
            return bool(release["phase"] == "baking" and release["plan"]["weights"][release["step"]] == weight)

        self.wait(bakes, f"the step of {weight} % bakes")

    def move_weights_by_hand(self, green: int) -> None:
        """Give the candidate so many percent of what the load balancer divides."""
        arns = {colour: self.platform.outputs[f"{colour.capitalize()}TargetGroupArn"] for colour in Colour}
        weights = {Colour.STABLE: 100 - green, Colour.CANDIDATE: green}
        groups = [{"TargetGroupArn": arns[colour], "Weight": weights[colour]} for colour in Colour]
        self.platform.client("elbv2").modify_listener(
            ListenerArn=self.platform.outputs["ListenerArn"],
            DefaultActions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}],
        )

    def deploy(self, *, broken: bool = False) -> Versions:
        """Deploy a candidate of all functions, as CloudFormation does. A ``broken`` one fails each request at once."""
        client = self.platform.client("lambda")
        for function in Function:
            name = self.platform.outputs[function.name_output]
            stable = client.get_function_configuration(FunctionName=name, Qualifier=Colour.STABLE)
            variables = stable["Environment"]["Variables"] | {"GAME_DAY": str(time.time())}
            handler = "json.loads" if broken else stable["Handler"]  # it takes no event: a TypeError
            client.update_function_configuration(
                FunctionName=name, Handler=handler, Environment={"Variables": variables}
            )
            version = client.publish_version(FunctionName=name)["Version"]
            client.update_alias(FunctionName=name, Name=Colour.CANDIDATE, FunctionVersion=version)
        aws: Any = SimpleNamespace(client=self.platform.client)
        deployed = AwsTraffic(aws, self.platform.outputs).deployed()
        if not broken:
            url = self.platform.outputs["CandidateApiUrl"]
            self.run(*f"python -m loadtest.traffic --env {DEV.name} --url {url} --reports warm -- sleep 5".split())
        return deployed

    def quiet(self) -> None:
        """Wait until the exercise before rings no alarm any more, because a ringing one refuses a release."""
        names = self.platform.outputs["RollbackAlarmNames"].split(",")
        client = self.platform.client("cloudwatch")

        def none_rings() -> bool:
            alarms = client.describe_alarms(AlarmNames=names)["MetricAlarms"]
            return all(alarm["StateValue"] != "ALARM" for alarm in alarms)

        self.wait(none_rings, "the alarms become quiet")

    def wait(self, arrived: Callable[[], bool], what: str, seconds: float = 120) -> None:
        ends = time.monotonic() + seconds
        while not arrived():
            claim(time.monotonic() < ends, f"{what} within {seconds:g} s")
            time.sleep(0.25)

    def damage_last_record(self) -> None:
        """Make the record of the last release one that this version can't read."""
        client, table = self.platform.client("dynamodb"), Table.RELEASES.of(DEV.name)
        key = {"environment": {"S": DEV.name}, "release_id": {"S": self.release()["release_id"]}}
        client.update_item(
            TableName=table,
            Key=key,
            UpdateExpression="SET document = :document",
            ExpressionAttributeValues={":document": {"S": '{"phase": "verifying"}'}},
        )
