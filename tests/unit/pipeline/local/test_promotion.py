"""A promotion from commit to prod: order, approvals, failures, and the run after a failed or waiting one."""

import json
import os
import pwd
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from environments import PIPELINE
from pipeline.local import approval
from pipeline.local.__main__ import main
from pipeline.local.errors import ExitCode
from pipeline.local.run import Run, all_runs

from .conftest import FakeCloud, Project, commands, last, stage


def statuses(run: Run) -> dict[str, str]:
    return {f"{g.name}/{s.name}": s.status for g in run.stages for s in g.steps}


def test_a_commit_goes_through_every_stage_in_order(project: Project, tmp_path: Path) -> None:
    # Given three environments whose steps write down that they ran
    trace = tmp_path / "trace"
    state = project(*(stage(n, commands("Gate", f"echo {n} $CLOUD >> {trace}")) for n in ("Dev", "Staging", "Prod")))
    # When it is promoted
    code = main(["promote"])
    # Then each ran once, in order, against its own cloud
    assert code == ExitCode.OK
    assert trace.read_text().splitlines() == ["Dev dev", "Staging staging", "Prod prod"]
    assert last(state).status == "succeeded"


def test_the_commit_is_promoted_and_not_the_work_tree(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a file that changed after the commit
    Path("amount").write_text("committed")
    project(stage("Dev", commands("Gate", f"cat amount > {tmp_path}/seen")))
    Path("amount").write_text("changed")
    # When
    main(["promote"])
    # Then the step saw the committed content, and a note mentions the change
    assert (tmp_path / "seen").read_text() == "committed"
    assert "changed files that are not in this commit, and not promoted: 1" in capsys.readouterr().out


def test_without_a_terminal_it_stops_before_prod_and_approve_goes_on(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a prod that requires an approval
    state = project(stage("Dev", commands("Gate", f"echo dev >> {tmp_path}/trace")),
                    stage("Prod", commands("Gate", f"echo prod >> {tmp_path}/trace"), approval=True))  # fmt: skip
    # When it is promoted without a terminal
    assert main(["promote"]) == ExitCode.OK
    # Then it waits, and prod is unchanged
    waiting = last(state)
    assert waiting.status == "waiting"
    assert (tmp_path / "trace").read_text() == "dev\n"
    # And when a person approves a day later, it continues without repeating dev, and records the approval
    waiting.started -= 86_400
    waiting.save()
    assert main(["approve"]) == ExitCode.OK
    assert re.search(r"through dev, prod in \d+ s\.", capsys.readouterr().out)
    assert (tmp_path / "trace").read_text() == "dev\nprod\n"
    assert last(state).status == "succeeded"
    assert [(a["step"], a["decision"]) for a in last(state).approvals] == [("PromoteToProd", "approved")]


def test_the_approval_stands_between_the_change_set_and_its_execution(project: Project) -> None:
    # Given a promotion that waits
    state = project(stage("Prod", commands("Gate", "true"), approval=True))
    main(["promote"])
    # Then the change set is made, and not executed
    assert list(statuses(last(state)).items())[2:] == [
        ("Prod/Local cloud", "succeeded"),
        ("Prod/Prepare", "succeeded"),
        ("Prod/PromoteToProd", "waiting"),
        ("Prod/Deploy", "pending"),
        ("Prod/Gate", "pending"),
    ]
    # And what is executed after the approval is that change set
    log = last(state).folder / "commands"
    record_commands(log)
    assert main(["approve"]) == ExitCode.OK
    [deployed] = [line for line in log.read_text().splitlines() if "pipeline.local.deploy" in line]
    assert deployed.endswith("--execute " + str(last(state).folder / "outputs" / "payment-platform-prod.changes.json"))


def test_a_change_set_that_went_with_its_cloud_is_made_again_before_it_is_executed(project: Project) -> None:
    state = project(stage("Prod", commands("Gate", "true"), approval=True))
    main(["promote"])
    FakeCloud.running.clear()
    log = last(state).folder / "commands"
    record_commands(log)
    assert main(["approve"]) == ExitCode.OK
    halves = re.findall(r"pipeline\.local\.deploy .* (--\w+) \S+$", log.read_text(), re.M)
    assert halves == ["--prepare", "--execute"]


def record_commands(log: Path) -> None:
    """Let the script that stands for Python write down its arguments."""
    Path(sys.executable).write_text(f'#!/bin/sh\necho "$*" >> {log}\n')


def test_an_assembly_that_changed_after_the_approval_is_not_deployed(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a promotion that waits, and shows what it is about
    state = project(stage("Prod", commands("Gate", "true"), approval=True))
    main(["promote"])
    assert f"  assembly {last(state).assembly_digest}" in capsys.readouterr().out
    # When a template is changed before it is approved
    (last(state).assembly / "assembly-Prod").mkdir()
    (last(state).assembly / "assembly-Prod" / "Platform.template.json").write_text("{}")
    assert main(["approve"]) == ExitCode.FAILED
    # Then
    assert "is not what was inspected: promote again" in capsys.readouterr().out
    assert statuses(last(state))["Prod/Deploy"] == "failed"


def test_an_assembly_with_something_to_execute_is_refused(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    # Given a commit whose synthesis leaves a `cdk.json` for the CDK command line
    state = project(stage("Dev"))
    cdk = Path(sys.executable).with_name("cdk")
    cdk.write_text(f'{cdk.read_text()}\n[ "$1" != synth ] || echo "{{}}" > "$4/cdk.json"\n')
    assert main(["promote"]) == ExitCode.FAILED
    assert "the assembly is refused: cdk.json is no part of an assembly" in capsys.readouterr().out
    assert "Dev/Local cloud" not in statuses(last(state))


def test_the_approver_is_named_by_the_systems_user_database(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a person whose variables claim another name
    state = project(stage("Prod", commands("Gate", "true"), approval=True))
    for variable in ("USER", "LOGNAME"):
        monkeypatch.setenv(variable, "somebody-else")
    # When they approve, then the record has their real name
    assert main(["promote", "--approve", "yes"]) == ExitCode.OK
    assert [each["by"] for each in last(state).approvals] == [pwd.getpwuid(os.getuid()).pw_name]


def test_an_approval_may_be_the_last_step(project: Project) -> None:
    state = project(stage("Prod", commands("Gate", "true"), approval=True))
    main(["promote"])
    run = last(state)
    [prod] = [each for each in run.stages if each.name == "Prod"]
    prod.steps = [each for each in prod.steps if each.kind == "approval"]
    run.save()
    assert main(["approve"]) == ExitCode.OK
    assert last(state).status == "succeeded"


def test_a_decision_takes_a_name_and_a_comment_beside_the_user(project: Project) -> None:
    # Given a promotion that waits
    state = project(stage("Prod", commands("Gate", "true"), approval=True))
    main(["promote"])
    # When a person approves it, says who they are, and why
    assert main(["approve", "--name", "Ann", "--comment", "gate is fine"]) == ExitCode.OK
    # Then both stand in the record, beside the user that the system knows
    user = pwd.getpwuid(os.getuid()).pw_name
    [decision] = last(state).approvals
    assert (decision["by"], decision["name"], decision["comment"]) == (user, "Ann", "gate is fine")
    assert last(state).step("Prod", "PromoteToProd").detail == f"approved by Ann ({user}): gate is fine"


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_a_decision_about_another_promotion_than_the_one_that_waits_is_refused(
    project: Project, capsys: pytest.CaptureFixture[str], decision: str
) -> None:
    # Given a promotion that waits, and a person who has looked at an earlier one
    state = project(stage("Prod", commands("Gate", "true"), approval=True))
    main(["promote"])
    # When they decide about that one, then nothing is decided
    assert main([decision, "--promotion", "20200101-000000"]) == ExitCode.BAD_INPUT
    assert "20200101-000000 does not wait" in capsys.readouterr().err
    assert last(state).status == "waiting"
    # And with its own id it is
    assert main([decision, "--promotion", last(state).id]) == ExitCode.OK
    assert last(state).status == {"approve": "succeeded", "reject": "rejected"}[decision]


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_a_decision_about_another_step_than_the_one_that_waits_is_refused(
    project: Project, capsys: pytest.CaptureFixture[str], decision: str
) -> None:
    # Given a promotion that waits before prod, and a person who was asked about staging
    state = project(stage("Staging", commands("Gate", "true"), approval=True),
                    stage("Prod", commands("Gate", "true"), approval=True))  # fmt: skip
    main(["promote"])
    asked = ["--promotion", last(state).id, "--step", "staging-promotetostaging"]
    main(["approve", *asked])
    # When they decide about staging once more, then prod is not decided
    assert main([decision, *asked]) == ExitCode.BAD_INPUT
    assert "waits for prod-promotetoprod now, not for staging-promotetostaging." in capsys.readouterr().err
    assert last(state).status == "waiting"
    assert [each["step"] for each in last(state).approvals] == ["PromoteToStaging"]


def test_approve_yes_runs_through(project: Project) -> None:
    state = project(stage("Prod", commands("Gate", "true"), approval=True))
    assert main(["promote", "--approve", "yes"]) == ExitCode.OK
    assert last(state).status == "succeeded"


def test_a_rejected_promotion_can_not_be_approved(project: Project, tmp_path: Path) -> None:
    # Given a promotion that waits
    state = project(stage("Prod", commands("Gate", f"touch {tmp_path}/prod"), approval=True))
    main(["promote"])
    # When it is rejected
    assert main(["reject"]) == ExitCode.OK
    # Then no promotion waits any more, and prod is unchanged
    assert last(state).status == "rejected"
    assert main(["approve"]) == ExitCode.BAD_INPUT
    assert not (tmp_path / "prod").exists()


def test_a_new_promotion_supersedes_the_waiting_one(project: Project) -> None:
    state = project(stage("Prod", commands("Gate", "true"), approval=True))
    main(["promote"])
    main(["promote"])
    assert [run.status for run in all_runs(state.runs)] == ["superseded", "waiting"]


def test_a_promotion_that_fails_before_its_plan_does_not_supersede_the_waiting_one(project: Project) -> None:
    # Given a promotion that waits for its approval
    state = project(stage("Prod", commands("Gate", "true"), approval=True))
    main(["promote"])
    # When another one is started for an unknown revision
    assert main(["promote", "--revision", "typo"]) != ExitCode.OK
    # Then the first one still waits, and can be approved
    assert [run.status for run in all_runs(state.runs)] == ["waiting", "failed"]
    assert main(["approve"]) == ExitCode.OK
    assert [run.status for run in all_runs(state.runs)] == ["succeeded", "failed"]


def test_a_failed_gate_ends_it_and_names_the_step_the_reason_and_the_log(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a gate that fails in staging, between dev and prod
    state = project(stage("Dev", commands("Gate", "true")),
                    stage("Staging", commands("Gate", "echo p99 of /process is 251.3 ms", "exit 1"),
                          commands("Shift", "true")),
                    stage("Prod", commands("Gate", "true")))  # fmt: skip
    # When
    code = main(["promote"])
    # Then
    assert code == ExitCode.FAILED
    said = capsys.readouterr().out
    assert "FAILED at Staging / Gate: p99 of /process is 251.3 ms" in said
    assert "Untouched: prod." in said
    opened = Path(next(line for line in said.splitlines() if line.startswith("Open: ")).removeprefix("Open: "))
    assert "251.3 ms" in opened.read_text()
    assert statuses(last(state))["Staging/Shift"] == "pending"


def test_later_commands_of_a_step_do_not_run_after_a_failed_one(project: Project, tmp_path: Path) -> None:
    project(stage("Dev", commands("Gate", "false", f"touch {tmp_path}/second")))
    assert main(["promote"]) == ExitCode.FAILED
    assert not (tmp_path / "second").exists()


def test_the_failure_of_a_synthesis_is_shown_as_its_own_error(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken").touch()
    project(stage("Dev"))
    assert main(["promote"]) == ExitCode.FAILED
    assert "Build / Synth: SyntaxError in pipeline_app.py" in capsys.readouterr().out


def test_an_unknown_revision_is_bad_input(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project(stage("Dev"))
    assert main(["promote", "--revision", "no-such-branch"]) == ExitCode.BAD_INPUT
    assert "There is no commit 'no-such-branch'" in capsys.readouterr().out


def test_a_commits_subject_is_text_to_the_terminal(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    # Given a subject that would set the title, erase the screen, and reorder the line
    project(stage("Dev"))
    subject = "Harmless\x1b]0;title\x07\x1b[2J\u202etnemyap"
    subprocess.run(["git", "commit", "--quiet", "--allow-empty", "--message", subject], check=True)
    # When it is promoted, and its status is read
    assert main(["promote"]) == ExitCode.OK
    assert main(["status"]) == ExitCode.OK
    # Then no such character reaches the terminal, and each is spelled
    said = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\u202e"} & set(said)
    assert r"Harmless\x1b]0;title\x07\x1b[2J\u202etnemyap" in said


def test_the_approval_shows_the_commits_their_effect_and_the_stages_before(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given an environment that runs a commit, and two newer ones
    gate = commands("LoadGate", "echo 'load gate dev: pass; p99 /validate 12 ms'")
    state = project(stage("Dev", gate), stage("Prod", approval=True))
    assert main(["promote", "--approve", "yes"]) == ExitCode.OK
    for subject in ("Raise the limit", "Name the limit"):
        subprocess.run(["git", "commit", "--quiet", "--allow-empty", "--message", subject], check=True)
    capsys.readouterr()
    # When they are promoted
    assert main(["promote"]) == ExitCode.OK
    # Then the question says what is new since then, what it changes, and what was proven
    said = capsys.readouterr().out
    question = said[said.index("To approve: ") :]
    assert "Prod runs " in question
    assert "First payment. New since then:" in question
    assert re.search(r"    \w{7,} Given: Name the limit\n    \w{7,} Given: Raise the limit\n", question)
    assert "  effect: " in question
    assert "  Dev LoadGate: load gate dev: pass; p99 /validate 12 ms" in question
    assert "beforehand" not in json.dumps(last(state).approvals)


@pytest.mark.parametrize(
    ("comparison", "line"),
    [
        (
            {"release_id": "R1", "routes": {"/process": {"before_ms": 40.0, "now_ms": 185.0, "slower": True}}},
            "  Dev beside release R1: p99 /process 185.0 ms SLOWER (was 40.0)",
        ),
        (
            {"release_id": None, "reason": "none was measured yet", "routes": {}},
            "  Dev not compared with a promoted release: none was measured yet",
        ),
    ],
)
def test_the_approval_shows_the_comparison_with_the_promoted_release(
    project: Project, capsys: pytest.CaptureFixture[str], comparison: dict[str, Any], line: str
) -> None:
    report = shlex.quote(json.dumps({"comparison": comparison}))
    gate = commands("LoadGate", "mkdir -p reports/dev", f"echo {report} > reports/dev/gate.json", "echo 'pass'")
    project(stage("Dev", gate), stage("Prod", approval=True))
    assert main(["promote"]) == ExitCode.OK
    assert line in capsys.readouterr().out.splitlines()


def test_an_approval_that_was_given_beforehand_is_recorded_as_such(project: Project) -> None:
    state = project(stage("Prod", approval=True))
    assert main(["promote", "--approve", "yes"]) == ExitCode.OK
    [approval] = last(state).approvals
    assert approval["beforehand"] is True
    assert last(state).step("Prod", "PromoteToProd").detail.endswith(", beforehand")


@pytest.mark.parametrize(
    "logged",
    [
        ['{"level": "ERROR", "exception": "Traceback (most recent call last):\\n  File x\\nKeyError: country"}'],
        ["Traceback (most recent call last):", "  File x", "KeyError: country", "REPORT RequestId: 1"],
    ],
)
def test_a_failure_ends_with_its_cause_and_the_functions_own_error(
    project: Project, capsys: pytest.CaptureFixture[str], logged: list[str]
) -> None:
    # Given a gate that fails, and a function that raised an error before the gate and one during it
    state = project(stage("Dev", commands("LoadGate", "echo 'load gate dev: fail; it failed'; exit 1")), stage("Prod"))
    log = state.clouds / "dev" / "logs" / "payment-validation-dev.log"
    log.parent.mkdir(parents=True)
    before, during = (datetime.now(UTC) + timedelta(seconds=seconds) for seconds in (-60, 20))
    old = f"{before:%H:%M:%S}.000 [6] Traceback (most recent call last):\n{before:%H:%M:%S}.000 [6] OldError: no\n"
    log.write_text(old + "".join(f"{during:%H:%M:%S}.000 [7] {line}\n" for line in logged))
    # When it is promoted
    assert main(["promote"]) == ExitCode.FAILED
    # Then the error during the gate is shown, and the cause comes last
    said = capsys.readouterr().out
    assert "OldError" not in said
    lines = said.splitlines()
    shown = lines.index("  | payment-validation-dev, version 7:")
    assert lines[shown + 1 : shown + 4] == [
        "  | Traceback (most recent call last):",
        "  |   File x",
        "  | KeyError: country",
    ]
    assert lines[-3:] == [
        "FAILED at Dev / LoadGate: load gate dev: fail; it failed",
        "Untouched: prod.",
        f"Open: {last(state).folder / last(state).step('Dev', 'LoadGate').log}",
    ]


def test_a_folder_without_git_is_promoted_as_it_is(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given the same files without git
    state = project(stage("Dev", commands("Gate", "test -f plan.json")))
    subprocess.run(["rm", "-rf", ".git"], check=True)
    # When
    assert main(["promote"]) == ExitCode.OK
    # Then
    assert "this is not a git checkout" in capsys.readouterr().out
    assert last(state).revision.startswith("folder-")


@pytest.mark.parametrize(
    ("lock", "folder"), [("requirements/dev.txt", "venv"), ("package-lock.json", "project/node_modules")]
)
def test_a_commit_that_needs_other_packages_is_refused(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    lock: str,
    folder: str,
) -> None:
    # Given a promotion that waits for its approval, and packages that were installed from another lock file since
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    Path(lock).parent.mkdir(exist_ok=True)
    Path(lock).write_text("one\n")
    project(stage("Dev"), stage("Prod", approval=True))
    assert main(["promote"]) == ExitCode.OK
    (tmp_path / folder).mkdir()
    (tmp_path / folder / ".ready").write_text("another\n")
    # When it is approved or promoted again, then it is refused
    for command in ("approve", "promote"):
        assert main([command]) == ExitCode.BAD_INPUT
        said = capsys.readouterr()
        assert f"({lock} differs)" in said.out + said.err


def test_steps_see_no_credentials_of_the_person(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "secret")
    project(stage("Dev", commands("Gate", f"env > {tmp_path}/seen")))
    main(["promote"])
    seen = (tmp_path / "seen").read_text()
    assert "AWS_PROFILE" not in seen
    assert "AWS_SESSION_TOKEN" not in seen
    assert "AWS_SHARED_CREDENTIALS_FILE=/dev/null" in seen


def test_outputs_of_a_stack_reach_the_step_that_needs_them(project: Project, tmp_path: Path) -> None:
    # Given a step that needs an output (written here as the deployment writes it)
    reference = {"ROLE": {"stack": "payment-platform-dev", "output": "LoadTestRoleArn"}}
    wanting = {**commands("Gate", f"echo $ROLE > {tmp_path}/role"), "env_from_outputs": reference}
    outputs = json.dumps({"LoadTestRoleArn": "arn:aws:iam::111111111111:role/payment-loadtest-dev"})
    project(stage("Dev", commands("Deploy", f"echo '{outputs}' > ../outputs/payment-platform-dev.json"), wanting))
    # When
    assert main(["promote"]) == ExitCode.OK
    # Then
    assert (tmp_path / "role").read_text().endswith("payment-loadtest-dev\n")


def test_a_step_can_read_the_record_of_its_run_with_the_approvals(project: Project, tmp_path: Path) -> None:
    # Given a step after an approval that reads the run's folder
    state = project(stage("Prod", commands("Evidence", f"cp $RUN_FOLDER/run.json {tmp_path}/seen.json"), approval=True))
    # When
    main(["promote", "--approve", "yes"])
    # Then it saw this run, and the approval
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["id"] == last(state).id
    assert [(each["step"], each["decision"]) for each in seen["approvals"]] == [("PromoteToProd", "approved")]


def test_reports_are_kept_in_the_run_even_when_the_step_fails(project: Project) -> None:
    state = project(
        stage("Dev", commands("Gate", "mkdir -p reports/dev", "echo '{}' > reports/dev/gate.json", "exit 1"))
    )
    main(["promote"])
    assert (last(state).folder / "reports" / "dev" / "gate.json").exists()


def test_a_second_promotion_at_the_same_time_is_refused(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    state = project(stage("Dev"))
    with state.lock("a promotion"):
        assert main(["promote"]) == ExitCode.BUSY
    assert f"pid {os.getpid()}" in capsys.readouterr().err


def test_clean_removes_the_local_state_and_nothing_else(project: Project) -> None:
    # Given a promotion, and the remote `local`
    state = project(stage("Dev"))
    assert main(["promote"]) == ExitCode.OK
    assert main(["remote"]) == ExitCode.OK
    before = subprocess.run(["git", "remote"], capture_output=True, text=True).stdout
    # When the state is removed
    assert main(["clean"]) == ExitCode.OK
    # Then only the lock is left, because a process may wait for it; the remote was removed with its repository
    assert [path.name for path in state.folder.iterdir()] == ["lock"]
    assert before == "local\n"
    assert subprocess.run(["git", "remote"], capture_output=True, text=True).stdout == ""
    # But a remote of that name with another URL stays
    subprocess.run(["git", "remote", "add", "local", "ssh://elsewhere/it"], check=True)
    assert main(["clean"]) == ExitCode.OK
    assert subprocess.run(["git", "remote"], capture_output=True, text=True).stdout == "local\n"


def test_a_status_check_does_not_block_a_promotion(project: Project) -> None:
    # Given a process that checks again and again whether a promotion runs
    state, stop = project(stage("Dev", commands("Gate", "true"))), threading.Event()

    def check() -> None:
        while not stop.is_set():
            state.is_locked()

    checker = threading.Thread(target=check)
    checker.start()
    try:
        # When a promotion starts, then it gets the lock
        assert main(["promote"]) == ExitCode.OK
    finally:
        stop.set()
        checker.join()


def test_a_record_of_another_version_is_skipped(project: Project) -> None:
    # Given a run folder that another version of this project wrote
    state = project(stage("Dev"))
    state.prepare()
    (state.runs / "20200101-000000").mkdir()
    (state.runs / "20200101-000000" / "run.json").write_text('{"version": 0}')
    # When the commands meet it, then they work
    assert main(["promote"]) == ExitCode.OK
    assert main(["status"]) == ExitCode.OK


def test_a_repository_that_git_cannot_read_is_not_promoted_as_a_folder(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a repository whose git data is broken
    project(stage("Dev"))
    Path(".git/HEAD").write_text("garbage")
    # When it is promoted, then it is refused
    assert main(["promote"]) == ExitCode.BAD_INPUT
    assert "This repository can't be read" in capsys.readouterr().out


@pytest.fixture
def by_another(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Switches the setting on, and says with which address this user commits. The author's is given@example.com."""

    def switch_on(address: str) -> None:
        addresses = {pwd.getpwuid(os.getuid()).pw_name: [address]}
        monkeypatch.setattr(approval, "PIPELINE", replace(PIPELINE, another_approves=True, addresses=addresses))

    return switch_on


@pytest.mark.parametrize("beforehand", [[], ["--approve", "yes"]])
def test_the_author_of_a_commit_can_not_approve_it_if_another_one_must(
    project: Project,
    by_another: Callable[[str], None],
    beforehand: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Given a promotion of the author, who may have said beforehand that they approve
    state = project(stage("Prod", approval=True))
    by_another("given@example.com")
    assert main(["promote", *beforehand]) == ExitCode.OK
    # When the author approves, then nothing is decided and the promotion waits for another one
    assert main(["approve"]) == ExitCode.BAD_INPUT
    assert "made this commit. Somebody else must approve it. The promotion waits." in capsys.readouterr().err
    assert (last(state).status, last(state).approvals) == ("waiting", [])
    # And another one approves it
    by_another("another@example.com")
    assert main(["approve"]) == ExitCode.OK
    assert [each["decision"] for each in last(state).approvals] == ["approved"]


def test_the_author_of_a_commit_may_reject_it(project: Project, by_another: Callable[[str], None]) -> None:
    state = project(stage("Prod", approval=True))
    by_another("given@example.com")
    assert main(["promote"]) == ExitCode.OK
    assert main(["reject"]) == ExitCode.OK
    assert last(state).status == "rejected"
