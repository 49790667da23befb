"""``python -m console.promotions.comparison BASE HEAD NAME FILE``: writes the review of two promotions.

BASE and HEAD are folders with what a promotion has checked out and synthesised, such as its run folder; NAME is what
the review calls the base. A process of its own, because the comparison imports cfn-lint, which would cost the console
55 MB for good.
"""

import sys
from pathlib import Path

from console.promotions.reviews import ASSEMBLY, SOURCE
from pipeline.output import say
from pipeline.review import NotCompared
from pipeline.review.comparison import compare
from pipeline.review.reports import html
from pipeline.review.synthesis import Synthesis, read

DONE, FAILED = 0, 1


def main(base: str, head: str, name: str, file: str) -> int:
    try:
        comparison = compare(_read(name, Path(base)), _read("the other", Path(head)), name=name)
        Path(file).write_text(html.page(comparison), encoding="utf-8", errors="backslashreplace")
    except (NotCompared, OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        say(f"not compared, because {error}")
        return FAILED
    return DONE


def _read(name: str, folder: Path) -> Synthesis:
    return read(name, folder / SOURCE, folder / ASSEMBLY)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]))
