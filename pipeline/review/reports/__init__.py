"""A comparison as Markdown, SARIF, JSON and HTML."""

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path

from pipeline.review import NotCompared
from pipeline.review.comparison import Comparison
from pipeline.review.reports import html, markdown, sarif

MARKDOWN, SARIF, JSON, HTML = NAMES = ("review.md", "review.sarif", "review.json", "review.html")

ASSEMBLY = "assembly"
"""The folder of the templates of this change, which GitHub judges by the base's rules (pipeline/review/judge.py)."""
DATA = re.compile(r"(assembly-[\w-]+/)?(manifest\.json|[\w-]+(\.nested)?\.template\.json)")
"""The files of an assembly that are judged."""


def remove(folder: Path) -> None:
    """Remove the reports of an earlier comparison, so that they are not taken for reports of this one.

    Raises ``NotCompared`` when the folder is a symbolic link: a change may have brought it, and it leads anywhere.
    """
    places = (folder / ASSEMBLY, folder, *folder.parents)
    if link := next((each for each in places if not each.is_absolute() and each.is_symlink()), None):
        raise NotCompared(f"{link} is a symbolic link, and no folder for reports: remove it")
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)
    for name in _judged(folder / ASSEMBLY):
        (folder / ASSEMBLY / name).unlink()


def keep_assembly(assembly: Path, folder: Path) -> None:
    """Copy the manifests and templates of ``assembly`` beside the reports in ``folder``."""
    for name in _judged(assembly):
        target = folder / ASSEMBLY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(assembly / name, target)


def _judged(assembly: Path) -> list[str]:
    names = sorted(str(file.relative_to(assembly)) for file in assembly.rglob("*.json"))
    return [name for name in names if DATA.fullmatch(name)]


def write(comparison: Comparison, folder: Path) -> str:
    """Write all four reports into ``folder``, and return the Markdown."""
    text = markdown.render(comparison)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKDOWN).write_text(text, encoding="utf-8", errors="backslashreplace")
    (folder / SARIF).write_text(_json(sarif.render(comparison.findings)), encoding="utf-8", errors="backslashreplace")
    (folder / JSON).write_text(_json(asdict(comparison)), encoding="utf-8", errors="backslashreplace")
    (folder / HTML).write_text(html.page(comparison), encoding="utf-8", errors="backslashreplace")
    return text


def write_not_compared(reason: str, *, base: str, folder: Path) -> None:
    """Write only the Markdown, with ``reason``. Programs find no report, so they can't take it for a result."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKDOWN).write_text(
        markdown.not_compared(reason, base=base), encoding="utf-8", errors="backslashreplace"
    )


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
