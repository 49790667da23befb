"""Compare this folder with a commit: compliance findings and their acknowledgements, templates and standing costs.

Both sides are synthesised without AWS credentials. Writes review.md, review.sarif, review.json and review.html.
"""

import argparse
import re
import sys
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import IntEnum
from pathlib import Path

from pipeline.output import say
from pipeline.review import NotCompared, reports
from pipeline.review.comparison import Comparison, compare
from pipeline.review.findings import changed_lines
from pipeline.review.synthesis import ROOT, check_out, synthesise

SHA = re.compile(r"^([0-9a-f]{12})[0-9a-f]{28}$")


class ExitCode(IntEnum):
    PASSED = 0
    NEW_FINDINGS = 1
    NOT_COMPARED = 2


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        reports.remove(options.output)
        comparison = _compare(options.base, options.output)
        say(reports.write(comparison, options.output))
    except NotCompared as error:
        return _not_compared(options, str(error))
    except OSError as error:
        return _not_compared(options, f"{type(error).__name__}: {error}")
    except Exception as error:  # Python would exit with 1, which means new findings
        traceback.print_exc()
        return _not_compared(options, f"{type(error).__name__}: {error}")
    return ExitCode.PASSED if comparison.passes else ExitCode.NEW_FINDINGS


def _not_compared(options: argparse.Namespace, why: str) -> int:
    say(f"review: {why}", sys.stderr)
    with suppress(OSError, NotCompared):  # perhaps the folder was the cause
        reports.remove(options.output)
        reports.write_not_compared(why, base=options.base, folder=options.output)
    return ExitCode.NOT_COMPARED


def _compare(commit: str, output: Path) -> Comparison:
    with tempfile.TemporaryDirectory(prefix="review-") as folder, ThreadPoolExecutor() as threads:
        tree = Path(folder) / "base"
        check_out(commit, tree)
        base = threads.submit(synthesise, f"base ({commit})", tree, Path(folder) / "base.out")
        changed = changed_lines(commit, folder=ROOT)
        head = threads.submit(synthesise, "head (this folder)", ROOT, Path(folder) / "head.out", changed)
        sides = base.result(), head.result()
        reports.keep_assembly(Path(folder) / "head.out", output)
        try:
            return compare(*sides, name=SHA.sub(r"\1", commit))
        except (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise NotCompared(f"a template has an unknown form: {type(error).__name__}: {error}") from error


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
