"""Promotions by AWS CodePipeline: executions, actions, the logs of builds, and approvals, by the caller's own rights.

``codepipeline:ListPipelineExecutions``, ``ListActionExecutions``, ``GetPipeline``, ``GetPipelineState``,
``codebuild:BatchGetBuilds``, ``logs:GetLogEvents``; to compare, ``s3:GetObject`` of the artifacts and ``kms:Decrypt``;
to decide, ``codepipeline:PutApprovalResult``, and with the setting ``another_approves`` ``sts:GetCallerIdentity``.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import names
from console import text
from console.actions import Actions
from console.platforms import Clients
from console.promotions.executions import promotion_of, tokens_of
from console.promotions.model import CannotDecide, Decision, Log, NotFound, Promotion, history
from console.promotions.reviews import ASSEMBLY, SOURCE, Reviews, unpack
from console.reading import Cached, Reading
from environments import PIPELINE
from pipeline import approver
from pipeline.release.aws import calling
from pipeline.release.ports import Unavailable

LATEST = 12
"""Executions that are shown. Each costs a call, until it has ended."""
SECONDS = 3.0
"""Between two readings, while somebody looks."""
LOG_EVENTS = 500
SUMMARY_STEP, SUMMARY_FILES = "Summary", ("change.txt", "brief.txt")
"""The step that sums up a change before an approval, and what it writes: the second one if it can't compare."""
AT_ONCE = 4
"""Calls. CodePipeline throttles more of them."""


class CodePipelinePromotions:
    """A call that is refused keeps no other from being shown. ``client``: those of the pipeline's account."""

    def __init__(self, client: Clients, actions: Actions, reviews: Reviews) -> None:
        self._client, self._actions, self._reviews = client, actions, reviews
        self._ended: dict[str, Promotion] = {}
        self._builds: dict[str, tuple[str, str]] = {}
        """Log group and stream of each build."""
        self._cached = Cached(self._read, seconds=lambda: SECONDS)

    def reading(self) -> Reading[Sequence[Promotion]]:
        found = self._cached.get()
        promotions, troubles = found.value or (None, ())
        failure = found.failure or "; ".join(troubles) or None
        return Reading(value=promotions, at=found.at, failure=failure, asked=found.asked)

    def latest(self) -> Sequence[Promotion]:
        """Raises ``ConnectionError`` until CodePipeline has answered once. What it gives may be old; a decision is held
        against what CodePipeline says then."""
        found = self.reading()
        if found.value is None:
            raise ConnectionError(found.failure or "CodePipeline has not answered yet.")
        return found.value

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
        return [*lines, *self._summary(promotion)]

    def compare(self, base: str, head: str) -> Path:
        one, other = self._promotion(base), self._promotion(head)
        file = self._reviews.file(one.id, other.id)
        if file.exists():
            return file
        with TemporaryDirectory(prefix="compare-") as name:
            folders = Path(name) / "base", Path(name) / "head"
            for promotion, folder in zip((one, other), folders, strict=True):
                self._bring(promotion, folder)
            return self._reviews.write(file, *folders, one.commit.revision[:12])

    def decide(self, promotion: str, step: str, decision: Decision, *, name: str, comment: str) -> str:
        stage, asked = self._promotion(promotion).question(step)
        client = self._client("codepipeline")
        with calling("reading the approval"):
            state = client.get_pipeline_state(name=names.PIPELINE)
        token = tokens_of(state, promotion).get((stage.name, asked.name))
        if token is None:
            raise CannotDecide(f"somebody else has decided {asked.name} of execution {promotion} already")
        if decision == "approve" and PIPELINE.another_approves:
            self._require_another(promotion)
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

    def _summary(self, promotion: str) -> Sequence[str]:
        """What the pipeline has last written for an approval of the execution, if it has."""
        with calling("reading what the execution did"):
            done = sorted(_executed(self._client("codepipeline"), promotion), key=lambda each: each["startTime"])
        made = [each.get("output", {}).get("outputArtifacts") for each in done if each["actionName"] == SUMMARY_STEP]
        if not made or not made[-1]:
            return []
        try:
            with TemporaryDirectory(prefix="summary-") as folder:
                self._fetch(made[-1][0]["s3location"], Path(folder))
                written = [file for name in SUMMARY_FILES if (file := Path(folder) / name).exists()]
                said = written[0].read_text(errors="replace") if written else "it is empty"
        except (NotFound, Unavailable) as error:
            said = f"it can't be read: {error}"
        return ["The pipeline's summary:", *(f"  {text.line(each)}" for each in said.splitlines())]

    def _require_another(self, promotion: str) -> None:
        """Raises ``CannotDecide`` if the settings ask for somebody else. The pipeline would refuse it later."""
        with calling("asking who you are, and who made the commit"):
            caller = self._client("sts").get_caller_identity()["Arn"]
            author = approver.author_of(_executed(self._client("codepipeline"), promotion))
        try:
            approver.require_another(caller, [author], PIPELINE.addresses)
        except approver.Refused as reason:
            raise CannotDecide(str(reason)) from reason

    def _bring(self, promotion: Promotion, folder: Path) -> None:
        """Write what an execution has checked out and synthesised into ``folder``, from the artifacts of its actions.
        Raises ``NotFound`` and ``Unavailable``."""
        with calling("reading what the execution did"):
            done = sorted(_executed(self._client("codepipeline"), promotion.id), key=lambda each: each["startTime"])
        made = {_makes(each): each["output"].get("outputArtifacts") for each in done if each["status"] == "Succeeded"}
        for part in (SOURCE, ASSEMBLY):
            if not made.get(part):
                raise NotFound(f"execution {promotion.id} has no {part}: it did not come so far")
            self._fetch(made[part][0]["s3location"], folder / part)

    def _fetch(self, location: Mapping[str, str], folder: Path) -> None:
        with TemporaryFile() as packed:
            with calling(f"reading {folder.name} of the execution"):
                body = self._client("s3").get_object(Bucket=location["bucket"], Key=location["key"])["Body"]
                shutil.copyfileobj(body, packed)
            unpack(packed, folder)

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

    def _read(self) -> tuple[Sequence[Promotion], Sequence[str]]:
        """The executions, and which parts of them were refused. After a refusal the credentials are read anew."""
        client, troubles = self._client("codepipeline"), dict[str, None]()

        def part(what: str, call: Callable[[], Any]) -> Any:
            try:
                with calling(what):
                    return call()
            except Unavailable as error:
                troubles[str(error)] = None

        def execution(raw: Any) -> Promotion:
            id = raw["pipelineExecutionId"]
            if id in self._ended:
                return self._ended[id]
            actions = part("reading what the executions did", lambda: _executed(client, id))
            promotion = promotion_of(raw, actions or [], definition or [], state or {"stageStates": []})
            if promotion.status not in ("running", "waiting") and definition and actions is not None:
                self._ended[id] = promotion
            return promotion

        pipeline = {"name": names.PIPELINE}
        listed = part(
            "reading the pipeline",
            lambda: client.list_pipeline_executions(pipelineName=names.PIPELINE, maxResults=LATEST),
        )
        definition = part(
            "reading the pipeline's stages", lambda: client.get_pipeline(**pipeline)["pipeline"]["stages"]
        )
        state = part("reading who is asked", lambda: client.get_pipeline_state(**pipeline))
        found: list[Promotion] = []
        if listed is not None:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                found = list(pool.map(execution, listed["pipelineExecutionSummaries"]))
        if troubles:
            self._client.forget()
        if listed is None:
            raise ConnectionError("; ".join(troubles))
        return found, tuple(troubles)


def _executed(client: Any, id: str) -> list[Any]:
    listing = client.get_paginator("list_action_executions")
    pages = listing.paginate(pipelineName=names.PIPELINE, filter={"pipelineExecutionId": id})
    return [each for page in pages for each in page["actionExecutionDetails"]]


def _makes(action: Any) -> str:
    """The part of a promotion that is the output of ``action``; empty for none."""
    asked = action["input"]
    if asked["actionTypeId"]["category"] == "Source":
        return SOURCE
    return ASSEMBLY if asked.get("configuration", {}).get("ProjectName") == names.SYNTH_PROJECT else ""
