"""The OpenAPI document is valid and complete, and the functions follow it."""

import json
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from lambdas.api import contract, problems
from lambdas.api.problems import Problem

DOCUMENT: dict[str, Any] = json.loads(contract.OPENAPI.read_text())
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}


def resolved(node: Any) -> Any:
    """``node`` with local references replaced."""
    if isinstance(node, dict):
        if "$ref" in node:
            target = DOCUMENT
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            return resolved(target)
        return {name: resolved(value) for name, value in node.items()}
    return [resolved(value) for value in node] if isinstance(node, list) else node


def test_it_is_a_valid_openapi_3_1_document() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


@pytest.mark.parametrize("route", OPERATIONS)
def test_its_examples_match_its_schemas(route: str) -> None:
    operation = OPERATIONS[route]
    contents = [operation["requestBody"]["content"]["application/json"]] if "requestBody" in operation else []
    contents += [answer["content"]["application/json"] for code, answer in operation["responses"].items() if code < "3"]
    for content in contents:
        for example in content["examples"].values():
            jsonschema.validate(example["value"], resolved(content["schema"]))


@pytest.mark.parametrize("code", problems.CODES)
def test_every_problem_has_its_status_in_the_contract_and_the_documented_shape(code: str) -> None:
    problem = Problem(code)
    assert any(str(problem.status) in operation["responses"] for operation in OPERATIONS.values())
    jsonschema.validate(problem.body("request-1"), resolved(DOCUMENT["components"]["schemas"]["Problem"]))


REQUESTS = {
    operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]: example["value"]
    for operation in OPERATIONS.values()
    if "requestBody" in operation
    for example in operation["requestBody"]["content"]["application/json"]["examples"].values()
}
"""A good body by its schema."""


@pytest.mark.parametrize("schema", REQUESTS)
def test_functions_and_schema_refuse_the_same_bodies(schema: str) -> None:
    """API Gateway, other JSON Schema validators and the functions must agree on the schema."""
    validator = jsonschema.Draft202012Validator(contract.schema(schema))
    good = REQUESTS[schema]
    bodies: list[Any] = [None, [], {}, "x", good, good | {"cvv": "1"}]
    for name in contract.schema(schema)["properties"]:
        values = [None, True, 0, -1, 1, 1.5, "", "A", "1", "US", "USD", "2030-01", "::1", "4111111111111111", [], {}]
        values += ["a\nb", "\x00", "\x7f", "\ud800", "é" * 200, "x" * 201, "void", "approve"]
        bodies += [good | {name: value} for value in values]
        bodies.append({key: value for key, value in good.items() if key != name})
    for body in bodies:
        try:
            contract.check(body, schema)
            accepted = True
        except Problem:
            accepted = False
        assert accepted == validator.is_valid(body), body


def test_api_gateways_refusals_have_the_documented_shape_and_no_code_of_the_functions() -> None:
    """The template takes status and title of API Gateway's own answers from the same file."""
    file = json.loads((contract.OPENAPI.parent / "problems.json").read_bytes())
    assert not file["gateway"].keys() & file["functions"].keys()
    for code, problem in file["gateway"].items():
        document = {"type": file["type_prefix"] + code, **problem, "request_id": "request-1"}
        jsonschema.validate(document, resolved(DOCUMENT["components"]["schemas"]["Problem"]))


def test_each_missing_field_is_named() -> None:
    with pytest.raises(Problem) as refused:
        contract.check({"currency": "USD"})
    errors = refused.value.body("id")["errors"]
    assert {each["field"] for each in errors} == {"/customer_id", "/amount", "/card_number"}
    assert {(each["code"], each["detail"]) for each in errors} == {("required", "This field is required.")}
