"""The load gate's generator beside plain locust and other tools: the cost of a request, and the truth of the p99.

* Cost: CPU time per request and requests a second of one process, for plain locust's FastHttpUser and for the gate,
  unsigned and signed, in turns; the best of the rounds counts, because other work on the machine only ever adds.
* Truth: a server that injects known latencies, with and without a stall. The exact p99 follows from the schedule and
  the script alone. Beside it: the gate's, plain locust's at the same rate (``constant_throughput``), and those of wrk
  (Debian: ``apt install wrk``) and autocannon (npm), if they are installed.
"""

import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loadtest.schedule import Schedule
from names import Function

ROUTE = Function.VALIDATION.path

ROOT = Path(__file__).parents[1]
SERVER = ROOT / "tests/integration/loadtest/payment_server.py"
ROUNDS = 3
RATE, SECONDS, USERS = 100, 20, 10
SCRIPTS: dict[str, dict[str, float]] = {
    "20 ms, and 205 ms for one in fifty": {"latency_ms": 20, "slow_ms": 205, "slow_every": 50},
    "20 ms, and a stall of 2 s": {"latency_ms": 20, "stall_at": 8, "stall_for": 2},
}


def main() -> None:
    _cost()
    for name, script in SCRIPTS.items():
        _truth(name, script)


def _cost() -> None:
    best: dict[str, dict[str, float]] = {}
    with _server({}, fast=True) as url:
        for _ in range(ROUNDS):
            for kind in ("plain", "gate", "gate-signed"):
                found = _run("benchmarks._load_generators", kind, url)
                if kind not in best or found["cpu_us"] < best[kind]["cpu_us"]:
                    best[kind] = found
    print("generator                 CPU per request   one core's rate   of plain locust   seen on this machine")
    for kind, found in best.items():
        share = best["plain"]["cpu_us"] / found["cpu_us"]
        print(
            f"{kind:24}  {found['cpu_us']:10.0f} us   {1e6 / found['cpu_us']:11.0f}/s   {share:14.2f}   "
            f"{found['rate']:14.0f}/s"
        )


def _truth(name: str, script: dict[str, float]) -> None:
    print(f"\n{name}: {RATE} requests/s for {SECONDS} s\n  exact p99            {_exact_p99(script):8.1f} ms")
    with _server(script) as url, tempfile.TemporaryDirectory() as folder:
        options = f"--seed 1 --rate {RATE} --duration {SECONDS} --max-duration {SECONDS} --warm-up 0 --mix {ROUTE}=1"
        command = f"-m loadtest.gate --env dev --url {url} --unsigned --reports {folder} {options} --limit 60000"
        subprocess.run([sys.executable, *command.split()], cwd=ROOT, capture_output=True)
        gate = json.loads((Path(folder) / "gate.json").read_text())["routes"][0]
        print(f"  load gate            {gate['p99_ms']:8.1f} ms   of {gate['samples']} answers")
    with _server(script) as url:
        plain = _run("benchmarks._load_generators", "paced", url, str(RATE), str(USERS), str(SECONDS))
        print(f"  plain locust         {plain['p99_ms']:8.1f} ms   of {plain['requests']:.0f} answers")
    for tool, p99 in (("wrk", _wrk_p99), ("autocannon", _autocannon_p99)):
        if shutil.which(tool):
            with _server(script) as url:
                print(f"  {tool:20} {p99(url):8.1f} ms")


def _exact_p99(script: dict[str, float]) -> float:
    """The exact p99 (ms) from the schedule and the script. The first request begins the server's time."""
    schedule, slow_every = Schedule(rate=RATE, seed=1), int(script.get("slow_every", 0))
    tickets = [schedule.take() for _ in range(RATE * SECONDS)]
    stall_begin = tickets[0].start + script.get("stall_at", math.inf)
    stall_end = stall_begin + script.get("stall_for", 0)
    latencies = []
    for number, ticket in enumerate(tickets, start=1):
        slow = slow_every and number % slow_every == 0
        end = ticket.start + (script["slow_ms"] if slow else script["latency_ms"]) / 1000
        if ticket.start < stall_end and end > stall_begin:
            end = max(end, stall_end)
        latencies.append((end - ticket.start) * 1000)
    return sorted(latencies)[math.ceil(len(latencies) * 0.99) - 1]


def _wrk_p99(url: str) -> float:
    """wrk sends as fast as its connections allow: a closed loop."""
    lua = f'wrk.method = "POST"\nwrk.body = [[{_body()}]]\nwrk.headers["Content-Type"] = "application/json"\n'
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(lua)
        script.flush()
        done = _output("wrk", "-t1", "-c2", f"-d{SECONDS}s", "--latency", "-s", script.name, f"{url}{ROUTE}")
    found = re.search(r"99%\s+([\d.]+)(us|ms|s)", done)
    if found is None:
        raise SystemExit(f"wrk did not say its 99th percentile:\n{done}")
    number, unit = found.groups()
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def _autocannon_p99(url: str) -> float:
    """autocannon at a target rate, which corrects for coordinated omission as wrk2 does."""
    pace = ("-R", str(RATE), "-c", str(USERS), "-d", str(SECONDS), "-m", "POST", "-b", _body(), "-j")
    done = _output("autocannon", *pace, "-H", "content-type=application/json", f"{url}{ROUTE}")
    return float(json.loads(done[done.index("{") :])["latency"]["p99"])


def _body() -> str:
    return '{"customer_id": "load-00001", "amount": 10.5, "currency": "USD", "card_number": "4242420000000010"}'


def _run(module: str, *arguments: str) -> dict[str, Any]:
    environ = os.environ | {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark"}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@contextmanager
def _server(script: dict[str, float], *, fast: bool = False) -> Iterator[str]:
    """The payment server of the tests, or one that only answers, so that the generator is the slow part."""
    command = [sys.executable, "-m", "benchmarks._fast_server"] if fast else [sys.executable, str(SERVER), "0"]
    server = subprocess.Popen(
        [*command, *([] if fast else [json.dumps(script)])], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert server.stdout
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
