"""Promotions by CodePipeline: the same model as those of this machine."""

import io
import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

import names
from console import reading
from console.actions import Actions
from console.promotions import codepipeline, routes
from console.promotions.codepipeline import CodePipelinePromotions
from console.promotions.model import CannotDecide, NotFound, Promotion, history
from console.promotions.reviews import Reviews
from environments import PIPELINE
from tests.unit.archives import archive

from .aws_api import Answers
from .conftest import KEYS, OWN, Open, Recorded

BEGUN = datetime(2026, 11, 29, 1, 0, tzinfo=UTC)


def kind(category: str, provider: str) -> dict[str, str]:
    return {"category": category, "owner": "AWS", "provider": provider, "version": "1"}


STAGES = [
    {"name": "Source", "actions": [{"name": "main", "actionTypeId": kind("Source", "CodeStarSourceConnection")}]},
    {"name": "Build", "actions": [{"name": "Synth", "actionTypeId": kind("Build", "CodeBuild")}]},
    {"name": "ApprovePipeline", "actions": [{"name": "ChangePipeline", "actionTypeId": kind("Approval", "Manual")}]},
    {"name": "Dev", "actions": [
        {"name": "LoadGate", "runOrder": 2, "actionTypeId": kind("Build", "CodeBuild")},
        {"name": "Deploy", "runOrder": 1, "actionTypeId": kind("Deploy", "CloudFormation")},
    ]},
    {"name": "Prod", "actions": [
        {"name": "PromoteToProd", "runOrder": 1, "actionTypeId": kind("Approval", "Manual")},
        {"name": "Deploy", "runOrder": 2, "actionTypeId": kind("Deploy", "CloudFormation")},
    ]},
]  # fmt: skip


def execution(id: str, status: str, revision: str, minutes: int = 0) -> dict[str, Any]:
    at = BEGUN + timedelta(minutes=minutes)
    said = {"ProviderType": "GitHub", "CommitMessage": f"Change <{revision}>\nmore"}
    source = {"actionName": "main", "revisionId": revision * 40, "revisionSummary": json.dumps(said)}
    return {"pipelineExecutionId": id, "status": status, "startTime": at, "lastUpdateTime": at + timedelta(minutes=5),
            "sourceRevisions": [source]}  # fmt: skip


def action(stage: str, name: str, status: str, minute: int, **result: str) -> dict[str, Any]:
    category = next(a["actionTypeId"] for s in STAGES if s["name"] == stage for a in s["actions"] if a["name"] == name)
    at = BEGUN + timedelta(minutes=minute)
    return {"stageName": stage, "actionName": name, "status": status, "startTime": at, "updatedBy": "arn:ann",
            "lastUpdateTime": at + timedelta(seconds=30), "input": {"actionTypeId": category},
            "output": {"executionResult": result}}  # fmt: skip


def decision(decision: str, reason: str = "x", step: str = "Prod-PromoteToProd") -> dict[str, str]:
    given = {"promotion": "two", "step": step, "decision": decision}
    return given | {"name": "Ann", "reason": reason, "csrf": KEYS.csrf}


class Aws(Answers):
    """CodePipeline, CodeBuild and CloudWatch Logs with one promotion that waits and one that went through."""

    def __init__(self) -> None:
        super().__init__()
        through = [action("Source", "main", "Succeeded", 0), action("Dev", "Deploy", "Succeeded", 1),
                   action("Dev", "LoadGate", "Failed", 1), action("Dev", "LoadGate", "Succeeded", 2),
                   action("Prod", "PromoteToProd", "Succeeded", 3, externalExecutionSummary="looked at it"),
                   action("Prod", "Deploy", "Succeeded", 4)]  # fmt: skip
        gate = {"externalExecutionId": "gate:1", "externalExecutionUrl": "https://aws.example/build",
                "externalExecutionSummary": "pass: p99 <= 200 ms"}  # fmt: skip
        waits = [
            action("Source", "main", "Succeeded", 10),
            action("Dev", "Deploy", "Succeeded", 11),
            action("Dev", "LoadGate", "Succeeded", 12, **gate),
            action("Prod", "PromoteToProd", "InProgress", 13),
        ]
        self.actions = {"one": through, "two": waits}
        self.executions = [execution("two", "InProgress", "b", 10), execution("one", "Succeeded", "a")]
        self.token: str | None = "token-2"
        self.asks = ("Prod", "PromoteToProd")
        self.decisions: list[dict[str, Any]] = []
        self.caller = ""
        self.events = [{"timestamp": 1000, "message": "measured 5 s\n"}, {"timestamp": 2000, "message": "\x1b[32mpass"}]
        self.asked: list[str] = []
        self.objects: dict[str, bytes] = {}
        self.arrived: list[str] = []
        """Executions that wait before the stage that asks."""

    def get_pipeline(self, name: str) -> Any:
        return {"pipeline": {"name": name, "roleArn": "arn:aws:iam::1:role/p", "stages": STAGES}}

    def list_pipeline_executions(self, pipelineName: str, maxResults: int) -> Any:
        return {"pipelineExecutionSummaries": self.executions[:maxResults]}

    def list_action_executions(self, pipelineName: str, filter: dict[str, str], nextToken: str = "0") -> Any:
        """A page has two."""
        id, first = filter["pipelineExecutionId"], int(nextToken)
        self.asked += [id] if first == 0 else []
        more = {"nextToken": str(first + 2)} if first + 2 < len(self.actions[id]) else {}
        return {"actionExecutionDetails": self.actions[id][first : first + 2], **more}

    def get_pipeline_state(self, name: str) -> Any:
        latest = {"status": "InProgress", **({"token": self.token} if self.token else {})}
        return {"pipelineName": name, "stageStates": [
            {"stageName": self.asks[0], "latestExecution": {"pipelineExecutionId": "two", "status": "InProgress"},
             "inboundExecutions": [{"pipelineExecutionId": each, "status": "InProgress"} for each in self.arrived],
             "actionStates": [{"actionName": self.asks[1], "latestExecution": latest}]},
            {"stageName": "Dev", "actionStates": [{"actionName": "LoadGate"}]},
        ]}  # fmt: skip

    def batch_get_builds(self, ids: list[str]) -> Any:
        assert ids == ["gate:1"]
        return {"builds": [{"logs": {"groupName": "/payment/builds", "streamName": "gate/1"}}]}

    def get_log_events(self, startTime: int = 0, **_: Any) -> Any:
        return {"events": [each for each in self.events if each["timestamp"] >= startTime]}

    def get_object(self, Bucket: str, Key: str, ChecksumMode: str) -> Any:
        assert Bucket == "artifacts"
        return {"Body": io.BytesIO(self.objects[Key])}

    def ask_about_the_pipeline(self) -> None:
        """The promotion that waits does so for the change of the pipeline."""
        self.asks = ("ApprovePipeline", "ChangePipeline")
        self.actions["two"] = [*self.actions["two"][:1], action(*self.asks, "InProgress", 11)]

    def get_caller_identity(self) -> Any:
        return {"Arn": self.caller}

    def put_approval_result(self, **given: Any) -> Any:
        self.decisions.append(given)
        return {"approvedAt": BEGUN}


@pytest.fixture
def aws() -> Aws:
    return Aws()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page waits for the first answer, however slow the first client of AWS is made."""
    monkeypatch.setattr(reading, "FIRST_WAIT_SECONDS", 10.0)


def promotions(aws: Any, actions: Actions) -> CodePipelinePromotions:
    return CodePipelinePromotions(aws, actions, Reviews(actions._root / "comparisons", actions))


@pytest.fixture
def source(aws: Aws, actions: Recorded) -> CodePipelinePromotions:
    return promotions(aws, actions)


def statuses(promotion: Promotion) -> dict[str, list[str]]:
    return {stage.name: [f"{step.name} {step.status}" for step in stage.steps] for stage in promotion.stages}


def test_an_execution_is_a_promotion_of_the_same_model(source: CodePipelinePromotions) -> None:
    two, one = source.latest()
    assert (two.status, two.commit.short, two.commit.subject) == ("waiting", "bbbbbbbbbb", "Change <b>")
    assert statuses(two) == {
        "Source": ["main succeeded"],
        "Build": ["Synth pending"],
        "ApprovePipeline": ["ChangePipeline pending"],
        "Dev": ["Deploy succeeded", "LoadGate succeeded"],
        "Prod": ["PromoteToProd waiting", "Deploy pending"],
    }
    assert [stage.name for stage in two.path] == ["Source", "Build", "Approval", "Dev", "Approval", "Prod"]
    # Of several attempts at a step, the last counts
    assert statuses(one)["Dev"] == ["Deploy succeeded", "LoadGate succeeded"]
    [verdict] = one.verdicts
    assert (verdict.decision, verdict.by, verdict.comment) == ("approved", "arn:ann", "looked at it")
    deployed = {each.environment: each.commit.short for each in history([two, one]).deployed if each.commit}
    assert deployed == {"dev": "bbbbbbbbbb", "prod": "aaaaaaaaaa"}


def test_an_ended_execution_is_asked_for_once(source: CodePipelinePromotions, aws: Aws) -> None:
    source._read()
    source._read()
    assert sorted(aws.asked) == ["one", "two", "two"]


@pytest.mark.parametrize(
    ("status", "shown"),
    [("Failed", "failed"), ("Stopped", "interrupted"), ("Superseded", "superseded"), ("Cancelled", "superseded")],
)
def test_each_end_of_an_execution_has_its_word(
    source: CodePipelinePromotions, aws: Aws, status: str, shown: str
) -> None:
    aws.executions[1]["status"] = status
    assert source.latest()[1].status == shown


def test_the_log_is_that_of_the_build_and_goes_on(source: CodePipelinePromotions, aws: Aws) -> None:
    log = source.log("two", "Dev-LoadGate", None)
    assert (log.lines, log.offset) == (("measured 5 s", "pass"), 2001)
    assert source.log("two", "Dev-LoadGate", log.offset).lines == ()
    aws.events.append({"timestamp": 3000, "message": "more"})
    assert source.log("two", "Dev-LoadGate", log.offset).lines == ("more",)
    assert source.log("two", "Prod-PromoteToProd", None).lines == ()
    with pytest.raises(NotFound):
        source.log("two", "Dev-Other", None)


def test_a_decision_is_given_with_name_and_comment_and_recorded(
    browser: Open, source: CodePipelinePromotions, aws: Aws, actions: Recorded
) -> None:
    client = browser(source)
    facts = client.get("/promotion/change", params={"promotion": "two"}).text
    assert "Prod runs aaaaaaaaaaaa Change &lt;a&gt;" in facts
    fields = decision("approve", "gate is fine")
    assert client.post("/promotion/decide", data=fields, headers=OWN).status_code == 303
    [given] = aws.decisions
    assert (given["stageName"], given["actionName"], given["token"]) == ("Prod", "PromoteToProd", "token-2")
    assert given["result"] == {"status": "Approved", "summary": "gate is fine (Ann, in the console)"}
    [action] = actions.latest()
    assert (action.who, action.exit_code, action.reason) == ("ann", 0, "gate is fine")


def test_the_question_shows_the_summary_that_the_pipeline_has_written(
    browser: Open, source: CodePipelinePromotions, aws: Aws
) -> None:
    # Given the artifact of the step before the approval, in which a commit's text is
    aws.actions["two"].append(summary("x"))
    aws.objects["x"] = archive(**{"change.txt": "  effect: no new findings\n    bbb <b>\x1b[2J", "brief.txt": "short"})
    # When
    facts = browser(source).get("/promotion/change", params={"promotion": "two"}).text
    # Then
    assert "The pipeline&#39;s summary:\n    effect: no new findings\n      bbb &lt;b&gt;" in facts
    assert "\x1b" not in facts


def test_a_summary_that_can_not_be_read_is_said(browser: Open, source: CodePipelinePromotions, aws: Aws) -> None:
    aws.actions["two"].append(summary("x"))
    aws.refused["get_object"] = "AccessDenied"
    facts = browser(source).get("/promotion/change", params={"promotion": "two"}).text
    assert "Prod runs aaaaaaaaaaaa" in facts
    assert "it can&#39;t be read: " in facts


def test_a_summary_that_is_being_written_is_none_yet(browser: Open, source: CodePipelinePromotions, aws: Aws) -> None:
    running = {name: value for name, value in summary("x").items() if name != "output"}
    aws.actions["two"].append({**running, "status": "InProgress"})
    answer = browser(source).get("/promotion/change", params={"promotion": "two"})
    assert answer.status_code == 200
    assert "summary" not in answer.text


def summary(key: str) -> dict[str, Any]:
    made = action("Dev", "LoadGate", "Succeeded", 12)
    made["output"]["outputArtifacts"] = [{"name": "s", "s3location": {"bucket": "artifacts", "key": key}}]
    return {**made, "actionName": "Summary"}


@pytest.mark.parametrize(("caller", "refused"), [("ann@company.net", True), ("bob@company.net", False)])
def test_the_author_of_a_commit_can_not_approve_it_if_another_one_must(
    source: CodePipelinePromotions, aws: Aws, monkeypatch: pytest.MonkeyPatch, caller: str, refused: bool
) -> None:
    # Given the setting, and an author that the source action tells
    monkeypatch.setattr(codepipeline, "PIPELINE", replace(PIPELINE, another_approves=True))
    aws.actions["two"][0]["output"]["outputVariables"] = {"AuthorEmail": "ann@company.net"}
    aws.caller = f"arn:aws:sts::111111111111:assumed-role/Approver/{caller}"
    source.latest()
    # When the author or another one approves
    if refused:
        with pytest.raises(CannotDecide, match="Somebody else must approve it"):
            source.decide("two", "Prod-PromoteToProd", "approve", name="Ann", comment="mine")
    else:
        source.decide("two", "Prod-PromoteToProd", "approve", name="Bob", comment="seen")
    # Then the pipeline hears of the other one only, and of a rejection by anybody
    assert len(aws.decisions) == (0 if refused else 1)
    source.decide("two", "Prod-PromoteToProd", "reject", name="Ann", comment="no")
    assert aws.decisions[-1]["result"]["status"] == "Rejected"


def test_what_somebody_else_has_decided_can_not_be_decided_again(source: CodePipelinePromotions, aws: Aws) -> None:
    source.latest()
    aws.token = None
    with pytest.raises(CannotDecide, match="somebody else"):
        source.decide("two", "Prod-PromoteToProd", "reject", name="Ann", comment="late")
    assert aws.decisions == []


def test_a_form_about_the_pipeline_approves_no_prod(
    browser: Open, source: CodePipelinePromotions, aws: Aws, actions: Recorded
) -> None:
    # Given a form that was opened while the change of the pipeline waited, and an execution that waits before prod now
    client, form = browser(source), decision("approve", step="ApprovePipeline-ChangePipeline")
    # When it is sent, then the answer says so, and nothing is decided
    answer = client.post("/promotion/decide", data=form, headers=OWN)
    assert answer.status_code == 409
    assert "promotion two waits for PromoteToProd now, and the form is of another step" in answer.text
    assert (aws.decisions, actions.latest()) == ([], [])


def test_a_form_about_the_pipeline_approves_no_prod_while_the_last_reading_is_old(
    source: CodePipelinePromotions, aws: Aws
) -> None:
    aws.ask_about_the_pipeline()
    source.latest()
    aws.asks = ("Prod", "PromoteToProd")
    with pytest.raises(CannotDecide, match="decided ChangePipeline of execution two already"):
        source.decide("two", "ApprovePipeline-ChangePipeline", "approve", name="Ann", comment="late")
    assert aws.decisions == []


def test_who_is_asked_about_the_pipeline_reads_that_it_will_change(
    browser: Open, source: CodePipelinePromotions, aws: Aws
) -> None:
    aws.ask_about_the_pipeline()
    client, form = browser(source), decision("approve", step="ApprovePipeline-ChangePipeline")
    assert "A change of the pipeline itself waits for a person." in client.get("/promotion").text
    assert "It changes the pipeline itself." in client.get("/promotion/change?promotion=two").text
    html = client.get("/promotion/decide", params=form).text
    assert "ChangePipeline lets a change of the pipeline itself take effect" in html
    assert "Approve ChangePipeline</button>" in html
    client.post("/promotion/decide", data=form, headers=OWN)
    assert [each["actionName"] for each in aws.decisions] == ["ChangePipeline"]


def artifacts(aws: Aws, id: str) -> None:
    """The execution ``id`` has synthesised its commit twice: the first time, its tests failed."""
    source = action("Source", "main", "Succeeded", 0)
    synth = action("Build", "Synth", "Succeeded", 2)
    synth["input"]["configuration"] = {"ProjectName": names.SYNTH_PROJECT}
    for made, folder, part in ((source, "0Source", "source"), (synth, "1Synth", "cdk.out")):
        key = f"payment-pipeline/{folder}/{id}"
        aws.objects[key] = archive(file=f"{part} of {id}")
        made["output"]["outputArtifacts"] = [{"name": folder, "s3location": {"bucket": "artifacts", "key": key}}]
    failed = {**action("Build", "Synth", "Failed", 1), "input": synth["input"]}
    aws.actions[id] = [synth, failed, source, *aws.actions[id][1:]]


def test_two_executions_are_compared_by_what_they_checked_out_and_synthesised(
    browser: Open, source: CodePipelinePromotions, aws: Aws, actions: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given two executions whose artifacts are in the bucket
    artifacts(aws, "one")
    artifacts(aws, "two")
    seen: list[str] = []

    def output(module: str, base: str, head: str, name: str, file: str) -> list[str]:
        seen.extend(
            (Path(folder) / part / "file").read_text() for folder in (base, head) for part in ("source", "cdk.out")
        )
        Path(file).write_text(f"the review of {name}")
        return []

    monkeypatch.setattr(actions, "output", output)
    # When somebody compares them, twice
    client, asked = browser(source), {"base": "one", "head": "two", "raw": "yes"}
    assert '<option value="one"' in client.get("/promotion").text
    answers = [client.get("/promotion/compare", params=asked).text for _ in range(2)]
    # Then their sources and assemblies are, once
    assert answers == [f"the review of {'a' * 12}"] * 2
    assert seen == ["source of one", "cdk.out of one", "source of two", "cdk.out of two"]


def test_executions_that_can_not_be_compared_are_said(browser: Open, source: CodePipelinePromotions, aws: Aws) -> None:
    client, asked = browser(source), {"base": "one", "head": "two", "raw": "yes"}
    # An execution whose synthesis failed has no assembly
    assert "execution one has no source" in client.get("/promotion/compare", params=asked).text
    # An artifact can be no zip
    artifacts(aws, "one")
    artifacts(aws, "two")
    aws.objects["payment-pipeline/1Synth/two"] = b"<no zip>"
    assert "cdk.out can&#39;t be unpacked" in client.get("/promotion/compare", params=asked).text
    # And a person may lack the right to read it
    aws.refused["get_object"] = "AccessDenied"
    assert "An error occurred (AccessDenied)" in client.get("/promotion/compare", params=asked).text


def test_without_allow_actions_nothing_is_decided(browser: Open, aws: Aws, actions: Recorded) -> None:
    reader = Recorded(actions._root, allowed=False)
    client = browser(promotions(aws, reader), reader)
    answer = client.post("/promotion/decide", data=decision("reject"), headers=OWN)
    assert answer.status_code == 409
    assert "--allow-actions" in answer.text
    assert aws.decisions == []


def test_a_pipeline_that_does_not_answer_is_said(browser: Open, actions: Recorded) -> None:
    class Silent(Answers):
        def __call__(self, service: str) -> Any:
            raise OSError("no route to <AWS>")

    assert "no route to &lt;AWS&gt;" in browser(promotions(Silent(), actions)).get("/promotion").text


@pytest.mark.parametrize(
    ("operation", "left"),
    [
        ("get_pipeline", ["Change &lt;b&gt;", "Change &lt;a&gt;", "PromoteToProd"]),
        ("get_pipeline_state", ["Change &lt;b&gt;", "Change &lt;a&gt;", "LoadGate"]),
        ("list_action_executions", ["Change &lt;b&gt;", "Change &lt;a&gt;", "LoadGate"]),
    ],
)
@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException", "ExpiredTokenException"])
def test_a_call_that_is_refused_hides_no_other(
    browser: Open, source: CodePipelinePromotions, aws: Aws, operation: str, left: list[str], code: str
) -> None:
    # Given credentials that one call of the page is refused to
    aws.refused[operation] = code
    # When somebody looks
    html = browser(source).get("/promotion").text
    # Then the page says which call and why, once, and shows what the others tell
    assert html.count(f"An error occurred ({code}) when calling") == 1
    assert [each for each in left if each not in html] == []
    # And the credentials are read anew, for the case that the person logs in again
    assert aws.forgotten > 0


def test_what_was_read_before_stands_there_while_all_calls_are_refused(
    browser: Open, source: CodePipelinePromotions, aws: Aws
) -> None:
    # Given a page that was read, and credentials that have ended since
    client = browser(source)
    client.get("/promotion")
    aws.refused["*"] = "ExpiredTokenException"
    source._cached.expire()
    source._cached.get()
    until(lambda: source.reading().failure is not None)
    # When somebody looks, then the page says so, and how old it is
    html = client.get("/promotion").text
    assert "The pipeline does not answer." in html
    assert "ExpiredTokenException" in html
    assert "Shown is what was read" in html
    assert "Change &lt;b&gt;" in html
    # And nothing can be decided
    assert client.post("/promotion/decide", data=decision("approve"), headers=OWN).status_code == 409
    # And when the person has logged in again, then the page is as before
    aws.refused.clear()
    source._cached.expire()
    until(lambda: source.reading().failure is None)
    assert "does not answer" not in client.get("/promotion").text


def test_a_log_that_is_refused_is_said_once_and_goes_on(
    browser: Open, source: CodePipelinePromotions, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given the stream of the log of a build
    parts: list[Any] = []
    monkeypatch.setattr(routes, "growing", lambda more, since: parts.append(more) or Response())
    browser(source).get("/promotion/log?promotion=two&step=Dev-LoadGate")
    [more] = parts
    # When the log is refused, then that is said once
    aws.refused["batch_get_builds"] = "AccessDeniedException"
    first, position = more(None)
    assert "the log does not answer: looking for the log of the build: An error occurred (AccessDenied" in first
    assert more(position) == ("", position)
    # And when it is allowed, then it goes on
    aws.refused.clear()
    assert "measured 5 s" in more(position)[0]


def test_an_execution_that_waits_for_another_says_so(browser: Open, source: CodePipelinePromotions, aws: Aws) -> None:
    aws.arrived = ["three"]
    aws.executions.insert(0, execution("three", "InProgress", "c", 20))
    aws.actions["three"] = [action("Source", "main", "Succeeded", 20), action("Dev", "Deploy", "Succeeded", 21)]
    assert "it waits before Prod, where two is; a newer one overtakes it" in browser(source).get("/promotion").text


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
