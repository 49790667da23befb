"""The processor time of a request, and what it costs in time on Lambda: ``python -m benchmarks.processor``.

Each function runs in a process of its own, with the real SDK over TLS against canned answers and the real database
driver against PostgreSQL. Counted is the function's own processor time, so other work on the machine hardly matters.

Lambda gives a function processor time in proportion to its memory; 1,769 MB is one processor (AWS Lambda Developer
Guide, "Configure Lambda function memory"). From this follows the time that a request spends on its own computing. One
processor of Lambda is taken to be as fast as one of this machine; compare both before you rely on absolute figures.
"""

import contextlib
import io
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.functions import ENVIRONMENT, FUNCTIONS, ROOT, request, silence
from lambdas.schema import migrator
from localcloud import certificates

MEMORY_MB = (256, 512, 1024, 1769)
ONE_PROCESSOR_MB = 1769
COLD_STARTS = 5
WARM_UP, REQUESTS = 100, 1500
LOGIN = {"user": "payments_app", "password": "p", "database": "payments"}


def main() -> None:
    with _servers() as addresses:
        print(f"processor time of a warm request ({REQUESTS} of each), and the time that it takes at a memory size")
        columns = "".join(f"{size:>10} MB" for size in MEMORY_MB)
        print(f"  {'':<14}{'':>6}{'processor':>12}{columns}")
        for route in FUNCTIONS:
            found = _run(route, "warm", addresses)
            for label in ("p50", "p99"):
                print(f"  {route:<14}{label:>6}{found[label]:9.1f} ms{_walls(0, found[label])}")
        print(f"\ncold start: processor time of initialisation and first request (median of {COLD_STARTS}), and what")
        print("a client waits when the initialisation has a whole processor")
        print(f"  {'':<14}{'SDK in':>9}{'init':>9}{'request':>12}{columns}")
        for route in FUNCTIONS:
            for place in ("handler", "init"):
                runs = sorted(
                    (_run(route, place, addresses) for _ in range(COLD_STARTS)), key=lambda run: run["request"]
                )
                middle = runs[COLD_STARTS // 2]
                init, first = middle["init"], middle["request"]
                print(f"  {route:<14}{place:>9}{init:6.0f} ms{first:9.0f} ms{_walls(init, first)}")


def _walls(unlimited: float, limited: float) -> str:
    """Milliseconds at each memory size, of which the processor is not limited for the first part."""
    return "".join(f"{unlimited + limited * max(1.0, ONE_PROCESSOR_MB / size):10.0f} ms" for size in MEMORY_MB)


@contextlib.contextmanager
def _servers() -> Iterator[dict[str, str]]:
    """Canned AWS and a real PostgreSQL with every customer; yields the variables by which functions find them."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        certificates.issue(folder / "tls", "benchmark", "us-east-1")
        tls = {"certificate": str(folder / "tls/server.pem"), "key": str(folder / "tls/server.key")}
        aws = _started("benchmarks._canned_aws", str(folder / "tls"))
        database = _started("localcloud.database")
        try:
            port = _ask(database, {"folder": str(folder / "postgres"), **tls})["port"]
            _ask(database, LOGIN)
            assert aws.stdout is not None
            addresses = {
                "AWS_ENDPOINT_URL": f"https://127.0.0.1:{int(aws.stdout.readline())}",
                "AWS_CA_BUNDLE": str(folder / "tls/ca.pem"),
                "DATABASE_CA_BUNDLE": str(folder / "tls/ca.pem"),
                "DATABASE_HOST": "localhost",
                "DATABASE_PORT": str(port),
            }
            _fill(addresses)
            yield addresses
        finally:
            for process in (aws, database):
                assert process.stdin is not None
                process.stdin.close()
                process.wait(20)


def _started(*command: str) -> "subprocess.Popen[str]":
    run = [sys.executable, "-m", *command]
    return subprocess.Popen(run, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ask(process: "subprocess.Popen[str]", question: dict[str, str]) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    print(json.dumps(question), file=process.stdin, flush=True)
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer


def _fill(addresses: dict[str, str]) -> None:
    from pg8000.native import Connection

    trust = ssl.create_default_context(cafile=addresses["DATABASE_CA_BUNDLE"])
    connection = Connection(**LOGIN, host="localhost", port=int(addresses["DATABASE_PORT"]), ssl_context=trust)
    migrator.apply(connection, migrator.load())
    connection.run(
        "INSERT INTO customers (customer_id, status, country, allowed_currencies)"
        " SELECT 'load-' || lpad(n::text, 5, '0'), 'active', 'US', ARRAY['USD', 'EUR'] FROM generate_series(0, 1999) n"
    )
    connection.run(
        "INSERT INTO merchants (merchant_id, status, allowed_currencies, required_fields, platform_wide)"
        " VALUES ('shop', 'active', ARRAY['USD', 'EUR'], '{}', true)"
    )
    connection.run("INSERT INTO merchant_principals VALUES ('111111111111', 'shop')")
    connection.close()


def _run(route: str, what: str, addresses: dict[str, str]) -> dict[str, float]:
    variables = os.environ | ENVIRONMENT | addresses
    if what != "handler":
        variables["AWS_LAMBDA_INITIALIZATION_TYPE"] = "on-demand"
    run = [sys.executable, "-m", "benchmarks.processor", route, what]
    done = subprocess.run(run, cwd=ROOT, env=variables, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _measure(route: str, what: str) -> dict[str, float]:
    """Run this in the process of one function."""
    before = time.process_time()
    handler = __import__(f"lambdas.{FUNCTIONS[route]}.handler", fromlist=["handler"]).handler
    init = 1000 * (time.process_time() - before)
    silence()
    with contextlib.redirect_stdout(io.StringIO()):
        first = request(handler, route, 0)
        if what != "warm":
            return {"init": init, "request": first}
        for n in range(WARM_UP):
            request(handler, route, n)
        times = sorted(request(handler, route, n) for n in range(REQUESTS))
    return {"p50": times[REQUESTS // 2], "p99": times[int(REQUESTS * 0.99)]}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(_measure(*sys.argv[1:])))
    else:
        main()
