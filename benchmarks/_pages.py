"""The commands and the tables of the runbooks."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

RUNBOOKS = Path(__file__).parents[1] / "docs/runbooks"


def commands(page: Path) -> Iterator[list[str]]:
    """The commands of a page, in words: lines with a prompt, then spans of text that name an environment. A command
    inside ``$(...)`` comes before the line that uses its result, which stands as ``RESULT``."""
    text = page.read_text()
    lines = [
        line
        for block in re.findall(r"^ *```console\n(.*?)^ *```$", text, re.M | re.S)
        for line in re.split(r"^ *\$ ", block, flags=re.M)
    ]
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)
    lines += [span for span in re.findall(r"`([^`\n]+)`", prose) if span.startswith("python -m") and "--env" in span]
    for line in lines:
        plain = re.sub(r"\$\(\(.*?\)\)\d*|\$\(date[^)]*\)", "1", line)
        if inner := re.search(r"\$\(([^()]*)\)", plain):
            yield shlex.split(inner[1])
            plain = plain.replace(inner[0], "RESULT")
        if words := shlex.split(plain, comments=True):
            yield words


def page_of_cause(cause: str) -> str:
    """The runbook for a release that went back for ``cause``, by the table of causes."""
    table = (RUNBOOKS / "README.md").read_text().partition("## Rolled back")[2]
    for causes, page in re.findall(r"^\| (`.*?) \| .*?\]\(([\w-]+)\.md", table, re.M):
        for known in re.findall(r"`([^`]+)`", causes):
            if re.search(".*".join(map(re.escape, known.split("…"))), cause):
                return str(page)
    raise LookupError(f"no runbook for the cause {cause!r}")
