"""The display of a promotion: a live tree on a terminal, one line per event anywhere else."""

import contextlib
import sys
import termios
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console as Terminal
from rich.live import Live
from rich.text import Text

from pipeline.local.run import Run, Stage, Step
from pipeline.local.tree import MARKS, tree
from pipeline.output import moves_cursor, say
from reporting.text import printable


class Console(Protocol):
    """Shows a promotion. Use it as a context manager for as long as the promotion runs."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...
    def show(self, run: Run) -> None:
        """Show the present state of the run."""

    def started(self, stage: Stage, step: Step) -> None: ...
    def progress(self, stage: Stage, step: Step, text: str) -> None:
        """Show one line about the running step."""

    def ended(self, stage: Stage, step: Step) -> None: ...
    def say(self, text: str) -> None:
        """Show a message that stays on the screen."""

    def ask(self, question: str) -> str | None:
        """A person's answer in lower case; ``None`` when there is no terminal to answer at."""


def console_for_output() -> Console:
    """The live tree on a terminal that can draw over it, else one line per event."""
    return LiveConsole() if moves_cursor() else LineConsole()


class LiveConsole:
    def __init__(self) -> None:
        self._terminal = Terminal()
        self._run: Run | None = None
        self._live = self._new_live()

    def _new_live(self) -> Live:
        return Live(console=self._terminal, refresh_per_second=4, get_renderable=self._draw)

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
        # A Text object, because `markup=False` would also show the live tree's styles as text.
        with contextlib.suppress(OSError):  # the terminal was closed: the promotion continues without it
            self._terminal.print(Text(printable(text)))

    def ask(self, question: str) -> str | None:
        self._live.stop()
        with contextlib.suppress(termios.error):
            termios.tcflush(sys.stdin, termios.TCIFLUSH)  # drop input typed before the question
        try:
            return self._terminal.input(Text(printable(question))).strip().lower()
        except EOFError:
            return None
        finally:
            self._live = self._new_live()
            self._live.start()

    def _draw(self) -> Text:
        # The last line stays free: with it, the tree would push its own first line off the screen at each refresh.
        return tree(self._run, width=self._terminal.width, height=self._terminal.height - 1) if self._run else Text()


class LineConsole:
    """One line per event, and one every ``PROGRESS_SECONDS`` about the progress of a long step."""

    PROGRESS_SECONDS = 5.0

    def __init__(self) -> None:
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def show(self, run: Run) -> None:
        pass

    def started(self, stage: Stage, step: Step) -> None:
        self.say(f"{self._where(stage, step)} …")

    def progress(self, stage: Stage, step: Step, text: str) -> None:
        if time.monotonic() - self._last_line >= self.PROGRESS_SECONDS:
            self.say(f"{self._where(stage, step)}   {text}")

    def ended(self, stage: Stage, step: Step) -> None:
        mark, _ = MARKS[step.status]
        detail = f"  {step.detail}" if step.detail else ""
        self.say(f"{self._where(stage, step)} {mark} {step.status} in {step.seconds:.1f} s{detail}")

    def say(self, text: str) -> None:
        self._last_line = time.monotonic()
        say(text)  # the reader may be gone, for example a closed `git push`: the promotion continues to a safe end

    def ask(self, question: str) -> str | None:
        return None

    @staticmethod
    def _where(stage: Stage, step: Step) -> str:
        return f"{time.strftime('%H:%M:%S')}  {stage.name:<8} {step.name:<16}"
