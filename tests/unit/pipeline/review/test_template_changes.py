"""Other changes of a template: long values are cut to the difference, equal changes are one entry."""

from typing import Any

import pytest

from tests.unit.pipeline.review.given import changes, resource, stack, stacks, texts

HASHES = ("a" * 64, "b" * 64)


def one(before: dict[str, Any], after: dict[str, Any], type: str = "AWS::CloudWatch::Dashboard") -> list[str]:
    [entry] = changes(*({"R": resource(type, of)} for of in (before, after)))
    return [f"{each.sign} {each.text}" for each in entry.details]


def test_equal_templates_have_no_changes() -> None:
    same = {"R": resource("AWS::SNS::Topic", {"TopicName": "t"}, path="Topic")}
    assert changes(same, {"R": {**same["R"], "Metadata": {"aws:asset:path": "/elsewhere"}, "DependsOn": ["X"]}}) == []


def test_json_in_a_string_is_compared_by_its_parts_and_references_are_named() -> None:
    def body(period: int) -> dict[str, Any]:
        return {"DashboardBody": {"Fn::Join": ["", ['{"w":["', {"Ref": "AWS::Region"}, f'",{{"period":{period}}}]}}']]}}

    assert one(body(60), body(300)) == ["! DashboardBody.w[1].period: 60 → 300"]


def test_long_texts_are_cut_to_the_difference() -> None:
    [text] = one({"D": "x" * 200 + "old" + "y" * 200}, {"D": "x" * 200 + "new" + "y" * 200})
    assert text == f"! D: …{'x' * 20}old{'y' * 20}… → …{'x' * 20}new{'y' * 20}…"


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({"L": [1, 2, 3]}, {"L": [1, 3]}, ["- L[]: 2"]),
        ({"L": [1, 2]}, {"L": [1, 5]}, ["! L[1]: 2 → 5"]),
        ({"Tags": [{"Key": "a", "Value": "1"}]}, {"Tags": [{"Key": "a", "Value": "2"}]}, ["! Tags[a].Value: 1 → 2"]),
        ({"A": {"B": 1}}, {"A": {"C": 1}}, ["- A.B: 1", "+ A.C: 1"]),
        (
            {"Content": {"S3ObjectKey": f"{HASHES[0]}.zip"}},
            {"Content": {"S3ObjectKey": f"{HASHES[1]}.zip"}},
            ["! Content.S3ObjectKey: content changed (only its hash differs)"],
        ),
        (
            {"SourceObjectKeys": [HASHES[0]]},
            {"SourceObjectKeys": [HASHES[1]]},
            ["! SourceObjectKeys[0]: content changed (only its hash differs)"],
        ),
        ({"KeyId": "a" * 32}, {"KeyId": "b" * 32}, [f"! KeyId: {'a' * 32} → {'b' * 32}"]),
    ],
)
def test_differences_are_shown_with_their_paths(
    before: dict[str, Any], after: dict[str, Any], lines: list[str]
) -> None:
    assert one(before, after) == lines


def test_new_code_is_one_entry_with_the_names_of_its_functions() -> None:
    def functions(code: str) -> dict[str, dict[str, Any]]:
        return {
            name: resource(
                "AWS::Lambda::Function",
                {"FunctionName": f"f-{name}", "Code": {"S3Key": f"{code}.zip"}},
                path=f"F/{name}",
            )
            for name in ("one", "two")
        }

    assert texts(changes(functions(HASHES[0]), functions(HASHES[1]))) == [
        "rest: new code AWS::Lambda::Function F/one (f-one), F/two (f-two) (dev)"
    ]


def test_the_same_change_in_all_environments_is_one_entry() -> None:
    def environments(*periods: int) -> dict[str, Any]:
        return stacks(
            *(
                stack(
                    {"A": resource("AWS::SQS::Queue", {"Period": period, "Name": f"alarm-{name.lower()}"})}, path=path
                )
                for name, period in zip(("Dev", "Staging", "Prod"), periods, strict=True)
                for path in [f"{name}/Platform"]
            )
        )

    assert texts(changes(environments(1, 1, 1), environments(2, 2, 2))) == [
        "rest: changed AWS::SQS::Queue A (dev, staging, prod)\n! Period: 1 → 2"
    ]
    assert texts(changes(environments(1, 1, 1), environments(2, 2, 3))) == [
        "rest: changed AWS::SQS::Queue A (dev, staging)\n! Period: 1 → 2",
        "rest: changed AWS::SQS::Queue A (prod)\n! Period: 1 → 3",
    ]


def test_changes_that_differ_only_in_the_environments_name_are_one_entry() -> None:
    def topics(label: str) -> dict[str, Any]:
        return stacks(
            *(
                stack(
                    {"T": resource("AWS::SNS::Topic", {"DisplayName": f"{label}-{name}"})},
                    path=f"{name.title()}/Platform",
                )
                for name in ("dev", "prod")
            )
        )

    assert texts(changes(topics("a"), topics("b"))) == [
        "rest: changed AWS::SNS::Topic T (dev, prod)\n! DisplayName: a-{env} → b-{env}"
    ]


def test_changes_that_differ_only_in_ids_of_cdk_are_one_entry() -> None:
    def rules(port: int) -> dict[str, Any]:
        paths = {"Dev": "Group/from DevPlatformClientA96D47EC:443", "Prod": "Group/from ProdPlatformClient1C2B3D4E:443"}
        return stacks(
            *(
                stack(
                    {f"R{name}": {**resource("AWS::SQS::Queue", {"P": port}), "Metadata": {"aws:cdk:path": path}}},
                    path=f"{name}/Platform",
                )
                for name, path in paths.items()
            )
        )

    assert texts(changes(rules(1), rules(2))) == [
        "rest: changed AWS::SQS::Queue Group/from {env}PlatformClient:443 (dev, prod)\n! P: 1 → 2"
    ]


def test_a_new_environment_is_one_entry_and_a_removed_one_is_alarming() -> None:
    dev, prod = (stack({"B": resource("AWS::S3::Bucket")}, path=f"{name}/Platform") for name in ("Dev", "Prod"))
    assert texts(changes(stacks(dev), stacks(dev, prod))) == [
        "security: environment added stack payment-platform-prod (prod)\n"
        "+ 1 resources, 1 of them stateful; nothing to compare them with"
    ]
    [entry] = changes(stacks(dev, prod), stacks(dev))
    assert (entry.section, entry.action, entry.environments) == ("stateful", "environment removed", ("prod",))
    assert "CDK Pipelines does not delete the stack" in entry.details[0].text


def test_outputs_and_parameters_are_compared_too() -> None:
    base, head = (stacks(stack({}, Outputs={"Url": {"Value": value}})) for value in ("a", "b"))
    assert texts(changes(base, head)) == ["rest: changed stack Outputs (dev)\n! Url.Value: a → b"]
