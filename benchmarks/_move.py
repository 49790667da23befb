"""A move under rehearsal: the old system that writes all the time, the commands, and what is seen of both sides."""

import contextlib
import json
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._day import Failed, Given, claim
from benchmarks._move_clients import Clients
from benchmarks._move_cloud import NAME, NEW, OLD, SHOP, shop
from benchmarks._platform import ROOT, Platform
from environments import DEV
from localcloud.settings import TIME_SCALE
from tests.oldsystem.database import OldSystem
from tests.oldsystem.exporter import Exporter
from tests.oldsystem.population import populate

MERCHANT = "m-001"
WRITE_SECONDS, SAMPLE_SECONDS, LAG_SECONDS = 0.5, 1.0, 5.0
LONGEST_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large a rehearsal is. ``make rehearsal`` has the values below; the tests play a smaller one."""

    customers: int = 2000
    paying: int = 1000
    """The first of the customers. The others are changed while it goes on."""
    history: int = 3000
    """Payments from before."""
    rate: float = 6.0
    """Payments a second."""
    old_seconds: float = 0.5
    """How long the old system takes for an answer. On AWS clients are near; here both sides share two processors."""
    told_seconds: float | None = None
    """How long it says that it took, by its metrics. ``None``: what clients saw."""
    export_seconds: float = 3.0
    compared: int = 310
    """So many decisions are compared in shadow, and prove that at most ``most_percent`` differ."""
    most_percent: float = 1.0
    lag_seconds: int = 10
    """After so long a row that differs is looked at again."""


@dataclass(kw_only=True)
class Seen:
    """Over time, in seconds since the clients began: ``(time, value)``."""

    weights: list[tuple[float, float]] = field(default_factory=list)
    """Percent of the name's answers that lead here."""
    lag: list[tuple[float, float]] = field(default_factory=list)
    """Age in seconds of the oldest change that waits."""
    parity: list[tuple[float, int, int]] = field(default_factory=list)
    """How many decisions were compared, and how many of them differ."""


class Move:
    """One rehearsal. ``zone``: of the name; ``folder``: for what both sides leave behind."""

    def __init__(self, platform: Platform, old: OldSystem, zone: str, folder: Path, scale: Scale | None = None) -> None:
        self.platform, self.old, self.folder, self._zone = platform, old, folder, zone
        self.scale = scale or Scale()
        self.environ = platform.environ | {"BAKE_SCALE": str(TIME_SCALE), "MIGRATION_SOURCE": old.url}
        self.record, self.seen, self.began = folder / "requests.jsonl", Seen(), time.time()
        self._over, self._threads, self.faults = threading.Event(), list[threading.Thread](), list[str]()
        self._writer_stops, self._exporter_stops = threading.Event(), threading.Event()
        self._s3, self._route53 = platform.client("s3"), platform.client("route53")
        self.clients: Clients | None = None

    @property
    def now(self) -> float:
        """Seconds since the clients began."""
        return time.time() - self.began

    # The old system

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """The old system serves and writes, its changes are exported, clients pay, and both sides are looked at."""
        connection = self.old.connect()
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
        scale = self.scale
        populate(connection, customers=scale.customers, merchants=4, payments=scale.history, until=until)
        self.exporter = Exporter(self.old, self.put)
        self.exporter.begin()
        service = [sys.executable, "-m", "tests.oldsystem.service", self.old.url, "--merchant", MERCHANT]
        words = [*service, "--record", str(self.record), "--delay", str(scale.old_seconds)]
        serving = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            assert serving.stdout is not None
            port = int(serving.stdout.readline())
            where = self.platform.cloud.ask("name_server")
            self.clients = Clients(
                name=NAME, server=(where["address"], where["port"]), old_host=OLD, old_url=f"http://127.0.0.1:{port}",
                api=shop(self.platform), cloudwatch=self.platform.client("cloudwatch"), customers=scale.paying,
                rate=scale.rate, told_seconds=scale.told_seconds,
            )  # fmt: skip
            self.began = time.time()
            self.clients.start()
            self._beside("weights", self._look)
            self._beside("lag", self._ask_lag)
            self._beside("writer", lambda: self._write(connection))
            yield
        finally:
            self.stop_the_old_system()
            self._over.set()
            serving.terminate()
            serving.wait()
            for thread in self._threads:
                thread.join(30)

    def put(self, key: str, body: bytes) -> None:
        self._s3.put_object(Bucket=self.platform.outputs["MigrationBucketName"], Key=f"dms/{key}", Body=body)

    def export(self) -> None:
        """Write the full load; then follow the changes, until the old system stops."""
        self.exporter.full_load(parquet=("payments",))
        arn = f"arn:aws:iam::{self.platform.cloud.account}:user/{SHOP}"
        self.put(
            "full-load/public/merchant_principals/LOAD00000001.csv",
            f"Op,principal,merchant_id\nI,{arn},{MERCHANT}\n".encode(),
        )
        self._beside("exporter", lambda: self.exporter.follow(self._exporter_stops, self.scale.export_seconds))

    def stop_the_old_system(self) -> None:
        """Clients pay no more, nobody writes, and then the last change is exported."""
        if self.clients is not None:
            self.clients.stop()
        for stop, name in ((self._writer_stops, "writer"), (self._exporter_stops, "exporter")):
            stop.set()
            for thread in self._threads:
                if thread.name == name:
                    thread.join(30)

    def _write(self, connection: Any) -> None:
        """Customers who do not pay now are changed, made and deleted at the old system."""
        number, first, others = 0, self.scale.paying + 1, self.scale.customers - self.scale.paying
        while not self._writer_stops.wait(WRITE_SECONDS):
            number += 1
            customer = f"c-{first + number % others:07d}"
            status = "blocked" if number % 2 else "active"
            connection.run("UPDATE customers SET status = :s WHERE customer_id = :c", s=status, c=customer)
            if number % 5 == 0:
                connection.run(
                    "INSERT INTO customers (customer_id, status, country, allowed_currencies)"
                    " VALUES (:c, 'active', 'DE', 'EUR')",
                    c=f"new-{number}",
                )
            if number % 20 == 0:
                connection.run("DELETE FROM customers WHERE customer_id = :c", c=f"new-{number - 10}")

    # What is seen

    def weight(self) -> float:
        """Percent of the name's answers that lead here, by Route 53 itself."""
        found = self._route53.list_resource_record_sets(HostedZoneId=self._zone)["ResourceRecordSets"]
        weights: dict[str, float] = {OLD: 0.0, NEW: 0.0}
        for record in (each for each in found if each["Type"] == "CNAME"):
            weights[record["ResourceRecords"][0]["Value"].rstrip(".")] += record.get("Weight", 1)
        return 100 * weights[NEW] / (sum(weights.values()) or 1)

    def _look(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            weight = self.weight()
            if not self.seen.weights or self.seen.weights[-1][1] != weight:
                self.seen.weights.append((self.now, weight))

    def _ask_lag(self) -> None:
        client, name = self.platform.client("lambda"), self.platform.outputs["MigrationFunctionName"]
        while not self._over.wait(LAG_SECONDS):
            answer = json.loads(
                client.invoke(FunctionName=name, Payload=b'{"command": "status", "files": 0}')["Payload"].read()
            )
            if "lag_seconds" in answer:
                self.seen.lag.append((self.now, float(answer["lag_seconds"])))

    def _beside(self, name: str, run: Callable[[], None]) -> None:
        """Run it in a thread. What ends it is a fault of the rehearsal, except its own end."""

        def guarded() -> None:
            try:
                run()
            except Exception as error:
                if not self._over.is_set():
                    self.faults.append(f"{name}: {type(error).__name__}: {error}")

        thread = threading.Thread(target=guarded, daemon=True, name=name)
        self._threads.append(thread)
        thread.start()

    # Commands

    def run(self, *words: str, code: int | None = 0, shown: bool = True) -> Given:
        """Give ``python -m`` a command, to its end. Claims that it ends with ``code``."""
        words = (sys.executable, "-m", *words)
        done = subprocess.run(
            words, cwd=self.platform.here, env=self.environ, capture_output=True, text=True, timeout=LONGEST_SECONDS
        )
        given = Given(code=done.returncode, stdout=done.stdout, output=done.stdout + done.stderr)
        line = shlex.join(("python", *words[1:]))
        if shown:
            print(f"  $ {line}   → {given.code}", flush=True)
        if code is not None and given.code != code:
            raise Failed(f"{line} ends with {code}; instead: {given.code}: {given.output[-1500:]}")
        return given

    @contextlib.contextmanager
    def beside(self, name: str, words: Sequence[str], stdin: int | None = None) -> Iterator["subprocess.Popen[str]"]:
        """A command that runs beside the block; its output is in ``name`` in the folder."""
        print(f"  $ python -m {shlex.join(words)} &", flush=True)
        with (self.folder / name).open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *words], cwd=self.platform.here, env=self.environ, stdin=stdin, stdout=log,
                stderr=log, text=True,
            )  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(60)

    def cut_over(self) -> dict[str, Any]:
        """The last cut-over on record."""
        given = self.run("migration", "cutover", "status", "--env", DEV.name, "--json", code=None, shown=False)
        found: dict[str, Any] = json.loads(given.stdout)["release"] or {}
        return found

    def until_baking(self, weight: int) -> None:
        def bakes() -> bool:
            release = self.cut_over()
            baking = bool(release) and release["phase"] == "baking"
            return baking and bool(release["plan"]["weights"][release["step"]] >= weight)

        self.wait(bakes, f"the step of {weight} % bakes")

    def wait(self, arrived: Callable[[], bool], what: str, seconds: float = 60) -> None:
        ends = time.monotonic() + seconds
        while not arrived():
            claim(time.monotonic() < ends, f"{what} within {seconds:g} s")
            time.sleep(0.5)
