"""A promotion as a tree of stages and steps that fits the window."""

from rich.text import Text

from pipeline.local.run import Run, Stage, Status, Step
from reporting.text import printable

MARKS: dict[Status, tuple[str, str]] = {
    "pending": ("○", "dim"),
    "running": ("●", "cyan"),
    "waiting": ("◆", "yellow"),
    "succeeded": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "interrupted": ("■", "yellow"),
    "rejected": ("✗", "yellow"),
    "superseded": ("■", "dim"),
}
UNDER_WAY: tuple[Status, ...] = ("running", "waiting", "failed", "interrupted", "rejected")

NAME_WIDTH, DURATION_WIDTH = 18, 9


def tree(run: Run, *, width: int, height: int | None = None) -> Text:
    """The run, one line for each stage and step: name, duration and last message, cut at ``width`` columns.

    It has at most ``height`` lines. When the run has more, each finished stage and each stage to come becomes one line.
    When that is too much too, the lines around the step under way are shown.
    """
    title = Text.assemble(("payment-pipeline ", "bold"), (run.revision[:12], "cyan"), "  ", printable(run.subject))
    lines = [line for stage in run.stages for line in _stage(stage)]
    if height is not None and len(lines) + 1 > height:
        shown = [(stage, _stage(stage) if _is_under_way(stage) else [_summary(stage)]) for stage in run.stages]
        lines = [line for _, block in shown for line in block]
        lines = _around(lines, height - 1)
    for line in (title, *lines):
        line.truncate(width, overflow="ellipsis")
        line.no_wrap = True
    return Text("\n", no_wrap=True).join([title, *lines])


def _stage(stage: Stage) -> list[Text]:
    return [Text(stage.name, style="bold"), *(_step(step) for step in stage.steps)]


def _step(step: Step) -> Text:
    mark, style = MARKS[step.status]
    duration = f"{step.seconds:.1f} s" if step.started else ""
    return Text.assemble(
        "  ",
        (mark, style),
        f" {step.name}".ljust(NAME_WIDTH - 3),
        duration.rjust(DURATION_WIDTH),
        " ",
        (" ".join(printable(step.detail).split()), "dim"),
    )


def _summary(stage: Stage) -> Text:
    """A stage that is over, or has not begun, in one line."""
    done = all(step.status == "succeeded" for step in stage.steps)
    mark, style = MARKS["succeeded" if done else "pending"]
    seconds = sum(step.seconds for step in stage.steps)
    duration = f"{seconds:.1f} s" if done else ""
    return Text.assemble(
        (mark, style), (f" {stage.name}".ljust(NAME_WIDTH - 1), "bold"), duration.rjust(DURATION_WIDTH)
    )


def _is_under_way(stage: Stage) -> bool:
    return any(step.status in UNDER_WAY for step in stage.steps)


def _around(lines: list[Text], height: int) -> list[Text]:
    """``height`` lines, with the step under way in the middle."""
    marks = tuple(MARKS[status][0] for status in UNDER_WAY)
    middle = next((n for n, line in enumerate(lines) if line.plain.strip().startswith(marks)), 0)
    first = max(0, min(middle - height // 2, len(lines) - height))
    return lines[first : first + max(height, 1)]
