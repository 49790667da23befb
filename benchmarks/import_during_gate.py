"""Whether an import slows payments beyond the gate: ``python -m benchmarks import_during_gate``.

The load gate of dev runs on a local cloud: alone, while the history of payments is imported at its usual pace, and
while customers are loaded, which has no pace but one session of the database. It takes some eight minutes. Here the
function, the database and the emulator of DynamoDB share the machine's processors with the API; on AWS only the
database and the tables are shared. Ends with 1 if the gate passes alone, and not while payments are imported.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks._platform import ROOT, Platform, deployed
from benchmarks.migration import HEADER, ROW
from benchmarks.payment_import import COLUMNS, CUSTOMERS, MERCHANTS, payments
from environments import DEV, MigrationSettings

GATE = DEV.gate
CUSTOMERS_A_SECOND = 8_000
"""About as many as the function loads here."""
_BEGUN_SECONDS = 4.0
_LONGEST_SECONDS = 900
_PASS = 0


def main() -> None:
    with tempfile.TemporaryDirectory() as name, deployed(Path(name), lambda _: {"migration": "on"}) as platform:
        _parties(platform)
        alone = _gate(platform, "alone")
        longest = int(GATE.warm_up_seconds + GATE.max_seconds) + 30
        pace = MigrationSettings().payments_per_second
        history = "".join(",".join(line) + "\n" for line in (COLUMNS, *payments(pace * longest))).encode()
        with _importing(platform, "payments", history, pace * longest):
            beside_payments = _gate(platform, "payments are imported", alone)
        rows = "".join(ROW.format(n=n) for n in range(CUSTOMERS_A_SECOND * longest))
        with _importing(platform, "customers", (HEADER + rows).encode(), CUSTOMERS_A_SECOND * longest):
            _gate(platform, "customers are loaded", alone)
    if alone["exit_code"] == _PASS and beside_payments["exit_code"] != _PASS:
        raise SystemExit("the import of payments slows them beyond the gate")


def _parties(platform: Platform) -> None:
    """The customers and merchants of the payments."""
    customers = "".join(f"I,customer-{n},active,DE,USD\n" for n in range(CUSTOMERS))
    _put(platform, "customers", ("Op,customer_id,status,country,allowed_currencies\n" + customers).encode())
    merchants = "".join(f"I,shop-{n},active,USD\n" for n in range(MERCHANTS))
    _put(platform, "merchants", ("Op,merchant_id,status,allowed_currencies\n" + merchants).encode())
    done = subprocess.run(_LOAD, cwd=platform.here, env=platform.environ, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)


_LOAD = [sys.executable, "-m", "migration", "load", "--env", DEV.name]


def _put(platform: Platform, table: str, body: bytes) -> None:
    key = f"full-load/public/{table}/LOAD{time.time_ns():016X}.csv"
    platform.client("s3").put_object(Bucket=platform.outputs["MigrationBucketName"], Key=key, Body=body)


@contextmanager
def _importing(platform: Platform, table: str, body: bytes, rows: int) -> Iterator[None]:
    """An import that begins before the block, and is waited for after it."""
    _put(platform, table, body)
    log, begun = platform.here / f"{table}.log", time.monotonic()
    with log.open("w") as output:
        importing = subprocess.Popen(_LOAD, cwd=platform.here, env=platform.environ, stdout=output, stderr=output)
    try:
        time.sleep(_BEGUN_SECONDS)
        yield
        ended = "before the gate" if importing.poll() is not None else "after the gate"
        code = importing.wait(_LONGEST_SECONDS)
    finally:
        importing.kill()
    if code:
        raise SystemExit(log.read_text())
    seconds = time.monotonic() - begun
    print(f"  {'':24}{rows:,} rows of {table}, {rows / seconds:,.0f} a second, ended {ended}", flush=True)


def _gate(platform: Platform, name: str, alone: dict[str, Any] | None = None) -> dict[str, Any]:
    folder = platform.here / name.replace(" ", "-")
    words = [sys.executable, "-m", "loadtest.gate", "--env", DEV.name, "--reports", str(folder), "--no-repeat"]
    done = subprocess.run(words, cwd=ROOT, env=platform.environ, capture_output=True, text=True)
    if done.returncode not in (0, 1, 3, 4):
        raise SystemExit(done.stdout + done.stderr)
    found: dict[str, Any] = json.loads((folder / "gate.json").read_text())
    print(f"  {name:24}{found['verdict']} (exit code {done.returncode})", flush=True)
    before = {route["route"]: route["p99_ms"] for route in (alone or found)["routes"]}
    for route in found["routes"]:
        path, p99, first = route["route"], route["p99_ms"], before.get(route["route"])
        than = f", {p99 / first:.2f} times alone" if alone and p99 and first else ""
        print(f"  {'':24}{path:14} p99 {p99 or 0:6.0f} ms{than}, {route['samples']} answers", flush=True)
    return found | {"exit_code": done.returncode}
