"""Which lines a change touches, and which line of a stack trace is the change.

A construct's trace often begins in a helper that makes many of them. What a person wants to open is the line that was
changed. Without a history, as in CodeBuild, it is the innermost line of this repository.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.git import GitError, git

Changed = Mapping[str, frozenset[int]]
"""The numbers of the new or changed lines, by file. Of lines that were removed, the one before."""
Place = tuple[str, int]
"""A file, relative to the repository, and a line in it."""
UNKNOWN: Changed = {}

_FILE = re.compile(r"^\+\+\+ b/(.+?)\t?$")
"""git ends a name that has a space with a tab."""
_HUNK = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@")


def changed_lines(base: str, head: str | None = None, *, folder: Path, repository: Path | None = None) -> Changed:
    """The lines that change from ``base`` to ``head`` (default: the files in ``folder``). Empty if git can't tell."""
    revisions = [base, head] if head else [base]
    options = ["--unified=0", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--text"]
    options += ["--src-prefix=a/", "--dst-prefix=b/", "--inter-hunk-context=0", "--no-relative"]
    try:
        text = git("diff", *options, *revisions, "--", "*.py", folder=folder, repository=repository)
    except GitError:
        return UNKNOWN
    lines: dict[str, set[int]] = {}
    file, in_header = "", False
    # A line of a changed file may look like one of git's, except for its first character.
    for line in text.split("\n"):
        if line.startswith("diff --git "):
            file, in_header = "", True
        elif in_header and (match := _FILE.match(line)):
            file = match[1]
        elif match := _HUNK.match(line):
            in_header = False
            if not file:  # deleted, or of a name that git quotes
                continue
            first, count = int(match[1]), int(match[2] or 1)
            lines.setdefault(file, set()).update(range(first, first + max(count, 1)))
    return {name: frozenset(numbers) for name, numbers in lines.items()}


def place(frames: Sequence[Place], changed: Changed) -> Place | None:
    """The line of the change among ``frames``, innermost first; ``None`` without frames.

    A call may go over several lines, and a trace names its first. So if no frame of a file is on a changed line, the
    nearest changed line of the file counts. Files that are further inside come first: every trace ends in the app.
    """
    for file, innermost in frames:
        if numbers := changed.get(file):
            on_changed = [line for name, line in frames if name == file and line in numbers]
            nearest = min(numbers, key=lambda number: (abs(number - innermost), number))
            return file, on_changed[0] if on_changed else nearest
    return frames[0] if frames else None
