"""The two halves of a deployment: a change set, and its execution. The clients are real; a fake account answers."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from pipeline.local import deploy
from pipeline.local.errors import ExitCode

STACK = "payment-platform-prod"


LATE = {
    "CreateChangeSet": {
        "Code": "ValidationError",
        "Message": "Stack:arn:aws:x is in UPDATE_IN_PROGRESS state and can not be updated.",
    },
    "DescribeChangeSet": {"Code": "ChangeSetNotFound", "Message": "ChangeSet [x] does not exist"},
    "ExecuteChangeSet": {"Code": "InvalidChangeSetStatus", "Message": "cannot be executed in its current status"},
}


class FakeAccount:
    """An account that stores all assets. ``changes``: action and logical id of what a new change set has."""

    def __init__(self) -> None:
        self.changes = [("Add", "Table"), ("Modify", "Function"), ("Remove", "Queue")]
        self.change_sets: dict[str, list[tuple[str, str]]] = {}
        self.executed: list[str] = []
        self.states: list[str] = []
        """What the stack's next answers say. Later ones say UPDATE_COMPLETE."""
        self.overtaken: list[str] = []
        """The calls that come too late, because another deployment was faster."""
        self.session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1")
        for service in ("cloudformation", "s3", "sts"):
            self.session.events.register(f"provide-client-params.{service}", self._remember)
            self.session.events.register(f"before-call.{service}", self._answer)

    def _remember(self, params: dict[str, Any], **_: Any) -> None:
        self._params = params

    def _answer(self, model: Any, **_: Any) -> tuple[Any, dict[str, Any]]:
        if self.overtaken[:1] == [model.name]:
            self.change_sets.clear()  # an execution deletes the others
            answer: dict[str, Any] = {"Error": LATE[self.overtaken.pop(0)]}
        else:
            answer = getattr(self, model.name, lambda **_: {})(**self._params)
        return SimpleNamespace(status_code=400 if "Error" in answer else 200), answer

    def GetCallerIdentity(self) -> dict[str, Any]:
        return {"Account": "111111111111"}

    def DescribeStacks(self, StackName: str) -> dict[str, Any]:
        outputs = [{"OutputKey": "Executed", "OutputValue": str(len(self.executed))}]
        status = self.states.pop(0) if self.states else "UPDATE_COMPLETE"
        return {"Stacks": [{"StackName": StackName, "StackStatus": status, "Outputs": outputs}]}

    def DescribeStackEvents(self, StackName: str) -> dict[str, Any]:
        return {"StackEvents": [{"Timestamp": datetime(2000, 1, 1, tzinfo=UTC)}]}

    def CreateChangeSet(self, ChangeSetName: str, **_: Any) -> dict[str, Any]:
        self.change_sets[ChangeSetName] = self.changes
        return {}

    def DescribeChangeSet(self, ChangeSetName: str, **_: Any) -> dict[str, Any]:
        if not (found := self.change_sets[ChangeSetName]):
            return {"Status": "FAILED", "StatusReason": "No updates are to be performed."}
        changes = [{"ResourceChange": {"Action": action, "LogicalResourceId": id}} for action, id in found]
        return {"Status": "CREATE_COMPLETE", "Changes": changes}

    def DeleteChangeSet(self, ChangeSetName: str, **_: Any) -> dict[str, Any]:
        del self.change_sets[ChangeSetName]
        return {}

    def ExecuteChangeSet(self, ChangeSetName: str, **_: Any) -> dict[str, Any]:
        if self.change_sets.pop(ChangeSetName, None) is None:
            return {"Error": {"Code": "ChangeSetNotFound", "Message": "does not exist"}}
        self.executed.append(ChangeSetName)
        return {}


Run = Callable[..., int]


@pytest.fixture
def account() -> FakeAccount:
    return FakeAccount()


@pytest.fixture
def run(account: FakeAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command on a template, with further options."""
    source = {"path": "prod.template.json", "packaging": "file"}
    files = {"x": {"source": source, "destinations": {"here": {"bucketName": "assets", "objectKey": "x.json"}}}}
    (tmp_path / "prod.assets.json").write_text(json.dumps({"files": files}))
    (tmp_path / "prod.template.json").write_text("{}")
    monkeypatch.setattr(deploy, "session", lambda region: account.session)

    def command(*options: str) -> int:
        names = {"--template": "prod.template.json", "--assets": "prod.assets.json", "--outputs": "outputs.json"}
        files = [part for option, name in names.items() for part in (option, str(tmp_path / name))]
        monkeypatch.setattr(sys, "argv", ["deploy", STACK, *files, *options])
        return deploy.main()

    return command


def test_a_deployment_as_a_whole_is_executed_at_once(
    run: Run, account: FakeAccount, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == ExitCode.OK
    assert len(account.executed) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 resources added, 1 modified, 1 removed"
    assert json.loads((tmp_path / "outputs.json").read_text()) == {"Executed": "1"}


def test_a_change_set_is_only_made_and_then_executed_as_it_is(
    run: Run, account: FakeAccount, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # When it is prepared, then it is told, and nothing is executed
    changes = str(tmp_path / "changes.json")
    assert run("--prepare", changes) == ExitCode.OK
    assert capsys.readouterr().out.splitlines()[-1] == "1 resources to add, 1 to modify, 1 to remove"
    assert (account.executed, (tmp_path / "outputs.json").exists()) == ([], False)
    [prepared] = account.change_sets
    # When it is executed, then it is that one, whatever another one would have
    account.changes = [("Remove", "Table")]
    assert run("--execute", changes) == ExitCode.OK
    assert account.executed == [prepared]
    assert capsys.readouterr().out.splitlines()[-1] == "1 resources added, 1 modified, 1 removed"
    # And it can't be executed again
    assert run("--execute", changes) == ExitCode.FAILED
    assert f"the change set {prepared} can't be executed any more: promote again" in capsys.readouterr().out


def test_a_change_set_that_is_made_again_must_be_what_was_approved(
    run: Run, account: FakeAccount, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = tmp_path / "changes.json"
    assert run("--prepare", str(changes)) == ExitCode.OK
    # The same again, as after a cloud that was stopped
    account.change_sets.clear()
    assert run("--prepare", str(changes)) == ExitCode.OK
    assert json.loads(changes.read_text())["name"] in account.change_sets
    # Another one
    account.changes = [*account.changes, ("Remove", "Table")]
    assert run("--prepare", str(changes)) == ExitCode.FAILED
    assert "that is not what was approved, so promote again" in capsys.readouterr().out


def test_nothing_to_change_is_nothing_to_execute(run: Run, account: FakeAccount, tmp_path: Path) -> None:
    account.changes = []
    assert run("--prepare", str(tmp_path / "changes.json")) == ExitCode.OK
    assert run("--execute", str(tmp_path / "changes.json")) == ExitCode.OK
    assert (account.executed, account.change_sets) == ([], {})


@pytest.mark.parametrize("spoilt", ["", "[]", '{"name": "x"}', '{"name": "x", "changes": [], "more": 1}'])
def test_a_spoilt_file_of_changes_is_refused(run: Run, account: FakeAccount, tmp_path: Path, spoilt: str) -> None:
    (tmp_path / "changes.json").write_text(spoilt)
    assert run("--execute", str(tmp_path / "changes.json")) == ExitCode.FAILED
    assert account.executed == []


@pytest.mark.parametrize("call", LATE)
def test_of_two_deployments_at_once_the_second_plans_again(
    run: Run, account: FakeAccount, capsys: pytest.CaptureFixture[str], call: str
) -> None:
    # Given another deployment that comes first, at any call
    account.overtaken = [call]
    # When this one is overtaken, then it waits and does what is then left to do
    assert run() == ExitCode.OK
    said = capsys.readouterr().out.splitlines()
    assert "another deployment came first: planning again" in said
    assert said[-1] == "1 resources added, 1 modified, 1 removed"
    assert len(account.executed) == 1


def test_what_a_killed_deployment_began_is_waited_for(run: Run, account: FakeAccount) -> None:
    account.states = ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"]
    assert run() == ExitCode.OK
    assert (account.states, len(account.executed)) == ([], 1)


def test_a_deployment_that_is_always_overtaken_gives_up(
    run: Run, account: FakeAccount, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy, "MOST_PLANS", 2)
    account.overtaken = ["ExecuteChangeSet"] * 2
    assert run() == ExitCode.FAILED
    assert "promote again" in capsys.readouterr().out.splitlines()[-1]
    assert account.executed == []


def test_an_approved_change_set_is_not_planned_again(
    run: Run, account: FakeAccount, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = str(tmp_path / "changes.json")
    assert run("--prepare", changes) == ExitCode.OK
    account.overtaken = ["ExecuteChangeSet"]
    assert run("--execute", changes) == ExitCode.FAILED
    assert "can't be executed any more: promote again" in capsys.readouterr().out
    assert account.change_sets == {}


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        ("UPDATE_ROLLBACK_FAILED", f"aws cloudformation continue-update-rollback --stack-name {STACK}"),
        ("ROLLBACK_COMPLETE", "python -m pipeline.bootstrap --env prod --recover"),
    ],
)
def test_a_stack_that_takes_no_change_is_told_with_the_way_out(
    run: Run,
    account: FakeAccount,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    advice: str,
) -> None:
    message = f"Stack:arn:x is in {state} state and can not be updated."
    monkeypatch.setitem(LATE, "CreateChangeSet", {"Code": "ValidationError", "Message": message})
    account.states, account.overtaken = [state] * 3, ["CreateChangeSet"]
    assert run() == ExitCode.FAILED
    said = capsys.readouterr().out.splitlines()[-1]
    assert message in said
    assert advice in said
