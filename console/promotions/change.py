"""``python -m console.promotions.change PROMOTION``: what the approval of a promotion of this machine lets in."""

import sys
from pathlib import Path

from pipeline.local.change import change_of
from pipeline.local.run import Run
from pipeline.local.state import State
from pipeline.output import say


def main(promotion: str) -> int:
    root = Path.cwd()
    run = Run.load(State(root).runs / promotion)
    stage = next((stage for stage, step in run.open_steps()), None)
    for line in change_of(run, stage, root) if stage else ():
        say(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
