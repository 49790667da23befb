"""CloudFormation does one thing at a time with a stack, and says so as AWS does."""

from collections.abc import Iterator
from typing import Any

import pytest
from ministack.services import cloudformation

from localcloud.emulator import failed_stacks

STACK = "payment-platform-dev"
Answer = tuple[int, dict[str, str], bytes]


def done(params: Any) -> Answer:
    """In the place of MiniStack's own function."""
    return 200, {}, b"done"


@pytest.fixture
def stack() -> Iterator[dict[str, Any]]:
    """A stack with two change sets. MiniStack gives the second a stack of its own, while there are no resources."""
    cloudformation._stacks[STACK] = {"StackName": STACK, "StackId": "arn:x", "StackStatus": "REVIEW_IN_PROGRESS"}
    for number in ("1", "2"):
        cloudformation._change_sets[f"arn:{number}"] = {
            "ChangeSetName": number, "StackName": STACK, "StackId": f"arn:stack-{number}",
        }  # fmt: skip
    yield cloudformation._stacks[STACK]
    del cloudformation._stacks[STACK]
    for number in ("1", "2"):
        cloudformation._change_sets.pop(f"arn:{number}", None)


def asked(function: Any, **params: str) -> Answer:
    answer: Answer = function(done, {"StackName": [STACK], **{name: [value] for name, value in params.items()}})
    return answer


@pytest.mark.parametrize(
    "state", ["CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "DELETE_IN_PROGRESS"]
)
def test_a_stack_at_work_takes_no_change_set_and_executes_none(stack: dict[str, Any], state: str) -> None:
    stack["StackStatus"] = state
    status, _, body = asked(failed_stacks.create_change_set, ChangeSetName="3", ChangeSetType="UPDATE")
    assert status == 400
    assert f"Stack:arn:x is in {state} state and can not be updated." in body.decode()
    status, _, body = asked(failed_stacks.execute_change_set, ChangeSetName="1")
    assert status == 400
    assert "<Code>InvalidChangeSetStatus</Code>" in body.decode()
    assert {"arn:1", "arn:2"} <= {*cloudformation._change_sets}


@pytest.mark.parametrize("state", ["ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED"])
def test_a_stack_that_failed_takes_no_change_set(stack: dict[str, Any], state: str) -> None:
    stack["StackStatus"] = state
    assert asked(failed_stacks.create_change_set, ChangeSetName="3")[0] == 400


@pytest.mark.parametrize("state", ["REVIEW_IN_PROGRESS", "CREATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"])
def test_an_execution_deletes_the_other_change_sets(stack: dict[str, Any], state: str) -> None:
    stack["StackStatus"] = state
    assert asked(failed_stacks.create_change_set, ChangeSetName="3")[0] == 200
    assert asked(failed_stacks.execute_change_set, ChangeSetName="1")[0] == 200
    assert "arn:1" in cloudformation._change_sets
    assert "arn:2" not in cloudformation._change_sets
