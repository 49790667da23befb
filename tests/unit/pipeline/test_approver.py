"""Whether an approver is the author: names of IAM and of a machine, held against e-mail addresses of a commit."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline import approver
from pipeline.approver import Refused, is_author, require_another

SESSION = "arn:aws:sts::111111111111:assumed-role/AWSReservedSSO_Approver_1a/{}".format
ANN = "Ann <ann@company.net>"
ADDRESSES = {"ann": ["ann@company.net", "7+ann@users.noreply.github.com"], "bob": ["bob@company.net"]}


@pytest.mark.parametrize(
    ("who", "made", "answer"),
    [
        (SESSION("ann@company.net"), [ANN], True),
        (SESSION("Ann@Company.net"), [ANN], True),
        (SESSION("bob@company.net"), [ANN], False),
        (SESSION("bob@company.net"), [ANN, "Bob <bob@company.net>"], True),  # the committer
        ("ann", ["Ann <7+ann@users.noreply.github.com>"], True),
        ("arn:aws:iam::111111111111:user/team/bob", [ANN], False),
        (SESSION("bob@company.net"), ["ann@company.net <x> Bob"], None),  # a name that looks like an address
        (SESSION("session-1"), [ANN], None),
        ("root", [ANN], None),
        ("arn:aws:iam::111111111111:root", [ANN], None),
        ("ann", [None], None),
        ("ann", [""], None),
    ],
)
def test_a_person_is_known_by_their_addresses(who: str, made: list[str | None], answer: bool | None) -> None:
    assert is_author(who, made, ADDRESSES) is answer


@pytest.mark.parametrize(
    ("who", "made", "said"),
    [
        ("ann", ANN, "ann made this commit. Somebody else must approve it."),
        ("root", ANN, "Name them in PIPELINE.addresses"),
        ("bob", None, "Nobody knows who made this commit"),
    ],
)
def test_who_is_not_known_to_be_another_may_not_approve(who: str, made: str | None, said: str) -> None:
    with pytest.raises(Refused) as refused:
        require_another(who, [made], ADDRESSES)
    assert said in str(refused.value)


def action(stage: str, category: str, at: int, status: str = "Succeeded", **more: Any) -> dict[str, Any]:
    return {"stageName": stage, "status": status, "startTime": f"2026-11-29T01:{at:02}:00",
            "input": {"actionTypeId": {"category": category}}, **more}  # fmt: skip


SOURCE = action("Source", "Source", 0, output={"outputVariables": {"AuthorDisplayName": "Ann",
                                                                  "AuthorEmail": "ann@company.net"}})  # fmt: skip


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        ([SOURCE, action("Prod", "Approval", 1, updatedBy=SESSION("bob@company.net"))], ""),
        (
            [SOURCE, action("Prod", "Approval", 1, updatedBy=SESSION("ann@company.net"))],
            "Somebody else must approve it",
        ),
        # The stage was retried, and another one has approved then; or the other way round
        (
            [
                SOURCE,
                action("Prod", "Approval", 1, updatedBy=SESSION("ann@company.net")),
                action("Prod", "Approval", 2, updatedBy=SESSION("bob@company.net")),
            ],
            "",
        ),
        (
            [
                SOURCE,
                action("Prod", "Approval", 2, updatedBy=SESSION("ann@company.net")),
                action("Prod", "Approval", 1, updatedBy=SESSION("bob@company.net")),
            ],
            "Retry all actions of Prod",
        ),
        # Neither the approval of another stage counts, nor one that was not given
        ([SOURCE, action("ApprovePipeline", "Approval", 1, updatedBy=SESSION("bob@company.net"))], "does not say who"),
        ([SOURCE, action("Prod", "Approval", 1, "Failed", updatedBy=SESSION("bob@company.net"))], "does not say who"),
        ([SOURCE, action("Prod", "Approval", 1)], "does not say who"),
        (
            [action("Source", "Source", 0), action("Prod", "Approval", 1, updatedBy=SESSION("bob@company.net"))],
            "Nobody knows who made this commit",
        ),
        (None, "does not say who"),
    ],
)
def test_the_pipeline_goes_on_only_if_another_one_has_approved(
    actions: list[dict[str, Any]] | None, said: str, tmp_path: Path
) -> None:
    # Given what CodePipeline tells about an execution
    (tmp_path / "answer").write_text(json.dumps({"actionExecutionDetails": actions}))
    (tmp_path / "aws").write_text(f"#!/bin/sh\n{'exit 254' if actions is None else f'cat {tmp_path}/answer'}\n")
    (tmp_path / "aws").chmod(0o755)
    # When the step between approval and deployment runs, isolated
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PIPELINE_NAME": "p", "PIPELINE_EXECUTION_ID": "x",
                 "ADDRESSES": "{}"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-I", "-", "Prod"],
        input=Path(approver.__file__).read_text(),
        env=variables,
        capture_output=True,
        text=True,
    )
    # Then
    assert (done.returncode == 0) is (said == ""), done.stderr
    assert said in done.stderr
