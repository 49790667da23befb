"""Compare the compliance findings of this folder with those of a commit, and write what a reviewer needs.

Both sides are synthesised without AWS credentials. Writes review.md, review.sarif and review.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from pipeline.review import markdown, sarif
from pipeline.review.comparison import Comparison, compare
from pipeline.review.findings import NoFindings, synthesise

ROOT = Path(__file__).resolve().parents[2]
PASSED, NEW_FINDINGS, NOT_COMPARED = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="review-") as folder:
            tree = Path(folder) / "base"
            _check_out(options.base, tree)
            base = synthesise(tree, Path(folder) / "base.out")
            head = synthesise(ROOT, Path(folder) / "head.out")
    except NoFindings as error:
        print(f"review: {error}", file=sys.stderr)
        return NOT_COMPARED
    comparison = compare(base, head)
    text = markdown.render(comparison, base=options.base, head="here")
    write(comparison, text, options.output)
    print(text)
    return PASSED if comparison.passes else NEW_FINDINGS


def write(comparison: Comparison, text: str, folder: Path) -> None:
    """Write the three reports into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "review.md").write_text(text)
    (folder / "review.sarif").write_text(json.dumps(sarif.render(comparison), indent=2) + "\n")
    (folder / "review.json").write_text(json.dumps(asdict(comparison), indent=2) + "\n")


def _check_out(commit: str, tree: Path) -> None:
    """The files of ``commit``, in a folder of their own. Raises ``NoFindings`` when there is no such commit."""
    tree.mkdir()
    git = ["git", "-C", str(ROOT), "archive", "--format=tar", commit]
    archive = subprocess.run(git, capture_output=True)
    if archive.returncode:
        raise NoFindings(f"base {commit!r} can't be read: {archive.stderr.decode().strip()}")
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.review",
        description=__doc__,
        epilog="Exit codes: 0 nothing new, 1 new findings, 2 the sides could not be compared.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--base", metavar="COMMIT", default="origin/main", help="compare with this (default: %(default)s)"
    )
    parser.add_argument(
        "--output", metavar="DIR", type=Path, default=Path("reports/review"), help="default: %(default)s"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
