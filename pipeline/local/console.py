"""What a person sees of a promotion: a live tree on a terminal, plain lines anywhere else."""

import contextlib
import io
import os
import sys
import termios
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console as Terminal
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipeline.local.run import Run, Stage, Status, Step

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


class Console(Protocol):
    """How the promotion speaks. Use as a context manager for as long as it runs."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...
    def show(self, run: Run) -> None:
        """The run as it now stands."""

    def started(self, stage: Stage, step: Step) -> None: ...
    def progress(self, stage: Stage, step: Step, text: str) -> None:
        """One line about a step at work."""

    def ended(self, stage: Stage, step: Step) -> None: ...
    def say(self, text: str) -> None:
        """A message that stays."""

    def ask(self, question: str) -> str | None:
        """A person's answer in lower case; ``None`` where nobody can answer."""


def choose() -> Console:
    """The live tree when standard output is a terminal, else plain lines."""
    return LiveConsole() if sys.stdout.isatty() else PlainConsole()


class LiveConsole:
    def __init__(self) -> None:
        self._terminal = Terminal()
        self._run: Run | None = None
        self._live = self._new_live()

    def _new_live(self) -> Live:
        return Live(
            console=self._terminal, refresh_per_second=4, get_renderable=self._draw, vertical_overflow="visible"
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def show(self, run: Run) -> None:
        self._run = run

    def started(self, stage: Stage, step: Step) -> None:
        pass

    def progress(self, stage: Stage, step: Step, text: str) -> None:
        step.detail = text

    def ended(self, stage: Stage, step: Step) -> None:
        pass

    def say(self, text: str) -> None:
        # As Text, for `markup=False` would take the live tree's styles as text too.
        with contextlib.suppress(OSError):  # the terminal was closed: what has to be done then is done all the same
            self._terminal.print(Text(text))

    def ask(self, question: str) -> str | None:
        self._live.stop()
        with contextlib.suppress(termios.error):
            termios.tcflush(sys.stdin, termios.TCIFLUSH)  # what was typed before the question is no answer to it
        try:
            return self._terminal.input(Text(question)).strip().lower()
        except EOFError:
            return None
        finally:
            self._live = self._new_live()
            self._live.start()

    def _draw(self) -> RenderableType:
        return tree(self._run) if self._run else Text("")


def tree(run: Run) -> RenderableType:
    """The run as a table: stages, steps, durations and what each step says."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True, min_width=18)
    table.add_column(justify="right", no_wrap=True, min_width=8)
    table.add_column()
    for stage in run.stages:
        table.add_row(f"[bold]{escape(stage.name)}[/]", "", "")
        for step in stage.steps:
            mark, style = MARKS[step.status]
            clock = f"{step.seconds:.1f} s" if step.started else ""
            # Not the column but its text must not wrap: rich squeezes all columns when none of them may.
            detail = Text(step.detail, style="dim", no_wrap=True, overflow="ellipsis")
            table.add_row(f"  [{style}]{mark}[/] {escape(step.name)}", clock, detail)
    title = Text.assemble(("payment-pipeline ", "bold"), (run.revision[:12], "cyan"), "  ", run.subject)
    title.truncate(100, overflow="ellipsis")
    return Group(title, table)


class PlainConsole:
    """One line per event, and every few seconds one on the progress of long work."""

    EVERY_SECONDS = 5.0

    def __init__(self) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        self._spoke = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def show(self, run: Run) -> None:
        pass

    def started(self, stage: Stage, step: Step) -> None:
        self.say(f"{self._where(stage, step)} …")

    def progress(self, stage: Stage, step: Step, text: str) -> None:
        if time.monotonic() - self._spoke >= self.EVERY_SECONDS:
            self.say(f"{self._where(stage, step)}   {text}")

    def ended(self, stage: Stage, step: Step) -> None:
        mark, _ = MARKS[step.status]
        detail = f"  {step.detail}" if step.detail else ""
        self.say(f"{self._where(stage, step)} {mark} {step.status} in {step.seconds:.1f} s{detail}")

    def say(self, text: str) -> None:
        self._spoke = time.monotonic()
        try:
            print(text, flush=True)
        except OSError:
            # Whoever watched has gone (a closed `git push`); the promotion itself must go on to a safe end.
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115

    def ask(self, question: str) -> str | None:
        return None

    @staticmethod
    def _where(stage: Stage, step: Step) -> str:
        return f"{time.strftime('%H:%M:%S')}  {stage.name:<8} {step.name:<16}"
