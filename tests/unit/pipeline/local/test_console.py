"""The display of a promotion on a terminal."""

import io
import time
from pathlib import Path

import pytest
from rich.console import Console as Terminal

from pipeline.local import console
from pipeline.local.console import LiveConsole
from pipeline.local.run import Run, Stage, Step


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
