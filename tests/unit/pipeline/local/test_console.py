"""The display of a promotion on a terminal."""

import io
import re
import time
from pathlib import Path

import pytest
from rich.console import Console as Terminal

from pipeline.local import console
from pipeline.local.console import LiveConsole
from pipeline.local.run import Run, Stage, Step
from pipeline.local.tree import tree


def test_a_message_is_shown_literally_and_the_live_tree_keeps_its_styles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a promotion on a terminal
    screen = io.StringIO()
    monkeypatch.setattr(console, "Terminal", lambda: Terminal(file=screen, force_terminal=True, width=100))
    gate = Step(name="LoadGate", kind="commands", log="x.log", status="failed", detail="p99 [/validate] 300 ms")
    run = Run(folder=tmp_path, stages=[Stage(name="Dev", environment="dev", steps=[gate])])
    # When a message looks like a style of rich
    with LiveConsole() as live:
        live.show(run)
        drawn = time.monotonic() + 5
        while "LoadGate" not in screen.getvalue() and time.monotonic() < drawn:
            time.sleep(0.02)
        live.say("FAILED at [Dev]: 10 [bold]of[/] 53")
    # Then it is shown literally, and the tree's own styles are not shown as text
    shown = screen.getvalue()
    assert "FAILED at [Dev]: 10 [bold]of[/] 53" in shown
    assert "p99 [/validate] 300 ms" in shown
    assert "[bold]Dev" not in shown
    assert "[bold red]" not in shown


def test_a_question_is_shown_literally_and_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a person at a terminal
    screen = io.StringIO()
    monkeypatch.setattr(console, "Terminal", lambda: Terminal(file=screen, force_terminal=True, width=100))
    monkeypatch.setattr("builtins.input", lambda _="": "Y ")
    monkeypatch.setattr("termios.tcflush", lambda *_: None)
    # When the console asks
    with LiveConsole() as live:
        answer = live.ask("Promote? [y]es, [n]o, [l]ater: ")
    # Then the screen shows the possible answers, and the console returns the person's answer
    assert "Promote? [y]es, [n]o, [l]ater: " in screen.getvalue()
    assert answer == "y"


def under_way(folder: Path) -> Run:
    """A promotion that waits for approval of prod, with a long line about each step."""
    names = ("Cloud", "Deploy", "LoadGate", "Shift", "Evidence")
    stages = [
        Stage(
            name=name,
            environment=name.lower(),
            steps=[
                Step(name=step, kind="commands", log="x.log", status=status, started=1.0, ended=2.0, detail="x" * 200)
                for step in names
            ],
        )
        for name, status in (("Dev", "succeeded"), ("Staging", "succeeded"), ("Prod", "pending"))
    ]
    stages[2].steps.insert(0, Step(name="PromoteToProd", kind="approval", log="y.log", status="waiting"))
    return Run(folder=folder, revision="a" * 40, subject="Name the limit", stages=stages)


@pytest.mark.parametrize(("width", "height"), [(80, 9), (80, 19), (100, 12), (40, 6), (20, 3)])
def test_the_tree_fits_the_window_and_shows_the_step_under_way(tmp_path: Path, width: int, height: int) -> None:
    lines = tree(under_way(tmp_path), width=width, height=height).plain.splitlines()
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)
    assert any("PromoteToProd" in line for line in lines)


def test_finished_stages_become_one_line_when_the_window_is_low(tmp_path: Path) -> None:
    whole = tree(under_way(tmp_path), width=100, height=40).plain
    assert whole.count("LoadGate") == 3
    low = tree(under_way(tmp_path), width=100, height=12).plain
    assert low.count("LoadGate") == 1
    assert re.search(r"^✓ Dev +5\.0 s$", low, re.M)


def test_a_low_window_is_drawn_over_and_not_flooded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a terminal of ten lines
    screen = io.StringIO()
    terminal = Terminal(file=screen, force_terminal=True, width=80, height=10)
    monkeypatch.setattr(console, "Terminal", lambda: terminal)
    # When the tree is drawn again and again
    with LiveConsole() as live:
        live.show(under_way(tmp_path))
        for _ in range(20):
            live._live.refresh()
    # Then each drawing goes back over the one before, so that the tree moves up no line
    drawn = screen.getvalue()
    assert drawn.count("\x1b[1A") >= 20 * 8
    assert max(len(frame.splitlines()) for frame in drawn.split("\r\x1b[2K")) <= 10


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert isinstance(console.console_for_output(), console.LineConsole)


def test_the_log_of_a_build_server_gets_lines_also_where_it_asks_for_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a pipe and the variables by which programs write colours into one
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    # Then no tree is drawn over and over into it
    assert isinstance(console.console_for_output(), console.LineConsole)
