"""Tell a pull request and code scanning what its review found: one comment, always the same one, and alerts.

    python -m pipeline.review.publish

GitHub starts it for every run of a workflow named Review (event ``workflow_run``), with the right to write and in the
code of the default branch. The review itself ran the pull request's own code, perhaps a stranger's. So which pull
request it was, and for which commit, is asked of GitHub; what the run left is data: two files of bounded size and known
form, out of an archive that is never unpacked to disk.

The verdict is the run's, and no better than the code that it ran: who changes the review, or the workflow, changes the
verdict. So a run of another workflow is refused, and the comment names what the pull request alters of its own judges;
those have code owners.

Of a run that left no readable report, or has not ended, the comment says just that, where a former verdict stood.

Only the standard library is imported, so nothing has to be installed beside the token.
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

from pipeline.review.github import Refused, Repository
from pipeline.review.names import MARKER, TOOL

WORKFLOW = ".github/workflows/review.yml"
"""Anybody's pull request may hold another workflow of the same name."""
ARTIFACT = "review"
JUDGES = (".github/", ".ci/", "Makefile", "pipeline/review/", "pipeline/compliance/", "requirements/")
"""Files and folders that decide what a review finds and how it ends."""
MOST_FILES = 3000
"""Of a pull request, GitHub lists no more."""
FILE_LIMIT = 10 * 1024 * 1024
"""Bytes of a report, and of the archive with all of them."""
COMMENT_LIMIT = 64_000
"""Characters of a report; GitHub refuses a comment of more than 65,536."""
MOST_ENDS = 20
"""Lines that close what a cut left open: a report of ours needs three."""
AUTHOR = "github-actions[bot]"
"""Who this job is on GitHub: a comment of anybody else that holds the marker is not ours to change."""
GONE = 410
UNREADABLE = (ValueError, KeyError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error)
"""What reading an archive, UTF-8 or JSON can raise that somebody made up."""


class NoReport(Exception):
    """The run did not leave what a review leaves; the message ends the sentence 'No review: …'."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a review left: a stranger's words."""

    text: str
    """Markdown."""
    sarif: dict[str, Any] | None
    """``None``: the two sides could not be compared, and the text says why."""


def main() -> int:
    """Exit code 0 also when the review failed: this command told so."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text())
    name = os.environ["GITHUB_REPOSITORY"]
    github = Repository(api=os.environ["GITHUB_API_URL"], name=name, token=os.environ["GITHUB_TOKEN"])
    # As it is now: when two of these jobs change places, the later one does not tell an older state.
    run = github.get(f"actions/runs/{int(event['workflow_run']['id'])}")
    if run["path"].partition("@")[0] != WORKFLOW:
        print("::warning::a workflow that is not ours has the name of ours: nothing is told of its run")
        return 0
    if run["event"] == "push" and run["head_repository"]["full_name"] == name:
        return _publish_branch(github, run)
    if run["event"] == "pull_request":
        return _publish_pull_request(github, run, base=event["repository"]["default_branch"])
    print("not a review of a pull request or of a branch of this repository: nothing to do")
    return 0


def _publish_pull_request(github: Repository, run: dict[str, Any], *, base: str) -> int:
    pull_request = _pull_request(github, run, base)
    if pull_request is None:
        print(f"{run['head_sha']} is the head of no open pull request any more: nothing to do")
        return 0
    try:
        report = _report(github, run)
    except NoReport as problem:
        _comment(github, pull_request, _no_review(run, str(problem)))
        return 0
    _comment(github, pull_request, _review(run, report.text, _altered_judges(github, pull_request)))
    _upload(github, report, commit=run["head_sha"], ref=f"refs/pull/{pull_request}/head")
    return 0


def _publish_branch(github: Repository, run: dict[str, Any]) -> int:
    try:
        report = _report(github, run)
    except NoReport as problem:
        print(f"::notice::nothing for code scanning: {problem}")
        return 0
    _upload(github, report, commit=run["head_sha"], ref=f"refs/heads/{run['head_branch']}")
    return 0


def _pull_request(github: Repository, run: dict[str, Any], base: str) -> int | None:
    """The number of the open pull request into ``base`` whose head is the commit of ``run``.

    The run itself names none if it comes from a fork, and GitHub knows no pull requests of a commit that is in a fork
    only; so they are asked for by branch. A superseded commit has none: the comment is about the newest.
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


def _altered_judges(github: Repository, pull_request: int) -> list[str]:
    """Those of ``JUDGES`` that the pull request touches; all, if it is too large for GitHub to say."""
    files = list(github.pages(f"pulls/{pull_request}/files"))
    if len(files) >= MOST_FILES:
        return list(JUDGES)
    names = {name for each in files for name in (each["filename"], each.get("previous_filename")) if name}
    return [
        each for each in JUDGES if any(name == each or (each.endswith("/") and name.startswith(each)) for name in names)
    ]


def _report(github: Repository, run: dict[str, Any]) -> Report:
    if run["status"] != "completed":
        raise NoReport("it is under way")
    if run["conclusion"] not in ("success", "failure"):
        raise NoReport(f"the run ended as {run['conclusion']}")
    try:
        content = _artifact(github, run)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            text = _read(archive, "review.md")
            if run["conclusion"] == "failure" and "review.sarif" not in archive.namelist():
                return Report(text=text, sarif=None)
            return Report(text=text, sarif=_only_ours(json.loads(_read(archive, "review.sarif"))))
    except UNREADABLE as error:
        print(f"::warning::the report can't be read: {error!r}")
        raise NoReport("the run left something that is no report") from error


def _artifact(github: Repository, run: dict[str, Any]) -> bytes:
    """The archive that the run's last attempt left; those of former attempts are listed beside it, oldest first."""
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


def _read(archive: zipfile.ZipFile, name: str) -> str:
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is packed in an unusual way")
    with archive.open(name) as file:
        content = file.read(FILE_LIMIT + 1)  # what it says of its size is not asked
    if len(content) > FILE_LIMIT:
        raise ValueError(f"{name} has more than {FILE_LIMIT} bytes")
    return content.decode()


def _only_ours(log: Any) -> dict[str, Any]:
    """``log`` with its open findings. Raises ``ValueError`` if it is not one run of our tool.

    Code scanning would show acknowledged findings as open alerts: it reads no suppressions. And another tool's name, or
    a category, could replace that tool's alerts.
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
    """The verdict is the run's; what follows it is the report's. ``altered``: what judged, and is not main's."""
    verdict = "✓ **Review passed**" if run["conclusion"] == "success" else "✗ **Review failed**"
    # Nobody is notified because a stranger wrote a name.
    body = re.sub(r"@(?=\w)", "@\N{ZERO WIDTH SPACE}", text.replace(MARKER, "").replace("\0", "")).strip()
    if cut := len(body) > COMMENT_LIMIT:
        body = _closed(body[:COMMENT_LIMIT].rpartition("\n")[0])
    whole = "Too long for a comment, so cut: [the whole report, and the log]" if cut else "[Log and HTML page]"
    judges = ", ".join(f"`{each}`" for each in altered)
    warning = f"⚠️ **This change alters what judges it: {judges}.** Read that before the verdict.\n\n" if judges else ""
    return f"{verdict} of {_commit(run)}. {whole}({run['html_url']}).\n\n{warning}{body}"


def _closed(text: str) -> str:
    """``text``, which was cut, with its open code block and folded parts closed."""
    fence, folded = "", 0
    for line in text.splitlines():
        marks = re.match(r" *`{3,}", line)
        if not fence:
            fence = marks.group() if marks else ""
            folded += 0 if marks else line.count("<details>") - line.count("</details>")
        elif marks and line.strip() == fence.strip():
            fence = ""
    ends = [fence] * bool(fence) + ["", "</details>"] * folded
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
