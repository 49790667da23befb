"""Promotions by AWS CodePipeline: executions, actions, the logs of builds, and approvals, by the caller's own rights.

``codepipeline:ListPipelineExecutions``, ``ListActionExecutions``, ``GetPipeline``, ``GetPipelineState``,
``codebuild:BatchGetBuilds``, ``logs:GetLogEvents``; to decide, ``codepipeline:PutApprovalResult``.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import names
from console import text
from console.actions import Actions
from console.platforms import PERMANENT
from console.promotions.model import (
    CannotDecide,
    Commit,
    Decision,
    Log,
    NotFound,
    Promotion,
    Stage,
    Status,
    Step,
    Verdict,
    history,
)
from console.reading import Cached
from pipeline.release.aws import calling

LATEST = 12
"""Executions that are shown. Each costs a call, until it has ended."""
SECONDS = 3.0
"""Between two readings, while somebody looks."""
LOG_EVENTS = 500

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


class CodePipelinePromotions:
    """``client``: makes a client of a service of the pipeline's account and region."""

    def __init__(self, client: Callable[[str], Any], actions: Actions) -> None:
        self._client, self._actions = client, actions
        self._ended: dict[str, Promotion] = {}
        self._builds: dict[str, tuple[str, str]] = {}
        """Log group and stream of each build."""
        self._cached = Cached(self._read, seconds=SECONDS)

    def latest(self) -> Sequence[Promotion]:
        """Raises ``ConnectionError`` while CodePipeline does not answer."""
        reading = self._cached.get()
        if reading.failure or reading.value is None:
            raise ConnectionError(reading.failure or "CodePipeline has not answered yet.")
        return reading.value

    def log(self, promotion: str, step: str, offset: int | None) -> Log:
        """``offset``: milliseconds since the epoch."""
        build = self._step(promotion, step)
        if build is None:
            return Log(lines=(), offset=offset or 0)
        group, stream = self._builds.get(build) or self._find_build(build)
        if not stream:
            return Log(lines=(), offset=offset or 0)
        since = {"startFromHead": True, "startTime": offset} if offset else {"startFromHead": False}
        with calling("reading the log of the build"):
            events = self._client("logs").get_log_events(
                logGroupName=group, logStreamName=stream, limit=LOG_EVENTS, **since
            )["events"]
        lines = tuple(text.line(event["message"]) for event in events)
        end = max((event["timestamp"] + 1 for event in events), default=offset or 0)
        return Log(lines=lines, offset=end, skipped=1 if offset is None and len(events) == LOG_EVENTS else 0)

    def change(self, promotion: str) -> Sequence[str]:
        found = self._promotion(promotion)
        deployed = {each.environment: each for each in history(self.latest()).deployed}
        lines = [f"To approve: {found.commit.revision[:12]} {found.commit.subject}"]
        stage, _ = found.waits_for or (None, None)
        if stage and stage.changes_pipeline:
            lines.append("  It changes the pipeline itself. Compare its template with the deployed one.")
        elif stage:
            before = deployed.get(stage.environment)
            runs = f"{before.commit.revision[:12]} {before.commit.subject}" if before and before.commit else "unknown"
            lines.append(f"  {stage.name} runs {runs}")
        lines += [f"  {stage.name} {s.name}: {s.detail}" for stage in found.stages for s in stage.steps if s.detail]
        return lines

    def compare(self, base: str, head: str) -> Path:
        raise NotFound("On AWS the review of a commit stands at its pull request: `make review` makes it here.")

    def decide(self, promotion: str, step: str, decision: Decision, *, name: str, comment: str) -> str:
        stage, asked = self._promotion(promotion).question(step)
        client = self._client("codepipeline")
        with calling("reading the approval"):
            state = client.get_pipeline_state(name=names.PIPELINE)
        token = _tokens(state, promotion).get((stage.name, asked.name))
        if token is None:
            raise CannotDecide(f"somebody else has decided {asked.name} of execution {promotion} already")
        status = "Approved" if decision == "approve" else "Rejected"

        def give() -> str:
            client.put_approval_result(
                pipelineName=names.PIPELINE,
                stageName=stage.name,
                actionName=asked.name,
                result={"summary": f"{comment} ({name}, in the console)"[:512], "status": status},
                token=token,
            )
            return f"{asked.name}: {status.lower()}"

        words = ("codepipeline", "put-approval-result", stage.name, asked.name, status)
        with calling("giving the decision"):
            done: str = self._actions.carry_out(words, give, target=f"promotion {promotion}", reason=comment)
        self._cached.expire()
        return done

    def _promotion(self, id: str) -> Promotion:
        found = next((each for each in self.latest() if each.id == id), None)
        if found is None:
            raise NotFound(f"there is no execution {id} among the last {LATEST}")
        return found

    def _step(self, promotion: str, step: str) -> str | None:
        """The build of a step; ``None`` for a step that is none."""
        return self._promotion(promotion).step(step).build

    def _find_build(self, build: str) -> tuple[str, str]:
        with calling("looking for the log of the build"):
            builds = self._client("codebuild").batch_get_builds(ids=[build])["builds"]
        logs = builds[0].get("logs", {}) if builds else {}
        found = (logs.get("groupName", ""), logs.get("streamName", ""))
        if all(found):
            self._builds[build] = found
        return found

    def _read(self) -> Sequence[Promotion]:
        client = self._client("codepipeline")
        with calling("reading the pipeline"):
            definition = client.get_pipeline(name=names.PIPELINE)["pipeline"]["stages"]
            state = client.get_pipeline_state(name=names.PIPELINE)
            executions = client.list_pipeline_executions(pipelineName=names.PIPELINE, maxResults=LATEST)
            return [self._execution(client, raw, definition, state) for raw in executions["pipelineExecutionSummaries"]]

    def _execution(self, client: Any, raw: Any, definition: Any, state: Any) -> Promotion:
        id = raw["pipelineExecutionId"]
        if id in self._ended:
            return self._ended[id]
        pages = client.get_paginator("list_action_executions").paginate(
            pipelineName=names.PIPELINE, filter={"pipelineExecutionId": id}
        )
        actions = [each for page in pages for each in page["actionExecutionDetails"]]
        promotion = promotion_of(raw, actions, definition, _tokens(state, id))
        if promotion.status not in ("running", "waiting"):
            self._ended[id] = promotion
        return promotion


def promotion_of(
    raw: Any, actions: Sequence[Any], definition: Sequence[Any], tokens: Mapping[tuple[str, str], str]
) -> Promotion:
    """An execution as CodePipeline's API tells it. ``tokens``: the approvals that wait, by stage and action."""
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
        for stage in definition
    )
    ended = raw["lastUpdateTime"].timestamp() if status != "running" else None
    return Promotion(
        id=raw["pipelineExecutionId"],
        commit=Commit(
            revision=text.line(revisions[0].get("revisionId", "")),
            subject=text.line(revisions[0].get("revisionSummary", "")),
        ),
        status="waiting" if tokens and status == "running" else status,
        started=raw["startTime"].timestamp(),
        ended=ended,
        failure=text.line(raw.get("statusSummary", "")),
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
        detail=text.line(result.get("externalExecutionSummary", "")),
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


def _tokens(state: Any, execution: str) -> Mapping[tuple[str, str], str]:
    """The tokens of the approvals for which ``execution`` waits, by stage and action."""
    return {
        (stage["stageName"], action["actionName"]): action["latestExecution"]["token"]
        for stage in state["stageStates"]
        if stage.get("latestExecution", {}).get("pipelineExecutionId") == execution
        for action in stage.get("actionStates", [])
        if action.get("latestExecution", {}).get("token") and action["latestExecution"].get("status") == "InProgress"
    }
