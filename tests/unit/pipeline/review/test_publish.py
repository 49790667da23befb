"""The comment on a pull request and the upload to code scanning, also for a hostile run."""

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.review.findings import Finding, compare
from pipeline.review.names import MARKER, TOOL
from pipeline.review.publish import FILE_LIMIT
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
    """Of ``review_md="…"``, which is packed as review.md."""
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
    """Pull request 12, out of a fork, whose review has passed."""
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


def publish(github: FakeGitHub, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """As on the runner: Python with nothing installed (-S), and what GitHub says in variables."""
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"workflow_run": {"id": RUN}, "repository": {"default_branch": "main"}}))
    environ = {
        "PATH": os.environ["PATH"],
        "GITHUB_API_URL": github.url,
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_TOKEN": TOKEN,
        "GITHUB_EVENT_PATH": str(event),
    }
    command = [sys.executable, "-S", "-m", "pipeline.review.publish"]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)


def published_comment(github: FakeGitHub, tmp_path: Path) -> str:
    """The one comment on pull request 12, after publishing."""
    done = publish(github, tmp_path)
    assert done.returncode == 0, done.stderr
    [comment] = github.comments
    assert (comment["user"]["login"], comment["on"]) == (BOT, 12)
    return str(comment["body"])


def test_a_passed_review_is_told_in_a_comment_that_names_verdict_commit_and_run(
    github: FakeGitHub, tmp_path: Path
) -> None:
    comment = published_comment(github, tmp_path)

    assert comment.startswith(f"{MARKER}\n✓ **Review passed** of `{COMMIT[:12]}`")
    assert "### Compliance: No new findings" in comment
    assert "(https://github.example/run/7)" in comment


def test_open_findings_become_alerts_of_the_pull_requests_commit_and_acknowledged_ones_do_not(
    github: FakeGitHub, tmp_path: Path
) -> None:
    published_comment(github, tmp_path)

    [alerts] = github.alerts
    [run] = alerts["sarif"]["runs"]
    assert [set(each["partialFingerprints"]) for each in run["results"]] == [{"primaryLocationLineHash"}]
    assert (alerts["commit_sha"], alerts["ref"]) == (COMMIT, "refs/pull/12/head")
    assert ["Open" in each["message"]["text"] for each in run["results"]] == [True]
    assert [each["id"] for each in run["tool"]["driver"]["rules"]] == ["AwsSolutions-S1"]


def test_the_next_review_replaces_the_comment_even_if_a_hundred_others_stand_before_it(
    github: FakeGitHub, tmp_path: Path
) -> None:
    for number in range(100):
        github.say("someone", f"comment {number}", 12)
    github.say(BOT, f"{MARKER}\n✓ **Review passed** of an older commit", 12)
    github.run["conclusion"] = "failure"

    assert publish(github, tmp_path).returncode == 0

    assert len(github.comments) == 101
    assert github.comments[-1]["body"].startswith(f"{MARKER}\n✗ **Review failed** of `{COMMIT[:12]}`")


@pytest.mark.parametrize("author", ["stranger", None])
def test_a_comment_of_somebody_else_with_our_marker_is_left_alone(
    github: FakeGitHub, tmp_path: Path, author: str | None
) -> None:
    github.say(author, f"{MARKER}\nmine", 12)

    assert publish(github, tmp_path).returncode == 0

    assert [each["body"].splitlines()[1][:1] for each in github.comments] == ["m", "✓"]


def test_a_failed_run_is_told_as_failed_however_clean_its_report_looks(github: FakeGitHub, tmp_path: Path) -> None:
    github.run["conclusion"] = "failure"

    assert published_comment(github, tmp_path).startswith(f"{MARKER}\n✗ **Review failed**")


def test_why_the_sides_could_not_be_compared_is_told_under_a_failed_verdict(github: FakeGitHub, tmp_path: Path) -> None:
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
def test_without_a_readable_report_the_comment_says_so_where_a_clean_verdict_stood(
    github: FakeGitHub, tmp_path: Path, left: bytes | None
) -> None:
    github.say(BOT, f"{CLEAN}✓ **Review passed** of an older commit", 12)
    github.artifacts = {} if left is None else {NOW: left}

    comment = published_comment(github, tmp_path)

    assert comment.startswith(f"{MARKER}\n◆ **No review** of `{COMMIT[:12]}` yet")
    assert "No new findings" not in comment
    assert github.alerts == []


def test_an_archive_over_the_limit_is_not_even_opened(github: FakeGitHub, tmp_path: Path) -> None:
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
def test_a_run_without_a_verdict_is_told_as_that(
    github: FakeGitHub, tmp_path: Path, status: str, conclusion: str | None, reason: str
) -> None:
    github.say(BOT, CLEAN, 12)
    github.run |= {"status": status, "conclusion": conclusion}

    comment = published_comment(github, tmp_path)

    assert "**No review**" in comment
    assert reason in comment
    assert "No new findings" not in comment


def test_the_pull_request_is_the_one_with_this_very_commit_from_this_very_repository(
    github: FakeGitHub, tmp_path: Path
) -> None:
    namesake = FORK | {"id": 3}  # a fork that was deleted and made again
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


def test_a_strangers_report_notifies_nobody_and_holds_no_second_marker(github: FakeGitHub, tmp_path: Path) -> None:
    github.artifacts = {NOW: archive(review_md=f"{CLEAN}@example/security look\0{MARKER}", review_sarif=LOG)}

    comment = published_comment(github, tmp_path)

    assert "@example" not in comment
    assert "example/security look" in comment
    assert comment.count(MARKER) == 1


def test_a_report_too_long_for_a_comment_is_cut_at_a_line_and_says_so_first(github: FakeGitHub, tmp_path: Path) -> None:
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
def test_what_a_cut_left_open_is_closed(github: FakeGitHub, tmp_path: Path, opened: str, closed: str) -> None:
    github.artifacts = {NOW: archive(review_md=CLEAN + opened + "+ a line\n" * 10_000, review_sarif=LOG)}

    assert published_comment(github, tmp_path).endswith(f"+ a line{closed}")


def test_of_a_run_that_was_repeated_the_last_report_is_told(github: FakeGitHub, tmp_path: Path) -> None:
    github.run["run_started_at"] = NOW
    again = "2026-01-01T11:10:00Z"
    github.artifacts = {
        EARLIER: archive(review_md="Of the first attempt", review_sarif=LOG),
        again: archive(review_md="Of the last attempt", review_sarif=LOG),
        NOW: archive(review_md="Of the last attempt, replaced", review_sarif=LOG),
    }

    assert published_comment(github, tmp_path).endswith("\n\nOf the last attempt\n")


def test_a_repetition_that_left_nothing_does_not_repeat_the_first_report(github: FakeGitHub, tmp_path: Path) -> None:
    github.run |= {"run_started_at": NOW, "conclusion": "failure"}
    github.artifacts = {EARLIER: archive(review_md=CLEAN, review_sarif=LOG)}

    assert "**No review**" in published_comment(github, tmp_path)


@pytest.mark.parametrize(
    ("storage", "reason"),
    [(410, "its report has expired"), (503, "does not hand out its report"), (0, "could not be fetched")],
)
def test_a_report_that_can_not_be_had_is_told_where_a_former_verdict_stood(
    github: FakeGitHub, tmp_path: Path, storage: int, reason: str
) -> None:
    github.say(BOT, CLEAN, 12)
    github.storage = storage

    comment = published_comment(github, tmp_path)

    assert "**No review**" in comment
    assert reason in comment


@pytest.mark.parametrize("path", [".github/workflows/mine.yml", ".github/workflows/mine.yml@refs/heads/main"])
def test_another_workflow_of_the_same_name_is_told_to_nobody(github: FakeGitHub, tmp_path: Path, path: str) -> None:
    github.run["path"] = path

    done = publish(github, tmp_path)

    assert (done.returncode, github.comments, github.alerts) == (0, [], [])
    assert "not ours" in done.stdout


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"filename": "pipeline/review/synthesis.py"}, "`pipeline/review/`"),
        ({"filename": "elsewhere.yml", "previous_filename": ".github/workflows/review.yml"}, "`.github/`"),
        ({"filename": "Makefile"}, "`Makefile`"),
    ],
)
def test_a_change_of_what_judges_it_is_named_before_the_report(
    github: FakeGitHub, tmp_path: Path, changed: dict[str, str], named: str
) -> None:
    github.changed = [{"filename": f"stages/{n}.py"} for n in range(100)] + [changed]

    comment = published_comment(github, tmp_path)

    assert f"This change alters what judges it: {named}." in comment
    assert comment.index("alters") < comment.index("### Compliance")


def test_a_change_too_large_to_be_listed_is_not_taken_for_harmless(github: FakeGitHub, tmp_path: Path) -> None:
    github.changed = [{"filename": f"stages/{n}.py"} for n in range(3000)]

    assert "alters what judges it: `.github/`, `.ci/`" in published_comment(github, tmp_path)


def test_a_change_of_anything_else_alters_no_judge(github: FakeGitHub, tmp_path: Path) -> None:
    github.changed = [{"filename": name} for name in ("stages/api.py", "docs/Makefile", "pipeline/reviewed.py")]

    assert "alters" not in published_comment(github, tmp_path)


def test_a_push_to_main_tells_code_scanning_what_is_there_already(github: FakeGitHub, tmp_path: Path) -> None:
    ours = {"id": 1, "full_name": REPOSITORY, "owner": {"login": "example"}}
    github.run |= {"event": "push", "head_branch": "main", "head_repository": ours}

    assert publish(github, tmp_path).returncode == 0

    assert github.comments == []
    assert [(each["commit_sha"], each["ref"]) for each in github.alerts] == [(COMMIT, "refs/heads/main")]


def test_a_repository_without_code_scanning_still_gets_its_comment(github: FakeGitHub, tmp_path: Path) -> None:
    github.code_scanning = 403

    done = publish(github, tmp_path)

    assert done.returncode == 0
    assert "::warning::no alerts: code scanning is not switched on" in done.stdout
    assert len(github.comments) == 1


def test_alerts_that_github_does_not_take_fail_the_job(github: FakeGitHub, tmp_path: Path) -> None:
    github.code_scanning = 400

    done = publish(github, tmp_path)

    assert done.returncode == 1
    assert "400: POST code-scanning/sarifs" in done.stderr
