"""The comment on a pull request and the upload to code scanning, also for a hostile run."""

import html
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.review.findings import Finding, compare
from pipeline.review.markers import MARKER, TOOL
from pipeline.review.publish import FILE_LIMIT, INERT
from pipeline.review.reports import sarif
from tests.unit.pipeline.review.fake_github import BOT, REPOSITORY, RUN, TOKEN, FakeGitHub, serving

ROOT = Path(__file__).resolve().parents[4]
COMMIT, OTHER_COMMIT = "a" * 40, "b" * 40
EARLIER, NOW = "2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z"
CLEAN = f"{MARKER}\n### Compliance: No new findings\n"
FORK = {"id": 2, "full_name": "stranger/payment-pipeline", "owner": {"login": "stranger"}}


def finding(construct: str, reason: str | None = None) -> Finding:
    return Finding(rule="AwsSolutions::AwsSolutions-S1", construct=construct, description="Log.", reason=reason)


LOG = json.dumps(sarif.render(compare([], [finding("Open"), finding("Acknowledged", "Needed.")])))


def archive(compression: int = zipfile.ZIP_DEFLATED, **files: str | bytes) -> bytes:
    """A ZIP archive. ``review_md="…"`` becomes its file review.md."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as packed:
        for name, text in files.items():
            packed.writestr(name.replace("_", "."), text)
    return content.getvalue()


def pull_request(number: int, *, sha: str = COMMIT, repo: dict[str, Any] = FORK, base: str = "main") -> dict[str, Any]:
    head = {"sha": sha, "ref": "feature/x", "repo": repo}
    return {"number": number, "state": "open", "base": {"ref": base}, "head": head}


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    """A GitHub with pull request 12 from a fork, whose review has passed."""
    with serving() as fake:
        fake.run = {
            "id": RUN,
            "path": ".github/workflows/review.yml",
            "event": "pull_request",
            "run_started_at": EARLIER,
            "status": "completed",
            "conclusion": "success",
            "head_sha": COMMIT,
            "head_branch": "feature/x",
            "head_repository": FORK,
            "html_url": "https://github.example/run/7",
            "pull_requests": [],
        }
        fake.pull_requests = [pull_request(12)]
        fake.artifacts = {NOW: archive(review_md=CLEAN, review_sarif=LOG)}
        yield fake


def publish(
    github: FakeGitHub, tmp_path: Path, *, judgement: str = "[]", judged: str = "success"
) -> subprocess.CompletedProcess[str]:
    """Runs the command as on GitHub, after the job that judges: Python without packages (-S), GitHub's variables."""
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"workflow_run": {"id": RUN}, "repository": {"default_branch": "main"}}))
    environ = {
        "PATH": os.environ["PATH"],
        "GITHUB_API_URL": github.url,
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_TOKEN": TOKEN,
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_SERVER_URL": "https://github.example",
        "GITHUB_RUN_ID": "8",
        "JUDGEMENT": judgement,
        "JUDGE_RESULT": judged,
    }
    command = [sys.executable, "-S", "-m", "pipeline.review.publish"]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)


def published_comment(github: FakeGitHub, tmp_path: Path) -> str:
    """The one comment on pull request 12, after publishing, without the judgement that stands first."""
    done = publish(github, tmp_path)
    assert done.returncode == 0, done.stderr
    [comment] = github.comments
    assert (comment["user"]["login"], comment["on"]) == (BOT, 12)
    return without_judgement(comment["body"])


def without_judgement(comment: str) -> str:
    judged = re.compile(rf"^{MARKER}\n. \*\*Judged by main's rules.*?(?=^. \*\*(No r|R)eview)", re.DOTALL | re.M)
    assert judged.match(comment)
    return judged.sub(f"{MARKER}\n", comment, count=1)


def test_the_comment_on_a_passed_review_names_verdict_commit_and_run(github: FakeGitHub, tmp_path: Path) -> None:
    comment = published_comment(github, tmp_path)

    assert comment.startswith(f"{MARKER}\n✓ **Review passed** of `{COMMIT[:12]}`")
    assert "### Compliance: No new findings" in comment
    assert "(https://github.example/run/7)" in comment


NEW = "new finding: AwsSolutions::AwsSolutions-EC23 at Dev/Platform/Api"


@pytest.mark.parametrize(
    ("judgement", "judged", "changed", "state", "says"),
    [
        ("[]", "success", "stages/network.py", "success", "nothing new"),
        (json.dumps([NEW]), "success", "stages/network.py", "failure", "1 reason to look: a code owner approves"),
        ("[]", "success", "pipeline/compliance/acknowledgements.toml", "failure", "1 reason to look"),
        ("[]", "success", ".github/workflows/review.yml", "failure", "1 reason to look"),
        ("[]", "success", "requirements/dev.txt", "failure", "1 reason to look"),
        ("", "failure", "stages/network.py", "error", "it could not be judged"),
        ("", "success", "stages/network.py", "error", "it could not be judged"),
        ("{}", "success", "stages/network.py", "error", "it could not be judged"),
        ("[", "success", "stages/network.py", "error", "it could not be judged"),
    ],
)
def test_the_check_says_what_the_rules_of_main_say(
    github: FakeGitHub, tmp_path: Path, judgement: str, judged: str, changed: str, state: str, says: str
) -> None:
    # Given that the change's own review has passed
    github.changed = [{"filename": changed}]
    # When
    assert publish(github, tmp_path, judgement=judgement, judged=judged).returncode == 0
    # Then the check of the commit does not ask it, and leads to the run of this job
    [status] = github.statuses
    assert (status["sha"], status["context"], status["state"]) == (COMMIT, "judgement", state)
    assert status["description"].startswith(says)
    assert status["target_url"] == f"https://github.example/{REPOSITORY}/actions/runs/8"
    # And the comment begins with it
    [comment] = github.comments
    assert comment["body"].startswith(f"{MARKER}\n{'✓' if state == 'success' else '✗'} **Judged by main's rules")
    assert (NEW in comment["body"]) is (NEW in judgement)


@pytest.mark.parametrize(
    ("decision", "approvals", "passes"),
    [
        ("APPROVED", [("owner", COMMIT)], True),
        ("APPROVED", [("owner", OTHER_COMMIT)], False),  # of a former commit
        ("APPROVED", [("author", COMMIT)], False),
        ("REVIEW_REQUIRED", [("stranger", COMMIT)], False),  # who owns none of the changed code
        ("CHANGES_REQUESTED", [("owner", COMMIT)], False),
        (None, [("owner", COMMIT)], False),  # main requires no review, so nobody knows the owners
        ("APPROVED", [], False),
    ],
)
def test_a_far_reaching_change_passes_when_a_code_owner_has_approved_this_commit(
    github: FakeGitHub, tmp_path: Path, decision: str | None, approvals: list[tuple[str, str]], passes: bool
) -> None:
    github.review_decision, github.approvals = decision, approvals
    assert publish(github, tmp_path, judgement=json.dumps([NEW])).returncode == 0
    [status] = github.statuses
    assert status["state"] == ("success" if passes else "failure")
    assert ("approved by owner" in status["description"]) is passes


def test_the_check_waits_while_the_review_runs(github: FakeGitHub, tmp_path: Path) -> None:
    github.run |= {"status": "in_progress", "conclusion": None}
    assert publish(github, tmp_path, judgement="", judged="skipped").returncode == 0
    assert [each["state"] for each in github.statuses] == ["pending"]


def test_the_job_of_the_begin_does_not_replace_the_judgement_of_the_end(github: FakeGitHub, tmp_path: Path) -> None:
    assert publish(github, tmp_path, judgement="", judged="skipped").returncode == 0
    assert not github.statuses
    assert not github.comments


def test_a_reason_cannot_act_as_markup_in_the_comment(github: FakeGitHub, tmp_path: Path) -> None:
    hostile = "new finding: ```\n@octo <b>x</b>\u202e" + "x" * 1000
    assert publish(github, tmp_path, judgement=json.dumps([hostile] * 50)).returncode == 0
    [comment] = github.comments
    fenced = comment["body"].split("```")
    assert len(fenced) == 3
    assert "@octo" not in fenced[0] + fenced[2]
    assert "and 40 more" in comment["body"]
    assert len(comment["body"]) < 65_536


def test_only_open_findings_become_alerts_of_the_commit(github: FakeGitHub, tmp_path: Path) -> None:
    published_comment(github, tmp_path)

    [alerts] = github.alerts
    [run] = alerts["sarif"]["runs"]
    assert [set(each["partialFingerprints"]) for each in run["results"]] == [{"primaryLocationLineHash"}]
    assert (alerts["commit_sha"], alerts["ref"]) == (COMMIT, "refs/pull/12/head")
    assert ["Open" in each["message"]["text"] for each in run["results"]] == [True]
    assert [each["id"] for each in run["tool"]["driver"]["rules"]] == ["AwsSolutions-S1"]


def test_the_next_review_replaces_the_comment_even_after_a_hundred_others(github: FakeGitHub, tmp_path: Path) -> None:
    for number in range(100):
        github.say("someone", f"comment {number}", 12)
    github.say(BOT, f"{MARKER}\n✓ **Review passed** of an older commit", 12)
    github.run["conclusion"] = "failure"

    assert publish(github, tmp_path).returncode == 0

    assert len(github.comments) == 101
    body = without_judgement(github.comments[-1]["body"])
    assert body.startswith(f"{MARKER}\n✗ **Review failed** of `{COMMIT[:12]}`")


@pytest.mark.parametrize("author", ["stranger", None])
def test_a_comment_of_another_account_with_our_marker_is_left_alone(
    github: FakeGitHub, tmp_path: Path, author: str | None
) -> None:
    github.say(author, f"{MARKER}\nmine", 12)

    assert publish(github, tmp_path).returncode == 0

    assert [each["body"].splitlines()[1][:1] for each in github.comments] == ["m", "✓"]


def test_a_failed_run_fails_even_with_a_clean_report(github: FakeGitHub, tmp_path: Path) -> None:
    github.run["conclusion"] = "failure"

    assert published_comment(github, tmp_path).startswith(f"{MARKER}\n✗ **Review failed**")


def test_a_failed_comparison_is_published_with_its_reason(github: FakeGitHub, tmp_path: Path) -> None:
    github.run["conclusion"] = "failure"
    github.artifacts = {NOW: archive(review_md="No such base.")}

    comment = published_comment(github, tmp_path)

    assert comment.startswith(f"{MARKER}\n✗ **Review failed**")
    assert "No such base." in comment
    assert github.alerts == []


BOMB = archive(review_md=b" " * (FILE_LIMIT + 1), review_sarif=LOG)
ANOTHER_TOOL = LOG.replace(TOOL, "CodeQL")
TWO_RUNS = json.dumps({"version": "2.1.0", "runs": json.loads(LOG)["runs"] * 2})
LEFT = {
    "nothing": None,
    "no archive": b"<html>",
    "half an archive": archive(review_md=CLEAN, review_sarif=LOG)[:-30],
    "no report": archive(review_sarif=LOG),
    "no alerts": archive(review_md=CLEAN),
    "another path": archive(**{"../review_md": CLEAN}, review_sarif=LOG),
    "a report that is not text": archive(review_md=b"\xff\xfe", review_sarif=LOG),
    "a report that unpacks to more than the limit": BOMB,
    "an odd compression": archive(zipfile.ZIP_LZMA, review_md=CLEAN, review_sarif=LOG),
    "alerts that are no JSON": archive(review_md=CLEAN, review_sarif="{"),
    "alerts nested without end": archive(review_md=CLEAN, review_sarif="[" * 100_000),
    "alerts that are no log": archive(review_md=CLEAN, review_sarif='{"version": "2.1.0", "runs": []}'),
    "alerts that are no list": archive(review_md=CLEAN, review_sarif=LOG.replace('"results": [', '"else": [')),
    "alerts in another tool's name": archive(review_md=CLEAN, review_sarif=ANOTHER_TOOL),
    "alerts of two runs": archive(review_md=CLEAN, review_sarif=TWO_RUNS),
}


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT)
def test_an_unreadable_report_replaces_a_former_verdict(github: FakeGitHub, tmp_path: Path, left: bytes | None) -> None:
    github.say(BOT, f"{CLEAN}✓ **Review passed** of an older commit", 12)
    github.artifacts = {} if left is None else {NOW: left}

    comment = published_comment(github, tmp_path)

    assert comment.startswith(f"{MARKER}\n◆ **No review** of `{COMMIT[:12]}` yet")
    assert "No new findings" not in comment
    assert github.alerts == []


def test_an_archive_over_the_limit_is_not_opened(github: FakeGitHub, tmp_path: Path) -> None:
    github.artifacts = {NOW: b" " * (FILE_LIMIT + 1)}

    done = publish(github, tmp_path)

    assert f"it has more than {FILE_LIMIT} bytes" in done.stdout
    assert "**No review**" in github.comments[0]["body"]


@pytest.mark.parametrize(
    ("status", "conclusion", "reason"),
    [
        ("in_progress", None, "under way"),
        ("completed", "cancelled", "ended as cancelled"),
        ("completed", "timed_out", "ended as timed_out"),
        ("completed", "action_required", "ended as action_required"),
    ],
)
def test_a_run_without_a_verdict_gets_no_verdict(
    github: FakeGitHub, tmp_path: Path, status: str, conclusion: str | None, reason: str
) -> None:
    github.say(BOT, CLEAN, 12)
    github.run |= {"status": status, "conclusion": conclusion}

    comment = published_comment(github, tmp_path)

    assert "**No review**" in comment
    assert reason in comment
    assert "No new findings" not in comment


def test_the_pull_request_is_found_by_commit_and_repository(github: FakeGitHub, tmp_path: Path) -> None:
    namesake = FORK | {"id": 3}  # a deleted fork that was created again
    github.pull_requests = [
        pull_request(10, sha=OTHER_COMMIT),
        pull_request(11, repo=namesake),
        pull_request(12),
        pull_request(13, base="release"),
    ]
    github.artifacts = {NOW: archive(number="10", review_md=f"{CLEAN}#10", review_sarif=LOG)}

    assert "**Review passed**" in published_comment(github, tmp_path)


@pytest.mark.parametrize("change", [{"head_sha": OTHER_COMMIT}, {"head_repository": None}, {"event": "schedule"}])
def test_a_superseded_commit_a_deleted_fork_and_another_event_write_nothing(
    github: FakeGitHub, tmp_path: Path, change: dict[str, Any]
) -> None:
    github.run |= change

    done = publish(github, tmp_path)

    assert (done.returncode, github.comments, github.alerts) == (0, [], [])
    assert "nothing to do" in done.stdout


def test_a_strangers_report_notifies_nobody_and_has_no_second_marker(github: FakeGitHub, tmp_path: Path) -> None:
    github.artifacts = {NOW: archive(review_md=f"{CLEAN}@example/security look\0{MARKER}", review_sarif=LOG)}

    comment = published_comment(github, tmp_path)

    assert "@example" not in comment
    assert "example/security look" in comment
    assert comment.count(MARKER) == 1


def test_a_long_report_is_cut_at_a_line_and_says_so_first(github: FakeGitHub, tmp_path: Path) -> None:
    github.artifacts = {NOW: archive(review_md=CLEAN + "- a finding\n" * 10_000, review_sarif=LOG)}

    comment = published_comment(github, tmp_path)

    assert "cut: [the whole report" in comment.splitlines()[1]
    assert comment.endswith("- a finding\n")


@pytest.mark.parametrize(
    ("opened", "closed"),
    [
        ("<details><summary>Rest</summary>\n", "\n\n</details>\n"),
        ("- added\n  ````diff\n  ```\n", "\n  ````\n"),
        ("<details>\n  ```diff\n<details>\n", "\n  ```\n\n</details>\n"),
    ],
)
def test_a_cut_report_closes_its_blocks(github: FakeGitHub, tmp_path: Path, opened: str, closed: str) -> None:
    github.artifacts = {NOW: archive(review_md=CLEAN + opened + "+ a line\n" * 10_000, review_sarif=LOG)}

    assert published_comment(github, tmp_path).endswith(f"+ a line{closed}")


def test_a_repeated_run_publishes_its_last_report(github: FakeGitHub, tmp_path: Path) -> None:
    github.run["run_started_at"] = NOW
    again = "2026-01-01T11:10:00Z"
    github.artifacts = {
        EARLIER: archive(review_md="Of the first attempt", review_sarif=LOG),
        again: archive(review_md="Of the last attempt", review_sarif=LOG),
        NOW: archive(review_md="Of the last attempt, replaced", review_sarif=LOG),
    }

    assert published_comment(github, tmp_path).endswith("\n\nOf the last attempt\n")


def test_a_repeated_run_without_a_report_does_not_publish_the_first_one(github: FakeGitHub, tmp_path: Path) -> None:
    github.run |= {"run_started_at": NOW, "conclusion": "failure"}
    github.artifacts = {EARLIER: archive(review_md=CLEAN, review_sarif=LOG)}

    assert "**No review**" in published_comment(github, tmp_path)


@pytest.mark.parametrize(
    ("storage", "reason"),
    [(410, "its report has expired"), (503, "does not hand out its report"), (0, "could not be fetched")],
)
def test_a_report_that_cannot_be_fetched_replaces_a_former_verdict(
    github: FakeGitHub, tmp_path: Path, storage: int, reason: str
) -> None:
    github.say(BOT, CLEAN, 12)
    github.storage = storage

    comment = published_comment(github, tmp_path)

    assert "**No review**" in comment
    assert reason in comment


@pytest.mark.parametrize("path", [".github/workflows/mine.yml", ".github/workflows/mine.yml@refs/heads/main"])
def test_another_workflow_of_the_same_name_publishes_nothing(github: FakeGitHub, tmp_path: Path, path: str) -> None:
    github.run["path"] = path

    done = publish(github, tmp_path)

    assert (done.returncode, github.comments, github.alerts) == (0, [], [])
    assert "another workflow" in done.stdout


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"filename": "pipeline/review/synthesis.py"}, "`pipeline/review/`"),
        ({"filename": "pipeline/assembly.py"}, "`pipeline/`"),
        ({"filename": "stages/api.py"}, "`stages/`"),
        ({"filename": "environments.py"}, "`environments.py`"),
        ({"filename": "reporting/text.py"}, "`reporting/`"),
        ({"filename": "@everybody`.py"}, "`?everybody?.py`"),
        ({"filename": "docs/elsewhere.yml", "previous_filename": ".github/workflows/review.yml"}, "`.github/`"),
        ({"filename": "Makefile"}, "`Makefile`"),
    ],
)
def test_a_change_of_its_own_judges_is_named_before_the_report(
    github: FakeGitHub, tmp_path: Path, changed: dict[str, str], named: str
) -> None:
    github.changed = [{"filename": f"lambdas/{n}.py"} for n in range(100)] + [changed]

    comment = published_comment(github, tmp_path)

    assert f"This change alters what wrote this report: {named}." in comment
    assert comment.index("alters") < comment.index("### Compliance")


def test_a_change_with_too_many_files_may_have_more_judges(github: FakeGitHub, tmp_path: Path) -> None:
    github.changed = [{"filename": f"lambdas/{n}.py"} for n in range(3000)]

    assert "alters what wrote this report: `...`" in published_comment(github, tmp_path)


def test_no_code_that_judges_a_change_is_called_inert() -> None:
    # Given all of this repository's modules that synthesis, review and checkov's command import
    code = (
        "import sys, pipeline_app, pipeline.stack, pipeline.definition, pipeline.local.plan, pipeline.review.__main__"
    )
    code += ", pipeline.compliance.checkov, stages.platform_stack\nprint(*(getattr(m, '__file__', None) or '' for m in"
    code += " list(sys.modules.values())), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    ours = {line.removeprefix(f"{ROOT}/") for line in done.stdout.splitlines() if line.startswith(f"{ROOT}/")}
    # Then none is in a folder that is left out of the warning
    assert {"pipeline_app.py", "environments.py", "stages/api.py", "reporting/text.py"} <= ours
    assert not [name for name in ours if name.startswith(INERT) and not name.startswith(".venv")]


def test_a_change_of_other_files_names_no_judge(github: FakeGitHub, tmp_path: Path) -> None:
    github.changed = [{"filename": name} for name in ("lambdas/a.py", "docs/Makefile", "README.md")]

    assert "alters" not in published_comment(github, tmp_path)


def test_a_push_to_main_uploads_its_findings_to_code_scanning(github: FakeGitHub, tmp_path: Path) -> None:
    ours = {"id": 1, "full_name": REPOSITORY, "owner": {"login": "example"}}
    github.run |= {"event": "push", "head_branch": "main", "head_repository": ours}
    github.branches = {"main": COMMIT}

    assert publish(github, tmp_path).returncode == 0

    assert github.comments == []
    assert [(each["commit_sha"], each["ref"]) for each in github.alerts] == [(COMMIT, "refs/heads/main")]


def test_a_tag_with_the_name_of_main_uploads_nothing(github: FakeGitHub, tmp_path: Path) -> None:
    ours = {"id": 1, "full_name": REPOSITORY, "owner": {"login": "example"}}
    github.run |= {"event": "push", "head_branch": "main", "head_repository": ours}
    github.branches = {"main": OTHER_COMMIT}

    assert publish(github, tmp_path).returncode == 0

    assert github.alerts == []


@pytest.mark.parametrize("name", ["@octocat", "&#64;octocat", "&#x40;octocat", "&commat;octocat", "@&#111;ctocat"])
def test_a_name_in_a_strangers_text_notifies_nobody(github: FakeGitHub, tmp_path: Path, name: str) -> None:
    github.artifacts = {NOW: archive(review_md=f"{MARKER}\nHello {name}\n", review_sarif=LOG)}

    assert "@octocat" not in html.unescape(published_comment(github, tmp_path))


@pytest.mark.parametrize("text", ["`" * 2000 + "\n", "<details>\n" * 2000, "\U0001f600" * 20_000])
def test_a_text_that_can_not_be_cut_well_still_replaces_the_former_verdict(
    github: FakeGitHub, tmp_path: Path, text: str
) -> None:
    github.say(BOT, f"{CLEAN}✓ **Review passed** of an older commit", 12)
    github.run["conclusion"] = "failure"
    long = f"{MARKER}\n{text}" + f"{'y' * 99}\n" * 900
    github.artifacts = {NOW: archive(review_md=long, review_sarif=LOG)}

    comment = published_comment(github, tmp_path)

    assert comment.startswith(f"{MARKER}\n✗ **Review failed** of `{COMMIT[:12]}`")
    assert "Too long for a comment, so cut" in comment


def test_a_comment_that_github_refuses_does_not_leave_the_former_verdict(github: FakeGitHub, tmp_path: Path) -> None:
    github.say(BOT, f"{CLEAN}✓ **Review passed** of an older commit", 12)
    github.refused = "### Compliance"

    assert "**No review**" in published_comment(github, tmp_path)


def test_outside_of_github_it_says_where_it_belongs() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "pipeline.review.publish"], cwd=ROOT, env={}, capture_output=True, text=True
    )

    assert done.returncode == 2
    assert "a step of .github/workflows/review-comment.yml: the variable GITHUB_EVENT_PATH is not set" in done.stderr


def test_a_repository_without_code_scanning_still_gets_its_comment(github: FakeGitHub, tmp_path: Path) -> None:
    github.code_scanning = 403

    done = publish(github, tmp_path)

    assert done.returncode == 0
    assert "::warning::no alerts: code scanning is not switched on" in done.stdout
    assert len(github.comments) == 1


def test_a_refused_upload_of_alerts_fails_the_job(github: FakeGitHub, tmp_path: Path) -> None:
    github.code_scanning = 400

    done = publish(github, tmp_path)

    assert done.returncode == 1
    assert "400: POST code-scanning/sarifs" in done.stderr
