"""Every name has one place. What AWS knows by a name must keep it: here each is written out once more."""

import ast
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import names
from environments import environment
from lambdas.api import closed
from lambdas.deployment import blue_alias
from loadtest.scenario import NOBODYS, Scenario
from names import Colour, Function, Index, Parameter, ReleaseMetric, Role, Staff, Table

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("benchmarks", "loadtest", "localcloud", "migration", "pipeline", "stages")
FILES = [
    *(file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))),
    ROOT / "environments.py",
    ROOT / "pipeline_app.py",
    ROOT / "lambdas" / "deployment" / "steady_state.py",
]
SPELLED = re.compile(
    "|".join(
        (
            r"^(alias/)?payment[-/]$",  # the beginning of an f-string
            r"^/payment/",
            r"aws-waf-logs-payment",
            r"payment-(platform|release|releases|loadtest|load|transactions|idempotency)\b(?!-gate)",
            rf"^({'|'.join([*Function, *(each.folder for each in Function), *Colour, *Index])})$",
            rf"(?<![\w*])({'|'.join(each.path for each in Function)})(?![\w.-])",
            rf"^({names.METRICS}|{names.RELEASE_METRICS}|{'|'.join(ReleaseMetric)}|{names.RELEASE_HEADER})$",
            rf"^({'|'.join(each.name_output for each in Function)})$",
        )
    )
)
OTHERS = {
    "pipeline/local/tree.py": {"green"},  # the colour in which a terminal shows success
    "loadtest/scenario.py": {"transactions"},  # a field of an answer
    "pipeline/release/state.py": {"green"},  # a field of the JSON
    "pipeline/transactions/__main__.py": {"transactions"},  # a field of an answer
}


def constants(file: Path) -> Iterator[tuple[int, str]]:
    """The strings of a module's code, f-strings in their parts, with their lines; no docstrings."""
    tree = ast.parse(file.read_text())
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_other_module_spells_a_name(file: Path) -> None:
    path = str(file.relative_to(ROOT))
    found = [
        f"{path}:{line}: {text!r}"
        for line, text in constants(file)
        if SPELLED.search(text) and text not in OTHERS.get(path, set())
    ]
    assert not found, "take it from names.py"


@pytest.mark.parametrize("text", ["payment-", "/payment/", "blue", "fraud-detection", "/process", "payment-releases-x"])
def test_a_name_that_is_spelled_elsewhere_is_found(text: str, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(f'"""Of blue and /process."""\nNAME = f"{text}{{environment}}"\n')
    assert [found for _, found in constants(tmp_path / "module.py") if SPELLED.search(found)] == [text]


def test_names_stay() -> None:
    """A changed one replaces what AWS knows by it: tables and keys would be empty, roles unknown to other accounts."""
    assert names.PIPELINE == "payment-pipeline"
    assert names.CONNECTION_PARAMETER == "/payment/pipeline/connection-arn"
    assert (names.METRICS, names.RELEASE_METRICS) == ("Payments", "Payments/Release")
    assert names.stack("dev") == environment("dev").stack_name == "payment-platform-dev"
    assert [each.of("dev") for each in Role] == [
        "payment-release-dev",
        "payment-loadtest-dev",
        "payment-cutover-dev",
        "payment-load-dev",
    ]
    assert [each.of("dev") for each in Staff] == ["payment-reviewer-dev", "payment-operator-dev"]
    assert [each.of("dev") for each in Table] == [
        "payment-transactions-dev",
        "payment-idempotency-dev",
        "payment-velocity-dev",
        "payment-releases-dev",
    ]
    assert [each.target_group("dev") for each in Colour] == ["payment-blue-dev", "payment-green-dev"]
    assert Parameter.ALB_HOST_NAME.of("dev") == "/payment/alb-host-name-dev"
    assert names.log_group("api-access", "dev") == "/payment/dev/api-access"
    assert names.secret("database-app", "dev") == "payment/database-app-dev"
    assert names.key_alias("data", "dev") == "alias/payment-data-dev"
    function = Function.FRAUD_DETECTION
    assert (function.of("dev"), names.service(function)) == ("payment-fraud-detection-dev", "payment-fraud-detection")
    assert (function.id, function.name_output) == ("FraudDetection", "FraudDetectionFunctionName")


@pytest.mark.parametrize("function", Function)
def test_a_function_serves_its_route_from_its_own_folder_by_the_contract(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", names.METRICS)
    contract = json.loads((ROOT / "lambdas" / "api" / "openapi.json").read_bytes())
    for route in function.routes:
        assert list(contract["paths"][route.path]) == [route.method.lower()]
    handler = importlib.import_module(f"lambdas.{function.folder}.handler").handler
    context = SimpleNamespace(
        aws_request_id="1", function_name="f", memory_limit_in_mb=512, invoked_function_arn="arn:aws:lambda:f"
    )
    served = [(re.sub("{.*?}", "txn_1", route.path), 405) for route in function.routes]
    for path, status in (*served, ("/elsewhere", 404)):
        request = {"requestContext": {}, "httpMethod": "DELETE", "path": path, "multiValueHeaders": {}, "body": None}
        assert handler(request, context)["statusCode"] == status


def test_the_contract_has_no_route_that_nobody_serves() -> None:
    contract = json.loads((ROOT / "lambdas" / "api" / "openapi.json").read_bytes())
    assert list(contract["paths"]) == [route.path for function in Function for route in function.routes]


def test_the_load_gate_loads_every_route() -> None:
    mix = environment("dev").gate.mix
    sent = [Scenario(mix, seed=1).request(index) for index in range(100 * len(mix))]
    assert {each.route for each in sent} == {function.path for function in Function}
    # And each of the routes that a function serves is sent its method, except the reviewer's
    paths = {(each.method, each.target.partition("?")[0].replace(NOBODYS, "{transaction_id}")) for each in sent}
    assert paths == {tuple(route) for function in Function for route in function.routes if "decision" not in route.path}


def test_the_function_that_makes_aliases_makes_the_stable_one() -> None:
    assert blue_alias._ALIAS == Colour.STABLE


def test_the_handler_of_the_closed_version_exists() -> None:
    assert f"{closed.__name__}.{closed.handler.__name__}" == names.CLOSED_HANDLER
