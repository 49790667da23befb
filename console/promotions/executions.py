"""An execution as CodePipeline's API tells it, as a promotion of our model."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from console import text
from console.platforms import PERMANENT
from console.promotions.model import Commit, Promotion, Stage, Status, Step, Verdict

EXECUTIONS: Mapping[str, Status] = {
    "InProgress": "running",
    "Stopping": "running",
    "Succeeded": "succeeded",
    "Failed": "failed",
    "Stopped": "interrupted",
    "Superseded": "superseded",
    "Cancelled": "superseded",  # it changed the pipeline itself; another execution of the same commit follows
}
ACTIONS: Mapping[str, Status] = {
    "InProgress": "running",
    "Succeeded": "succeeded",
    "Failed": "failed",
    "Abandoned": "interrupted",
}


def promotion_of(raw: Any, actions: Sequence[Any], definition: Sequence[Any], state: Any) -> Promotion:
    """``raw``: the execution; ``actions``: what it did; ``definition``: the pipeline's stages, those of the actions if
    it is empty; ``state``: that of the pipeline."""
    id = raw["pipelineExecutionId"]
    tokens = tokens_of(state, id)
    done: dict[tuple[str, str], Any] = {}
    for action in sorted(actions, key=lambda each: each["startTime"]):
        done[(action["stageName"], action["actionName"])] = action  # of several attempts, the last
    revisions = raw.get("sourceRevisions") or [{}]
    status = EXECUTIONS.get(raw["status"], "running")
    stages = tuple(
        Stage(
            name=stage["name"],
            environment=stage["name"].lower() if stage["name"].lower() in PERMANENT else "",
            steps=tuple(
                _step(stage["name"], action, done.get((stage["name"], action["name"])), tokens)
                for action in sorted(stage["actions"], key=lambda each: each.get("runOrder", 1))
            ),
        )
        for stage in definition or _stages_of(done.values())
    )
    ended = raw["lastUpdateTime"].timestamp() if status != "running" else None
    return Promotion(
        id=id,
        commit=Commit(
            revision=text.line(revisions[0].get("revisionId", "")),
            subject=_message(revisions[0].get("revisionSummary", "")),
        ),
        status="waiting" if tokens and status == "running" else status,
        started=raw["startTime"].timestamp(),
        ended=ended,
        failure=text.line(raw.get("statusSummary", "")),
        note=_waits(state, id),
        stages=stages,
        verdicts=tuple(_verdict(each) for each in done.values() if _decided(each)),
    )


def _step(stage: str, action: Any, done: Any, tokens: Mapping[tuple[str, str], str]) -> Step:
    is_approval = action["actionTypeId"]["category"] == "Approval"
    id = f"{stage}-{action['name']}"
    if done is None:
        return Step(id=id, name=action["name"], status="pending", is_approval=is_approval)
    result = done.get("output", {}).get("executionResult", {})
    status = ACTIONS.get(done["status"], "running")
    waits = (stage, action["name"]) in tokens
    rejected = is_approval and status == "failed"
    link = str(result.get("externalExecutionUrl", ""))
    return Step(
        id=id,
        name=action["name"],
        status="waiting" if waits else "rejected" if rejected else status,
        is_approval=is_approval,
        started=done["startTime"].timestamp(),
        ended=done["lastUpdateTime"].timestamp() if status != "running" else None,
        detail=_message(result.get("externalExecutionSummary", "")),
        link=link if link.startswith("https://") else None,
        build=result.get("externalExecutionId") if action["actionTypeId"]["provider"] == "CodeBuild" else None,
    )


def _decided(action: Any) -> bool:
    kind = action.get("input", {}).get("actionTypeId", {}).get("category")
    return kind == "Approval" and action["status"] in ("Succeeded", "Failed")


def _verdict(action: Any) -> Verdict:
    result = action.get("output", {}).get("executionResult", {})
    return Verdict(
        step=action["actionName"],
        decision="approved" if action["status"] == "Succeeded" else "rejected",
        by=text.line(action.get("updatedBy", "unknown")),
        at=action["lastUpdateTime"].timestamp(),
        comment=text.line(result.get("externalExecutionSummary", "")),
    )


def tokens_of(state: Any, execution: str) -> Mapping[tuple[str, str], str]:
    """The tokens of the approvals for which ``execution`` waits, by stage and action."""
    return {
        (stage["stageName"], action["actionName"]): action["latestExecution"]["token"]
        for stage in state["stageStates"]
        if stage.get("latestExecution", {}).get("pipelineExecutionId") == execution
        for action in stage.get("actionStates", [])
        if action.get("latestExecution", {}).get("token") and action["latestExecution"].get("status") == "InProgress"
    }


def _waits(state: Any, execution: str) -> str:
    """Why ``execution`` does not go on, if another one is in the stage that it comes to."""
    for stage in state["stageStates"]:
        arrived = [*stage.get("inboundExecutions", []), stage.get("inboundExecution", {})]
        if execution in [each.get("pipelineExecutionId") for each in arrived]:
            inside = stage.get("latestExecution", {}).get("pipelineExecutionId", "")
            return f"it waits before {stage['stageName']}, where {inside[:8] or 'nothing'} is; a newer one overtakes it"
    return ""


def _message(summary: str) -> str:
    """What a source of CodeConnections says of its commit is JSON, unlike what all others say."""
    try:
        found = json.loads(summary)["CommitMessage"]
    except (KeyError, RecursionError, TypeError, ValueError):
        found = summary
    return text.line(str(found))


def _stages_of(actions: Iterable[Any]) -> Sequence[Any]:
    """The stages of the pipeline, as far as an execution came."""
    stages: dict[str, list[Any]] = {}
    for each in sorted(actions, key=lambda each: each["startTime"]):
        unknown = {"category": "", "provider": ""}
        kind = each.get("input", {}).get("actionTypeId", unknown)
        stages.setdefault(each["stageName"], []).append({"name": each["actionName"], "actionTypeId": kind})
    return [{"name": name, "actions": actions} for name, actions in stages.items()]
