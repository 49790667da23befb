"""``python -m console.promotions.comparison BASE HEAD FILE``: writes the review of two promotions of this machine.

A process of its own, because the comparison imports cfn-lint, which would cost the console 55 MB for good.
"""

import sys
from pathlib import Path

from pipeline.local.run import Run
from pipeline.local.state import State
from pipeline.output import say
from pipeline.review import NotCompared
from pipeline.review.comparison import compare
from pipeline.review.reports import html
from pipeline.review.synthesis import Synthesis, read

DONE, FAILED = 0, 1


def main(base: str, head: str, file: str) -> int:
    runs = State(Path.cwd()).runs
    try:
        comparison = compare(_read(runs / base), _read(runs / head), name=Run.load(runs / base).revision[:12])
        Path(file).write_text(html.page(comparison), encoding="utf-8", errors="backslashreplace")
    except (NotCompared, OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        say(f"not compared, because {error}")
        return FAILED
    return DONE


def _read(folder: Path) -> Synthesis:
    run = Run.load(folder)
    return read(run.id, run.source, run.assembly)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
