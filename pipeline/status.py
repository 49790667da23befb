"""Shows where the pipeline on AWS is, what waits for a person, and which executions wait behind that.

    python -m pipeline.status

Executions run one by one (execution mode QUEUED): a stage is locked until its execution has left it, and nothing
overtakes. So a push waits while another one waits for approval, for seven days at most. An execution that changed the
pipeline itself ends as cancelled; a new one with the same commit follows it.

Exit codes: 0 shown; 2 usage; 3 the pipeline could not be read.
"""

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC
from enum import IntEnum
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

import names
from environments import PIPELINE
from pipeline.aws import session
from pipeline.output import say

LATEST = 20
"""Executions that are shown at most when they have ended."""


class ExitCode(IntEnum):
    SHOWN = 0
    USAGE = 2
    NOT_READ = 3


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.status", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args(arguments)
    try:
        client: Any = session(PIPELINE.region).client("codepipeline")
        state = client.get_pipeline_state(name=names.PIPELINE)
        recent = client.list_pipeline_executions(pipelineName=names.PIPELINE, maxResults=LATEST)
    except (BotoCoreError, ClientError) as error:
        say(f"{names.PIPELINE} can't be read: {error}", sys.stderr)
        return ExitCode.NOT_READ
    for line in lines(state["stageStates"], recent["pipelineExecutionSummaries"]):
        say(line)
    return ExitCode.SHOWN


def lines(stages: list[Any], executions: list[Any]) -> Iterator[str]:
    """``stages`` and ``executions`` as CodePipeline's ``GetPipelineState`` and ``ListPipelineExecutions`` give them."""
    by_id = {each["pipelineExecutionId"]: each for each in executions}
    for stage in stages:
        latest = stage.get("latestExecution")
        if latest is None:
            yield f"{stage['stageName']:<16} never ran"
            continue
        yield f"{stage['stageName']:<16} {latest['status']:<11} {_execution(latest, by_id)}{_approval(stage)}"
        for waiting in stage.get("inboundExecutions", []):
            yield f"{'':<16} waits       {_execution(waiting, by_id)}"
    for ended in executions:
        if ended["status"] in ("Cancelled", "Failed", "Stopped"):
            summary = ended.get("statusSummary", "")
            yield f"{'':<16} {ended['status']:<11} {_execution(ended, by_id)}{f': {summary}' if summary else ''}"


def _execution(named: Any, by_id: dict[str, Any]) -> str:
    """The execution's id, with commit and start if it is among the latest."""
    id = named["pipelineExecutionId"]
    known = by_id.get(id)
    if known is None:
        return str(id)
    commits = " ".join(each["revisionId"][:12] for each in known.get("sourceRevisions", []))
    return f"{id} {commits} since {known['startTime'].astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _approval(stage: Any) -> str:
    """That a person is asked, where an action has a token with which to answer."""
    asked = [each["actionName"] for each in stage["actionStates"] if each.get("latestExecution", {}).get("token")]
    return f"  waits for a person: {', '.join(asked)}" if asked else ""


if __name__ == "__main__":
    sys.exit(main())
