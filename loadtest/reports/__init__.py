"""The gate's reports: JSON for programs, JUnit for CodeBuild, Markdown for a review, HTML and a terminal for people."""

import json
from pathlib import Path

from loadtest.reports import html, junit, markdown
from loadtest.result import GateError, Result
from reporting.markdown import prose

UNFINISHED = "the gate has not finished: it is running, or it was killed"


def write(result: Result, locust_page: str, folder: Path) -> None:
    """Write every report of ``result`` into ``folder``, the JSON last. ``locust_page``: locust's own report (HTML)."""
    (folder / "locust.html").write_text(locust_page)
    (folder / "gate.junit.xml").write_text(junit.render(result))
    (folder / "gate.md").write_text(markdown.render(result))
    (folder / "gate.html").write_text(html.page(result))
    (folder / "gate.json").write_text(json.dumps(result.to_json(), indent=2) + "\n")


def write_trouble(environment: str, trouble: GateError | None, folder: Path) -> None:
    """Write reports that say that there is no verdict, and why. Without ``trouble``: the gate has not finished.

    The gate calls it before a run begins, so that reports of an older run are not taken for this run's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    message = str(trouble) if trouble else UNFINISHED
    state = {
        "environment": environment,
        "verdict": "error" if trouble else "unfinished",
        "exit_code": trouble.code if trouble else None,
        "reasons": [message],
    }
    (folder / "gate.json").write_text(json.dumps(state, indent=2) + "\n")
    (folder / "gate.junit.xml").write_text(junit.render_trouble(environment, message))
    (folder / "gate.md").write_text(f"# Load gate of {environment}: no verdict\n\n{prose(message)}\n")
    for name in ("gate.html", "locust.html"):
        (folder / name).unlink(missing_ok=True)
