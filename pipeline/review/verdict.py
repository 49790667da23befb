"""The check of a pull request: what main's rules say of it, and whether a code owner has approved it all the same.

It imports the standard library only, because the job that may write installs no packages.
"""

import json
import os
import re
from dataclasses import dataclass
from typing import Any

from pipeline.review.github import Repository

CONTEXT = "judgement"
"""The check's name. Main's ruleset must require it."""
OUTPUT, RESULT = "JUDGEMENT", "JUDGE_RESULT"
"""Variables: the reasons of the job that judges (judge.py), and how that job ended."""
JUDGES = (
    ".ci/", ".github/", "Makefile", "pyproject.toml", "package.json", "package-lock.json", "requirements/",
    "pipeline/approver.py", "pipeline/assembly.py", "pipeline/barrier.py", "pipeline/change.py", "pipeline/compliance/",
    "pipeline/evidence/", "pipeline/inspection.py", "pipeline/predecessor.py", "pipeline/review/", "reporting/",
)  # fmt: skip
"""What judges the next change, or says what is installed and run then. A change of it needs a code owner."""
NOT_LISTED = "..."
"""In the place of the files that GitHub does not list. Any could be among them."""
MOST_SHOWN, LONGEST = 10, 300
QUERY = """query($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) { pullRequest(number: $number) {
    reviewDecision author { login }
    reviews(last: 100, states: APPROVED) { nodes { commit { oid } author { login } } }
  } }
}"""
"""GitHub's own decision counts the owners of the changed files, if main's ruleset requires their review."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """``state``: of GitHub's commit status."""

    state: str
    says: str
    reasons: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Markdown."""
        sign = {"success": "✓", "pending": "◆"}.get(self.state, "✗")
        shown = [re.sub("[^ -~]|`", "?", each)[:LONGEST] for each in self.reasons[:MOST_SHOWN]]
        more = [f"... and {len(self.reasons) - MOST_SHOWN} more, in the log"] * (len(self.reasons) > MOST_SHOWN)
        listed = "\n".join(["", "", "```text", *shown, *more, "```"]) if shown else ""
        return f"{sign} **Judged by main's rules, without this change's code: {self.says}.**{listed}"


UNDER_WAY = Verdict(state="pending", says="under way")


def is_skipped() -> bool:
    """Whether this job follows the begin of a run, when there is nothing to judge."""
    return os.environ.get(RESULT) == "skipped"


def judge(github: Repository, pull_request: int, commit: str, files: list[str]) -> Verdict:
    """``files``: the names of all that the pull request changes."""
    try:
        said = json.loads(os.environ.get(OUTPUT) or "null")
    except ValueError:
        said = None
    if os.environ.get(RESULT) != "success" or not isinstance(said, list):
        return Verdict(state="error", says="it could not be judged, and the log says why")
    altered = sorted(name for name in {*files} if name.startswith((*JUDGES, NOT_LISTED)))
    reasons = (*map(str, said), *(f"changes what judges: {name}" for name in altered))
    if not reasons:
        return Verdict(state="success", says="nothing new")
    many = f"{len(reasons)} reason{'' if len(reasons) == 1 else 's'} to look"
    if who := approved_by(github, pull_request, commit):
        return Verdict(state="success", says=f"{many}, and approved by {', '.join(who)}", reasons=reasons)
    return Verdict(
        state="failure", says=f"{many}: a code owner approves this commit, then run this job again", reasons=reasons
    )


def approved_by(github: Repository, pull_request: int, commit: str) -> list[str]:
    """Who has approved ``commit``, if with that all code owners of the pull request have."""
    found = github.query(QUERY, number=pull_request)["repository"]["pullRequest"]
    if found["reviewDecision"] != "APPROVED":
        return []
    author = _login(found)
    approvals = {_login(each) for each in found["reviews"]["nodes"] if (each["commit"] or {}).get("oid") == commit}
    return sorted(who for who in approvals if who and who != author)


def publish(github: Repository, verdict: Verdict, *, commit: str, url: str) -> None:
    body = {"state": verdict.state, "context": CONTEXT, "description": verdict.says[:140], "target_url": url}
    github.send("POST", f"statuses/{commit}", body)


def _login(of: dict[str, Any]) -> str:
    """A deleted account has none."""
    return str((of["author"] or {}).get("login", ""))
