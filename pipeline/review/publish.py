"""Publish a review: write one comment on the pull request, which later reviews replace, and alerts in code scanning.

    python -m pipeline.review.publish

GitHub starts this command after every run of a workflow named Review (event ``workflow_run``). It runs the code of the
default branch, with the right to write. The review itself ran the pull request's code, perhaps a stranger's. Therefore
GitHub tells which pull request and commit the run belongs to, and the run's report is only data: two files of bounded
size and known form. Their archive is never unpacked to disk.

A pull request can change the review or the workflow, and so its own report. Therefore this command refuses runs of
other workflows, and the comment names the parts of the pull request whose code wrote it. The check that main requires
is another one (verdict.py): main's rules over the change's templates.

If a run has not ended or left no readable report, the comment says so in place of the former verdict.

This module imports the standard library only. The job with the token then installs no packages.
"""

import base64
import gzip
import io
import json
import os
import re
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.review import verdict
from pipeline.review.github import Refused, Repository
from pipeline.review.markers import MARKER, TOOL

WORKFLOW = ".github/workflows/review.yml"
"""Any pull request may contain another workflow of the same name."""
ARTIFACT = "review"
INERT = (
    "benchmarks/", "docs/", "lambdas/", "loadtest/", "localcloud/", "tests/",
    "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md",
)  # fmt: skip
"""Files and folders whose code does not run when a change is reviewed. All others could alter what is found: synthesis
and review import them, or they say what is installed and run."""
MOST_FILES = 3000
"""GitHub lists no more files of a pull request."""
FILE_LIMIT = 10 * 1024 * 1024
"""In bytes, for each report and for the archive."""
COMMENT_LIMIT = 61_000
"""In bytes, for the report in a comment. GitHub refuses comments of more than 65,536 characters."""
LONGEST_FENCE = 100
"""In characters. A longer fence is not closed: its end would not fit, and nothing stands after it."""
MOST_ENDS = 20
"""The most lines that close the blocks of a cut report. Our reports need three."""
AUTHOR = "github-actions[bot]"
"""This job's account on GitHub. It changes no comment of another account, even if that has the marker."""
GONE = 410
UNREADABLE = (ValueError, KeyError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error)
"""The errors that a forged archive, text or JSON can raise."""


class NoReport(Exception):
    """The run left no report. The message ends the sentence 'No review: …'."""


class NotOnGitHub(Exception):
    """This is no step of GitHub's workflow. The message says what it lacks."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The report of a run. A stranger may have written it."""

    text: str
    """Markdown."""
    sarif: dict[str, Any] | None
    """``None``: base and head could not be compared. The text says why."""


def main() -> int:
    """Exit code 0 even if the review failed, because this command only publishes the verdict. 1: GitHub refused or did
    not answer. 2: this is no step of GitHub's workflow."""
    try:
        return _publish()
    except NotOnGitHub as error:
        print(f"this command is a step of .github/workflows/review-comment.yml: {error}", file=sys.stderr)
        return 2
    except (Refused, OSError) as error:
        print(f"::error::the review was not published: {error}", file=sys.stderr)
        return 1


def archive_of_run() -> bytes:
    """What the review has left . Raises ``NoReport``, ``NotOnGitHub``, ``Refused`` or ``OSError``."""
    github, run, _ = _followed()
    if run is None or run["conclusion"] not in ("success", "failure"):
        raise NoReport("the run is no review, or has not ended")
    return artifact(github, run)


def _followed() -> tuple[Repository, dict[str, Any] | None, dict[str, Any]]:
    """GitHub, the run that this job follows, and the event. No run: it is of another workflow."""
    try:
        event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text())
        name, api, token = (os.environ[f"GITHUB_{what}"] for what in ("REPOSITORY", "API_URL", "TOKEN"))
    except KeyError as unset:
        raise NotOnGitHub(f"the variable {unset.args[0]} is not set") from unset
    except (OSError, ValueError) as error:
        raise NotOnGitHub(f"the event can't be read: {error}") from error
    github = Repository(api=api, name=name, token=token)
    # Ask for the present state. If two of these jobs run in the wrong order, neither publishes an older state.
    run = github.get(f"actions/runs/{int(event['workflow_run']['id'])}")
    return github, run if run["path"].partition("@")[0] == WORKFLOW else None, event


def _publish() -> int:
    github, run, event = _followed()
    name = os.environ["GITHUB_REPOSITORY"]
    if run is None:
        print("::warning::another workflow has the name of the review's: nothing is published of its run")
        return 0
    if run["event"] == "push" and run["head_repository"]["full_name"] == name:
        return _publish_branch(github, run, branch=event["repository"]["default_branch"])
    if run["event"] == "pull_request":
        return _publish_pull_request(github, run, base=event["repository"]["default_branch"])
    print("not a review of a pull request or of a branch of this repository: nothing to do")
    return 0


def _publish_pull_request(github: Repository, run: dict[str, Any], *, base: str) -> int:
    pull_request = _pull_request(github, run, base)
    if pull_request is None:
        print(f"{run['head_sha']} is the head of no open pull request any more: nothing to do")
        return 0
    if run["status"] == "completed" and verdict.is_skipped():
        print("the run has ended meanwhile: the job that follows its end publishes it")
        return 0
    names, judged = _changed(github, pull_request), verdict.UNDER_WAY
    if run["status"] == "completed":
        judged = verdict.judge(github, pull_request, run["head_sha"], names)
    verdict.publish(github, judged, commit=run["head_sha"], url=_own_run())
    try:
        report = _report(github, run)
    except NoReport as problem:
        _comment(github, pull_request, f"{judged.text}\n\n{_no_review(run, str(problem))}")
        return 0
    try:
        _comment(github, pull_request, f"{judged.text}\n\n{_review(run, report.text, _altered_judges(names))}")
    except Refused as refused:  # the former verdict must not stand
        print(f"::warning::{refused}")
        why = "GitHub takes no comment with its report"
        _comment(github, pull_request, f"{judged.text}\n\n{_no_review(run, why)}")
    _upload(github, report, commit=run["head_sha"], ref=f"refs/pull/{pull_request}/head")
    return 0


def _publish_branch(github: Repository, run: dict[str, Any], *, branch: str) -> int:
    # A run names a branch or a tag, and does not say which. A tag may have the name of the branch.
    if github.get(f"git/ref/heads/{quote(branch)}")["object"]["sha"] != run["head_sha"]:
        print(f"{run['head_sha']} is not the head of {branch}: nothing to do")
        return 0
    try:
        report = _report(github, run)
    except NoReport as problem:
        print(f"::notice::nothing for code scanning: {problem}")
        return 0
    _upload(github, report, commit=run["head_sha"], ref=f"refs/heads/{branch}")
    return 0


def _pull_request(github: Repository, run: dict[str, Any], base: str) -> int | None:
    """The number of the open pull request into ``base`` whose head is the commit of ``run``.

    A run from a fork names no pull request, and GitHub finds none by a commit that only a fork has. So the search is by
    branch. A superseded commit gets ``None``, because the comment is about the newest commit.
    """
    head = run["head_repository"]  # None once the fork is deleted
    if head is None:
        return None
    heads = f"{head['owner']['login']}:{run['head_branch']}"
    for each in github.pages("pulls", state="open", base=base, head=heads):
        at = each["head"]
        if at["sha"] == run["head_sha"] and at["repo"] and at["repo"]["id"] == head["id"]:
            return int(each["number"])
    return None


def _own_run() -> str:
    """The page of this run, where a person runs it again."""
    server, name, id = (os.environ.get(f"GITHUB_{what}", "") for what in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    return f"{server}/{name}/actions/runs/{id}"


def _changed(github: Repository, pull_request: int) -> list[str]:
    """The names of the files that the pull request changes. ``...`` if GitHub does not list all."""
    files = list(github.pages(f"pulls/{pull_request}/files"))
    names = [name for each in files for name in (each["filename"], each.get("previous_filename")) if name]
    return [*names, *([verdict.NOT_LISTED] if len(files) >= MOST_FILES else [])]


def _altered_judges(names: list[str]) -> list[str]:
    """The folders and files among ``names`` whose code could alter the report."""
    judges = {_part(name) for name in names if not any(name == each or name.startswith(f"{each.rstrip('/')}/")
                                                       for each in INERT)}  # fmt: skip
    return sorted(judges)


def _part(name: str) -> str:
    """The file's folder, one of a folder's parts below ``pipeline``, or the file itself at the top."""
    folders = name.split("/")[:-1][: 2 if name.startswith("pipeline/") else 1]
    return "".join(f"{each}/" for each in folders) or name


def _report(github: Repository, run: dict[str, Any]) -> Report:
    if run["status"] != "completed":
        raise NoReport("it is under way")
    if run["conclusion"] not in ("success", "failure"):
        raise NoReport(f"the run ended as {run['conclusion']}")
    try:
        content = artifact(github, run)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            text = read(archive, "review.md")
            if run["conclusion"] == "failure" and "review.sarif" not in archive.namelist():
                return Report(text=text, sarif=None)
            return Report(text=text, sarif=_only_ours(json.loads(read(archive, "review.sarif"))))
    except UNREADABLE as error:
        print(f"::warning::the report can't be read: {error!r}")
        raise NoReport("the run left something that is no report") from error


def artifact(github: Repository, run: dict[str, Any]) -> bytes:
    """The archive of the run's last attempt. GitHub also lists those of former attempts, oldest first."""
    try:
        listed = github.get(f"actions/runs/{run['id']}/artifacts", name=ARTIFACT)["artifacts"]
        left = [each for each in listed if each["created_at"] >= run["run_started_at"]]
        if not left:
            raise NoReport("the two sides could not be compared")
        newest = max(left, key=lambda each: each["created_at"])
        return github.download(f"actions/artifacts/{int(newest['id'])}/zip", FILE_LIMIT)
    except Refused as refused:
        if refused.status == GONE:
            raise NoReport("its report has expired; run it again") from refused
        print(f"::warning::{refused}")
        raise NoReport("GitHub does not hand out its report") from refused
    except OSError as error:
        print(f"::warning::{error!r}")
        raise NoReport("its report could not be fetched; run this job again") from error


def read(archive: zipfile.ZipFile, name: str) -> str:
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is packed in an unusual way")
    with archive.open(name) as file:
        content = file.read(FILE_LIMIT + 1)  # the size that the archive states may be false
    if len(content) > FILE_LIMIT:
        raise ValueError(f"{name} has more than {FILE_LIMIT} bytes")
    return content.decode()


def _only_ours(log: Any) -> dict[str, Any]:
    """``log`` with its open findings only. Raises ``ValueError`` if it is not one run of our tool.

    Code scanning ignores suppressions, so it would show acknowledged findings as open alerts. With another tool's name
    or category, the log could replace that tool's alerts.
    """
    match log:
        case {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": str(name), "rules": list(rules)}}, **run}]}:
            results = run.get("results")
        case _:
            raise ValueError("not a SARIF log of one run")
    if name != TOOL or not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
        raise ValueError(f"not a log of {TOOL}")
    still_open = [each for each in results if not each.get("suppressions")]
    return {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": TOOL, "rules": rules}}, "results": still_open}]}


def _review(run: dict[str, Any], text: str, altered: list[str]) -> str:
    """The run's verdict, then its report. ``altered``: the judges that the pull request changes."""
    verdict = "✓ **Review passed**" if run["conclusion"] == "success" else "✗ **Review failed**"
    # A name in a stranger's text notifies nobody, also if its @ or its letters are written as numbers.
    body = text.replace(MARKER, "").replace("\0", "").replace("@", "@\N{ZERO WIDTH SPACE}").strip()
    body = re.sub("&(?=#|commat)", "&amp;", body)
    if cut := len(body.encode()) > COMMENT_LIMIT:
        body = _closed(body.encode()[:COMMENT_LIMIT].decode(errors="ignore").rpartition("\n")[0])
    whole = "Too long for a comment, so cut: [the whole report, and the log]" if cut else "[Log and HTML page]"
    judges = ", ".join(f"`{re.sub('[^A-Za-z0-9._/-]', '?', each)}`" for each in altered)
    warning = (
        f"⚠️ **This change alters what wrote this report: {judges}.** Read that before the report.\n\n" if judges else ""
    )
    return f"{verdict} of {_commit(run)}. {whole}({run['html_url']}).\n\n{warning}{body}"


def _closed(text: str) -> str:
    """Close the code block and the folded parts that a cut left open in ``text``."""
    fence, folded = "", 0
    for line in text.splitlines():
        marks = re.match(r" *`{3,}", line)
        if not fence:
            fence = marks.group() if marks else ""
            folded += 0 if marks else line.count("<details>") - line.count("</details>")
        elif marks and line.strip() == fence.strip():
            fence = ""
    ends = [fence] * (0 < len(fence) <= LONGEST_FENCE) + ["", "</details>"] * folded
    return "\n".join([text, *ends[:MOST_ENDS]])


def _no_review(run: dict[str, Any], why: str) -> str:
    return f"◆ **No review** of {_commit(run)} yet: {why}. [Log]({run['html_url']})."


def _commit(run: dict[str, Any]) -> str:
    return f"`{run['head_sha'][:12]}`"


def _comment(github: Repository, pull_request: int, text: str) -> None:
    body = {"body": f"{MARKER}\n{text}\n"}
    for each in github.pages(f"issues/{pull_request}/comments"):
        if each["user"] and each["user"]["login"] == AUTHOR and each["body"].startswith(MARKER):
            github.send("PATCH", f"issues/comments/{each['id']}", body)
            return
    github.send("POST", f"issues/{pull_request}/comments", body)


def _upload(github: Repository, report: Report, *, commit: str, ref: str) -> None:
    if report.sarif is None:
        return
    packed = base64.b64encode(gzip.compress(json.dumps(report.sarif).encode())).decode()
    try:
        github.send("POST", "code-scanning/sarifs", {"commit_sha": commit, "ref": ref, "sarif": packed})
    except Refused as refused:
        if refused.status != 403:
            raise
        print(f"::warning::no alerts: code scanning is not switched on for this repository ({refused})")


if __name__ == "__main__":
    sys.exit(main())
