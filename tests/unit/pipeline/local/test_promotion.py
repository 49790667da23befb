"""A promotion from commit to prod: order, approvals, failures, interruptions, and what the next run makes of them."""

import json
import os
import pwd
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.local.__main__ import main
from pipeline.local.errors import ExitCode
from pipeline.local.run import Run, all_runs

from .conftest import Project, commands, last, stage


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


def test_what_is_promoted_is_the_commit_and_not_the_work_tree(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a file that changed after the commit
    Path("amount").write_text("committed")
    project(stage("Dev", commands("Gate", f"cat amount > {tmp_path}/seen")))
    Path("amount").write_text("changed")
    # When
    main(["promote"])
    # Then the step saw the committed one, and the person was told
    assert (tmp_path / "seen").read_text() == "committed"
    assert "1 changed files are not in this commit" in capsys.readouterr().out


def test_without_a_terminal_it_stops_before_prod_and_approve_goes_on(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a prod that wants an approval
    state = project(stage("Dev", commands("Gate", f"echo dev >> {tmp_path}/trace")),
                    stage("Prod", commands("Gate", f"echo prod >> {tmp_path}/trace"), approval=True))  # fmt: skip
    # When it is promoted where nobody can answer
    assert main(["promote"]) == ExitCode.OK
    # Then it waits, with prod untouched
    waiting = last(state)
    assert waiting.status == "waiting"
    assert (tmp_path / "trace").read_text() == "dev\n"
    # And when a person approves a day later, it goes on without doing dev again, and says who it was
    waiting.started -= 86_400
    waiting.save()
    assert main(["approve"]) == ExitCode.OK
    assert re.search(r"through dev, prod in \d+ s\.", capsys.readouterr().out)
    assert (tmp_path / "trace").read_text() == "dev\nprod\n"
    assert last(state).status == "succeeded"
    assert [(a["step"], a["decision"]) for a in last(state).approvals] == [("PromoteToProd", "approved")]


def test_who_approved_is_who_the_system_says_it_was(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a person who says to be somebody else
    state = project(stage("Prod", commands("Gate", "true"), approval=True))
    for variable in ("USER", "LOGNAME"):
        monkeypatch.setenv(variable, "somebody-else")
    # When, then
    assert main(["promote", "--approve", "yes"]) == ExitCode.OK
    assert [each["by"] for each in last(state).approvals] == [pwd.getpwuid(os.getuid()).pw_name]


def test_approve_yes_runs_through(project: Project) -> None:
    state = project(stage("Prod", commands("Gate", "true"), approval=True))
    assert main(["promote", "--approve", "yes"]) == ExitCode.OK
    assert last(state).status == "succeeded"


def test_reject_ends_it_for_good(project: Project, tmp_path: Path) -> None:
    # Given a promotion that waits
    state = project(stage("Prod", commands("Gate", f"touch {tmp_path}/prod"), approval=True))
    main(["promote"])
    # When it is rejected
    assert main(["reject"]) == ExitCode.OK
    # Then nothing is left to approve, and prod was never touched
    assert last(state).status == "rejected"
    assert main(["approve"]) == ExitCode.BAD_INPUT
    assert not (tmp_path / "prod").exists()


def test_a_new_promotion_supersedes_one_that_waits(project: Project) -> None:
    state = project(stage("Prod", commands("Gate", "true"), approval=True))
    main(["promote"])
    main(["promote"])
    assert [run.status for run in all_runs(state.runs)] == ["superseded", "waiting"]


def test_a_promotion_that_gets_nowhere_leaves_the_one_that_waits(project: Project) -> None:
    # Given a promotion that waits for its approval
    state = project(stage("Prod", commands("Gate", "true"), approval=True))
    main(["promote"])
    # When another one is begun of a revision that there is not
    assert main(["promote", "--revision", "typo"]) != ExitCode.OK
    # Then the first one still waits, and can go on
    assert [run.status for run in all_runs(state.runs)] == ["waiting", "failed"]
    assert main(["approve"]) == ExitCode.OK
    assert [run.status for run in all_runs(state.runs)] == ["succeeded", "failed"]


def test_a_failed_gate_ends_it_and_says_where_why_and_what_to_open(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a gate that fails in staging
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


def test_a_commit_that_does_not_synthesise_is_told_by_its_own_error(
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


def test_a_downloaded_archive_is_promoted_as_it_is(
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
    # Given packages installed for one list, and a commit with another that waits for its approval
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    Path(lock).parent.mkdir(exist_ok=True)
    Path(lock).write_text("one\n")
    project(stage("Dev"), stage("Prod", approval=True))
    assert main(["promote"]) == ExitCode.OK
    (tmp_path / folder).mkdir()
    (tmp_path / folder / ".ready").write_text("another\n")
    # When, then it neither goes on, nor begins again
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


def test_outputs_of_a_stack_reach_the_step_that_asks_for_them(project: Project, tmp_path: Path) -> None:
    # Given a step that wants an output (written here as the deployment writes it)
    reference = {"ROLE": {"stack": "payment-platform-dev", "output": "LoadTestRoleArn"}}
    wanting = {**commands("Gate", f"echo $ROLE > {tmp_path}/role"), "env_from_outputs": reference}
    outputs = json.dumps({"LoadTestRoleArn": "arn:aws:iam::111111111111:role/payment-loadtest-dev"})
    project(stage("Dev", commands("Deploy", f"echo '{outputs}' > ../outputs/payment-platform-dev.json"), wanting))
    # When
    assert main(["promote"]) == ExitCode.OK
    # Then
    assert (tmp_path / "role").read_text().endswith("payment-loadtest-dev\n")


def test_a_step_knows_the_run_that_it_is_part_of_with_its_approvals(project: Project, tmp_path: Path) -> None:
    # Given a step after an approval that looks into the run's folder
    state = project(stage("Prod", commands("Evidence", f"cp $RUN_FOLDER/run.json {tmp_path}/seen.json"), approval=True))
    # When
    main(["promote", "--approve", "yes"])
    # Then it saw this run, and who approved
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


def test_clean_removes_all_that_was_made_and_nothing_else(project: Project) -> None:
    # Given a promotion, and the remote that starts one
    state = project(stage("Dev"))
    assert main(["promote"]) == ExitCode.OK
    assert main(["remote"]) == ExitCode.OK
    before = subprocess.run(["git", "remote"], capture_output=True, text=True).stdout
    # When the state is removed
    assert main(["clean"]) == ExitCode.OK
    # Then only the lock is left, for somebody may wait for it; the remote went with the repository that it led to
    assert [path.name for path in state.folder.iterdir()] == ["lock"]
    assert before == "local\n"
    assert subprocess.run(["git", "remote"], capture_output=True, text=True).stdout == ""
    # But a remote of that name that leads elsewhere stays
    subprocess.run(["git", "remote", "add", "local", "ssh://elsewhere/it"], check=True)
    assert main(["clean"]) == ExitCode.OK
    assert subprocess.run(["git", "remote"], capture_output=True, text=True).stdout == "local\n"


def test_asking_how_things_stand_keeps_no_promotion_from_starting(project: Project) -> None:
    # Given somebody who asks, again and again, whether a promotion is under way
    state, ends = project(stage("Dev", commands("Gate", "true"))), threading.Event()

    def ask() -> None:
        while not ends.is_set():
            state.is_locked()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        # When, then
        assert main(["promote"]) == ExitCode.OK
    finally:
        ends.set()
        asking.join()


def test_a_record_of_another_version_does_not_stop_anybody(project: Project) -> None:
    # Given the run folder of a version of this project that wrote other records
    state = project(stage("Dev"))
    state.prepare()
    (state.runs / "20200101-000000").mkdir()
    (state.runs / "20200101-000000" / "run.json").write_text('{"version": 0}')
    # When, then
    assert main(["promote"]) == ExitCode.OK
    assert main(["status"]) == ExitCode.OK


def test_a_repository_that_git_cannot_read_is_not_promoted_as_a_folder(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a repository whose git data is broken
    project(stage("Dev"))
    Path(".git/HEAD").write_text("garbage")
    # When, then
    assert main(["promote"]) == ExitCode.BAD_INPUT
    assert "git can't read this repository" in capsys.readouterr().out
