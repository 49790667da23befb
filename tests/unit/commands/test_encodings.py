"""A terminal without UTF-8: no command ends because of a character, and the marks of a promotion still differ."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.local.state import State
from tests.recorded import record
from tests.unit.commands.running import ROOT


def run(folder: Path, encoding: str, *words: str) -> "subprocess.CompletedProcess[bytes]":
    environ = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding, "HOME": str(folder)}
    return subprocess.run([sys.executable, "-m", *words], cwd=folder, env=environ, capture_output=True)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_what_succeeded_and_what_failed_can_be_told_apart(tmp_path: Path, encoding: str) -> None:
    # Given a promotion that has failed at the gate of staging
    record(State(tmp_path), ends_at="Staging/LoadGate", status="failed")
    # When a terminal has none of the characters of its tree
    shown = run(tmp_path, encoding, "pipeline.local", "status").stdout.decode(encoding)
    # Then each mark has another one in its place
    assert "  + Deploy " in shown
    assert "  x LoadGate " in shown
    assert "  o Shift " in shown
    assert "?" not in shown


@pytest.mark.parametrize(
    "words",
    [
        ("pipeline.local.deploy", "stack-é", "--template", "é", "--assets", "é", "--outputs", "é"),
        ("pipeline.rules", "check", "é"),
        ("localcloud", "status", "dev", "--state", "é"),
    ],
)
def test_a_character_that_the_terminal_lacks_ends_no_command(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run(tmp_path, "ascii", *words)
    assert done.returncode == 1
    assert b"Traceback" not in done.stdout + done.stderr
    assert done.stdout + done.stderr
