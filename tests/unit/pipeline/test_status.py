"""``python -m pipeline.status`` on a pipeline whose approval holds others up."""

from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pipeline.status import main

WHEN = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)


def execution(id: str, status: str, **more: Any) -> dict[str, Any]:
    revision = {"actionName": "Source", "revisionId": f"{id}-commit-of-forty-characters"}
    return {"pipelineExecutionId": id, "status": status, "startTime": WHEN, "sourceRevisions": [revision], **more}


@pytest.fixture
def codepipeline(monkeypatch: pytest.MonkeyPatch) -> Stubber:
    """CodePipeline's own client, which refuses answers of another form than the service's."""
    client = boto3.client("codepipeline", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    monkeypatch.setattr(boto3.Session, "client", lambda self, service: client)
    stubber = Stubber(client)
    stubber.activate()
    return stubber


def test_it_names_what_waits_for_a_person_and_what_waits_behind_it(
    codepipeline: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given an execution that waits for approval before prod, one behind it, and one that changed the pipeline
    asked = {"status": "InProgress", "lastStatusChange": WHEN, "token": "1-2-3"}
    codepipeline.add_response(
        "get_pipeline_state",
        {
            "stageStates": [
                {
                    "stageName": "Prod",
                    "latestExecution": {"pipelineExecutionId": "aaaa", "status": "InProgress"},
                    "inboundExecutions": [{"pipelineExecutionId": "bbbb", "status": "InProgress"}],
                    "actionStates": [{"actionName": "PromoteToProd", "latestExecution": asked}],
                },
                {"stageName": "After", "actionStates": []},
            ]
        },
    )
    updated = "Cancelled: the pipeline's definition was updated"
    codepipeline.add_response(
        "list_pipeline_executions",
        {
            "pipelineExecutionSummaries": [
                execution("aaaa", "InProgress"),
                execution("bbbb", "InProgress"),
                execution("cccc", "Cancelled", statusSummary=updated),
            ]
        },
    )
    # When somebody asks
    assert main([]) == 0
    # Then all of that is said
    prod, behind, after, cancelled = capsys.readouterr().out.splitlines()
    assert prod.split() == [
        "Prod", "InProgress", "aaaa", "aaaa-commit-", "since", "2026-11-28", "09:30", "UTC",
        "waits", "for", "a", "person:", "PromoteToProd",
    ]  # fmt: skip
    assert behind.split()[:3] == ["waits", "bbbb", "bbbb-commit-"]
    assert after.split() == ["After", "never", "ran"]
    assert cancelled.endswith(f": {updated}")


def test_a_pipeline_that_can_not_be_read_is_an_error(codepipeline: Stubber, capsys: pytest.CaptureFixture[str]) -> None:
    codepipeline.add_client_error("get_pipeline_state", "PipelineNotFoundException", "no such pipeline")
    assert main([]) == 3
    assert "PipelineNotFoundException" in capsys.readouterr().err
