"""A comparison as Markdown, SARIF, JSON and HTML."""

import json
from dataclasses import asdict
from pathlib import Path

from pipeline.review.comparison import Comparison
from pipeline.review.reports import html, markdown, sarif

MARKDOWN, SARIF, JSON, HTML = NAMES = ("review.md", "review.sarif", "review.json", "review.html")


def remove(folder: Path) -> None:
    """Remove the reports of an earlier comparison, so that they are not taken for reports of this one."""
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)


def write(comparison: Comparison, folder: Path) -> str:
    """Write all four reports into ``folder``, and return the Markdown."""
    text = markdown.render(comparison)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKDOWN).write_text(text, encoding="utf-8")
    (folder / SARIF).write_text(_json(sarif.render(comparison.findings)), encoding="utf-8")
    (folder / JSON).write_text(_json(asdict(comparison)), encoding="utf-8")
    (folder / HTML).write_text(html.page(comparison), encoding="utf-8")
    return text


def write_not_compared(reason: str, *, base: str, folder: Path) -> None:
    """Write only the Markdown, with ``reason``. Programs find no report, so they can't take it for a result."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKDOWN).write_text(markdown.not_compared(reason, base=base), encoding="utf-8")


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
