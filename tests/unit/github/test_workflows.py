"""Rules that the linters do not check: one workflow may write, and it never runs foreign code."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.review import verdict
from pipeline.review.judge import OUTPUT
from pipeline.review.publish import ARTIFACT

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted((ROOT / ".github" / "workflows").iterdir())
MAKEFILE = (ROOT / "Makefile").read_text()
ANYBODY = {"pull_request", "pull_request_target", "issue_comment", "issues", "push"}
"""Events upon which a workflow here runs code that was pushed or proposed."""


def load(file: Path) -> dict[str, Any]:
    workflow: dict[Any, Any] = yaml.safe_load(file.read_text())
    workflow["on"] = workflow.pop(True)  # YAML 1.1 reads `on` so
    return workflow


WORKFLOWS = {file.name: load(file) for file in FILES}
JOBS = {f"{name}/{id}": job for name, workflow in WORKFLOWS.items() for id, job in workflow["jobs"].items()}
OF_ANYBODY = [name for name, workflow in WORKFLOWS.items() if ANYBODY & set(workflow["on"])]
WITH_RIGHTS = [name for name in WORKFLOWS if name not in OF_ANYBODY]

each_job = pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def steps(*jobs: dict[str, Any], of: str) -> list[dict[str, Any]]:
    """The steps that use an action, or run a command."""
    return [step for job in jobs for step in job["steps"] if of in step]


@each_file
def test_every_action_is_pinned_to_a_commit_and_says_which_version_that_is(file: Path) -> None:
    for line in file.read_text().splitlines():
        if re.search(r"\buses:", line):
            assert re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_an_action_has_the_same_version_everywhere() -> None:
    used = {step["uses"] for step in steps(*JOBS.values(), of="uses")}
    assert len(used) == len({each.split("@")[0] for each in used})


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=WORKFLOWS)
def test_a_workflow_has_only_the_rights_that_a_job_names(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {}
    assert all("permissions" in job for job in workflow["jobs"].values())


@each_job
def test_a_job_ends_and_leaves_no_credentials_on_disk(job: dict[str, Any]) -> None:
    assert job["timeout-minutes"] <= 60
    checkouts = [step for step in steps(job, of="uses") if step["uses"].startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("name", OF_ANYBODY)
def test_a_workflow_that_runs_anybodys_code_can_write_nothing_and_knows_no_secret(name: str) -> None:
    rights = {right for job in WORKFLOWS[name]["jobs"].values() for right in job["permissions"].items()}
    text = (ROOT / ".github" / "workflows" / name).read_text()

    assert rights <= {("contents", "read")}
    assert not re.search(r"secrets\b|github\.token|aws-actions|role-to-assume", text)
    assert not {"pull_request_target", "issue_comment"} & set(WORKFLOWS[name]["on"])


def test_the_only_workflow_with_rights_runs_only_the_default_branchs_code() -> None:
    [name] = WITH_RIGHTS
    jobs = WORKFLOWS[name]["jobs"]

    assert list(WORKFLOWS[name]["on"]) == ["workflow_run"]
    for job in jobs.values():
        [checkout] = steps(job, of="uses")
        assert checkout["uses"].startswith("actions/checkout@")
        assert checkout["with"] == {"persist-credentials": False}  # no ref, no repository: the default branch
        assert "secrets." not in str(job)
    assert [step["run"] for step in steps(jobs["publish"], of="run")] == ["python3 -m pipeline.review.publish"]


def test_what_judges_a_strangers_templates_may_write_nothing_and_what_writes_installs_nothing() -> None:
    jobs = WORKFLOWS["review-comment.yml"]["jobs"]
    assert set(jobs["judge"]["permissions"].values()) == {"read"}
    assert [right for right, kind in jobs["publish"]["permissions"].items() if kind == "write"] == [
        "pull-requests", "statuses", "security-events",
    ]  # fmt: skip
    assert "make" not in str(steps(jobs["publish"], of="run"))


def test_the_check_is_set_also_when_nothing_could_be_judged() -> None:
    jobs = WORKFLOWS["review-comment.yml"]["jobs"]
    [step] = steps(jobs["publish"], of="run")
    assert (jobs["publish"]["needs"], jobs["publish"]["if"]) == ("judge", "${{ !cancelled() }}")
    assert step["env"][verdict.RESULT] == "${{ needs.judge.result }}"
    assert step["env"][verdict.OUTPUT] == f"${{{{ needs.judge.outputs.{OUTPUT} }}}}"
    assert jobs["judge"]["outputs"] == {OUTPUT: f"${{{{ steps.judge.outputs.{OUTPUT} }}}}"}


def test_it_follows_a_workflow_that_exists_and_leaves_the_artifact_that_is_looked_for() -> None:
    [name] = WITH_RIGHTS
    followed = WORKFLOWS[name]["on"]["workflow_run"]["workflows"]
    left = {
        (workflow["name"], step["with"]["name"])
        for workflow in WORKFLOWS.values()
        for step in steps(*workflow["jobs"].values(), of="uses")
        if step["uses"].startswith("actions/upload-artifact@")
    }

    assert left == {(each, ARTIFACT) for each in followed}


@each_job
def test_a_command_takes_nothing_from_an_expression(job: dict[str, Any]) -> None:
    assert not [step for step in steps(job, of="run") if "${{" in step["run"]]


@each_job
def test_each_make_target_of_a_job_exists(job: dict[str, Any]) -> None:
    made = [target for step in steps(job, of="run") for target in re.findall(r"\bmake ([\w-]+)", step["run"])]
    assert all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in made)


def test_the_parts_of_make_test_are_all_run() -> None:
    parts = re.findall(r"^(?:SHARING|ALONE) := (.*)$", MAKEFILE, re.MULTILINE)
    assert sorted(JOBS["test.yml/part"]["strategy"]["matrix"]["part"]) == sorted(" ".join(parts).split())


def test_the_one_check_that_stands_for_all_parts_fails_unless_they_passed() -> None:
    job = JOBS["test.yml/all"]
    assert (job["needs"], job["if"]) == ("part", "${{ always() }}")
    assert [step["run"] for step in steps(job, of="run")] == ['test "$RESULT" = success']
