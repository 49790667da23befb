"""Draws the README's pictures from the last promotion on this machine, as it stands: ``make pictures``.

docs/pictures/promotion.svg is the tree that a terminal shows, docs/pictures/gate.svg the p99 of each route in the
report of the last gate. Both are drawn from what the run has recorded, and load nothing.
"""

import io
import re
from pathlib import Path

from rich.console import Console

from loadtest.p99 import RouteJudgement
from loadtest.reports.html import bounds
from localcloud.files import read_object
from pipeline.local.errors import BadInput
from pipeline.local.run import Run, all_runs
from pipeline.local.state import State
from pipeline.local.tree import tree
from pipeline.output import say
from reporting import render
from reporting.charts import STRIP_HEIGHT, WIDTH

FOLDER = Path("docs/pictures")
GATE = Path(__file__).with_name("gate_picture.svg")
COLUMNS = 110


def draw(state: State) -> None:
    """Draw both. Raises ``BadInput`` when there is nothing to draw."""
    runs, folder = all_runs(state.runs), state.root / FOLDER
    gates = sorted(runs[-1].folder.glob("reports/*/gate.json"), key=lambda file: file.stat().st_mtime) if runs else []
    if not gates:
        raise BadInput("There is no promotion with a gate to draw: `make promote`.")
    folder.mkdir(exist_ok=True)
    for name, picture in (("promotion", promotion(runs[-1])), ("gate", gate(gates[-1]))):
        (folder / f"{name}.svg").write_text(picture)
        say(f"{FOLDER / name}.svg")


def promotion(run: Run) -> str:
    """The tree of ``run`` as SVG, without the fonts that rich would load, and without paths of this machine."""
    for stage in run.stages:
        for step in stage.steps:
            step.detail = step.detail.replace(f"{run.folder.parents[2]}/", "")
            if step.status == "waiting":
                step.started = None  # it would show how long nobody has drawn it
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(tree(run, width=COLUMNS))
    drawn = console.export_svg(title="make promote", unique_id="promotion")
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)


def gate(report: Path) -> str:
    """The p99 of each route beside its limit, from a ``gate.json``, as SVG."""
    result = read_object(report)
    judged = [RouteJudgement(**route) for route in result["routes"]]
    return render(
        GATE,
        environment=result["environment"],
        verdict=result["verdict"],
        strips=[(route, bounds(route)) for route in judged],
        width=WIDTH,
        height=STRIP_HEIGHT,
    )
