"""The cost of the functions: cold import, time of their own per request, memory: ``python -m benchmarks.functions``.

Ratios are taken in one run on one machine. "Own time" is the processor time of a request whose SDK and database calls
return at once (canned answers), so it holds everything but network calls: reading and checking the request, the rules,
masking, logging, metrics, Powertools' idempotency and tracing. Other work on the machine does not count.
"""

import contextlib
import cProfile
import io
import json
import logging
import os
import pstats
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lambdas.payments.velocity import DAY, State, Sums
from names import METRICS, Function, Table

ROOT = Path(__file__).parents[1]
FUNCTIONS = {each.path.removeprefix("/"): each.folder for each in Function if each.method == "POST"}
BASELINE = "from aws_lambda_powertools import Logger; Logger()"
IMPORTS = 9
WARM_UP, ROUNDS, REQUESTS = 200, 5, 1000

LIMIT_IMPORT_RATIO, LIMIT_OWN_MS, LIMIT_MEMORY_MIB = 3.0, 2.0, 128


def main() -> None:
    print(f"cold import, best of {IMPORTS} (goal: at most {LIMIT_IMPORT_RATIO} times Powertools' logger alone)")
    baseline = _import_ms(BASELINE)
    print(f"  {'logger alone':<16}{baseline:7.1f} ms")
    for route, package in FUNCTIONS.items():
        took = _import_ms(f"import lambdas.{package}.handler")
        print(f"  {route:<16}{took:7.1f} ms  {took / baseline:.2f} times")
    sdk = _import_ms("import boto3; boto3.client('dynamodb', region_name='us-east-1')")
    print(f"  {'SDK, first use':<16}{sdk:7.1f} ms  {sdk / baseline:.2f} times, not in the above")

    print(f"\nown time a request, quietest of {ROUNDS} rounds of {REQUESTS} (goal: p99 under {LIMIT_OWN_MS} ms), and")
    print(f"peak memory with the SDK's clients made (goal: at most {LIMIT_MEMORY_MIB} MiB)")
    for route in FUNCTIONS:
        found = _in_a_process_of_its_own(route)
        print(f"  {route:<16}p50 {found['p50']:.2f} ms  p99 {found['p99']:.2f} ms  {found['peak_mib']:.0f} MiB")
    print(f"\nprofile of what is left of {Function.PROCESSING.path}, milliseconds of own time per request")
    print(found["profile"])


def _import_ms(statement: str) -> float:
    script = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    run = [sys.executable, "-c", script]
    return 1000 * min(
        float(subprocess.run(run, cwd=ROOT, check=True, capture_output=True).stdout) for _ in range(IMPORTS)
    )


def _in_a_process_of_its_own(route: str) -> dict[str, Any]:
    run = [sys.executable, "-m", "benchmarks.functions", route]
    found: dict[str, Any] = json.loads(subprocess.run(run, cwd=ROOT, check=True, capture_output=True).stdout)
    return found


def _measure(route: str) -> dict[str, Any]:
    """Run this in the process of one function."""
    os.environ.update(ENVIRONMENT)
    from lambdas.adapters import aws, database

    for service in ("dynamodb", "s3", "secretsmanager", "ssm"):
        aws.client(service)  # the real ones, for their memory
    canned = CannedSdk()
    for module, name, stand_in in (
        (aws, "client", lambda service: canned),
        (database, "connect", lambda login, place: CannedDatabase()),
    ):
        setattr(module, name, stand_in)
    handler = __import__(f"lambdas.{FUNCTIONS[route]}.handler", fromlist=["handler"]).handler
    silence()
    with contextlib.redirect_stdout(Nowhere()):
        for n in range(WARM_UP):
            request(handler, route, n)
        rounds = [sorted(request(handler, route, n) for n in range(REQUESTS)) for _ in range(ROUNDS)]
        profile = cProfile.Profile()
        profile.enable()
        for n in range(REQUESTS):
            request(handler, route, n)
        profile.disable()
    times = min(rounds, key=lambda each: each[int(REQUESTS * 0.99)])
    return {
        "p50": statistics.median(times),
        "p99": times[int(REQUESTS * 0.99)],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "profile": _top(profile),
    }


def silence() -> None:
    """Let the functions' logger write nowhere."""
    from lambdas.api.endpoint import logger

    for each in logger.handlers:
        if isinstance(each, logging.StreamHandler):
            each.setStream(Nowhere())


class Nowhere(io.TextIOBase):
    """What is written here is gone. A text that grew in memory would cost time of its own."""

    def write(self, text: str) -> int:
        return len(text)


def request(handler: Callable[[Any, Any], Any], route: str, n: int) -> float:
    """Milliseconds of processor time of one request."""
    body = {"customer_id": f"load-{n % 2000:05}", "amount": 12.5, "currency": "USD", "card_number": "4242424242424242"}
    event = {
        "requestContext": {"elb": {}},
        "httpMethod": "POST",
        "path": f"/dev/{route}",
        "multiValueHeaders": {
            "content-type": ["application/json"], "x-caller": ["AIDA"], "idempotency-key": [f"key-{n}"],
            "x-caller-arn": ["arn:aws:iam::111111111111:user/shop"],
        },
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }  # fmt: skip
    start = time.process_time()
    answer = handler(event, CONTEXT)
    took = 1000 * (time.process_time() - start)
    assert answer["statusCode"] < 300, answer
    return took


def _top(profile: cProfile.Profile) -> str:
    stats: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    largest = sorted(stats.items(), key=lambda item: item[1][2], reverse=True)[:12]
    return "\n".join(
        f"  {1000 * own / REQUESTS:.4f}  {Path(file).name}:{function}"
        for (file, _, function), (_, _, own, _, _) in largest
    )


class CannedDatabase:
    """A PostgreSQL connection that knows a merchant of every caller, and an active customer by every id."""

    def run(self, sql: str, **parameters: Any) -> list[list[Any]]:
        merchant = ["shop", "active", ["USD", "EUR"], {}, [], "real"]
        return [[*merchant, "active", "US", ["USD", "EUR"], {}, {}, False]]


class CannedSdk:
    """Every AWS client that the functions use. It answers at once, for a customer and a card that pay every hour
    of a month."""

    def __init__(self) -> None:
        paid = Sums()
        for ago in range(31 * DAY, 0, -3600):
            paid = paid.plus(int(time.time()) - ago, 1)
        state = {"state_version": {"N": "7"}, "state": {"S": State(key="busy", paid=paid).to_json()}}
        self._state = state
        never = type("Never", (Exception,), {})
        self.exceptions = SimpleNamespace(ConditionalCheckFailedException=never, TransactionCanceledException=never)
        self.meta = SimpleNamespace(
            events=SimpleNamespace(register_first=lambda *a, **k: None, register=lambda *a, **k: None)
        )

    def batch_get_item(self, **arguments: Any) -> Any:
        [(table, wanted)] = arguments["RequestItems"].items()
        # Nothing was declined, so the customer has no state at the merchant.
        keys = [key for key in wanted["Keys"] if not key["counter"]["S"].startswith("at-merchant#")]
        return {"Responses": {table: [key | self._state for key in keys]}}

    def get_parameter(self, **arguments: Any) -> Any:
        return {"Parameter": {"Value": (ROOT / "stages/fraud_rules_parameter.json").read_text()}}

    def get_secret_value(self, **arguments: Any) -> Any:
        login = {"username": "payments_app", "password": "p"}
        return {"SecretString": CARD_KEYS if arguments["SecretId"] == "fingerprint" else json.dumps(login)}

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        return lambda **arguments: {}


CARD_KEYS = "k" * 64
CONTEXT = SimpleNamespace(
    aws_request_id="00000000-0000-0000-0000-000000000001",
    function_name="function",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:us-east-1:111111111111:function:function",
    get_remaining_time_in_millis=lambda: 15_000,
)
ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "POWERTOOLS_SERVICE_NAME": "benchmark",
    "POWERTOOLS_METRICS_NAMESPACE": METRICS,
    "TRANSACTION_TABLE": Table.TRANSACTIONS,
    "VELOCITY_TABLE": Table.VELOCITY,
    "IDEMPOTENCY_TABLE": Table.IDEMPOTENCY,
    "AUDIT_BUCKET": "audit",
    "AUDIT_KEY_ID": "key",
    "DATABASE_HOST": "database",
    "DATABASE_PORT": "5432",
    "DATABASE_NAME": "payments",
    "DATABASE_SECRET_ARN": "database",
    "FINGERPRINT_SECRET_ARN": "fingerprint",
    "FRAUD_RULES_PARAMETER": "rules",
    "REVIEWER_ROLE_ARN": "reviewer",
    "OPERATOR_ROLE_ARN": "operator",
    "FOUR_EYES": "false",
}

if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(_measure(sys.argv[1])))
    else:
        main()
