"""A handler's import loads everything on Lambda, where a request has less processor time, and little elsewhere."""

import json
import subprocess
import sys

import pytest

from benchmarks.functions import ENVIRONMENT

ON_LAMBDA = {"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}
REPORT = """
import json, sys
from lambdas.{package} import handler
from lambdas.adapters import aws
loaded = [name for name in ("boto3", "pg8000.native") if name in sys.modules]
print(json.dumps({{"loaded": loaded, "clients": aws.client.cache_info().currsize}}))
"""


def imported(package: str, environment: dict[str, str]) -> dict[str, object]:
    """What the import of a handler has loaded, in a fresh process."""
    run = [sys.executable, "-c", REPORT.format(package=package)]
    done = subprocess.run(run, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("package", "clients"), [("validation", 3), ("fraud_detection", 3), ("processing", 4), ("transactions", 3)]
)
def test_on_lambda_the_sdk_and_the_clients_of_the_function_are_ready_before_its_first_request(
    package: str, clients: int
) -> None:
    found = imported(package, ENVIRONMENT | ON_LAMBDA)

    assert found == {"loaded": ["boto3", "pg8000.native"], "clients": clients}


def test_elsewhere_an_import_loads_no_sdk_and_needs_no_settings() -> None:
    assert imported("processing", {"POWERTOOLS_SERVICE_NAME": "test"}) == {"loaded": [], "clients": 0}
