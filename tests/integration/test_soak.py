"""A release meets a fault while customers pay: `make soak` in its short form."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.local.process import clean_environment

ROOT = Path(__file__).parents[2]
MOST_SECONDS = 600


def soak(**variables: str) -> tuple[int, str]:
    """Exit code and output of `python -m benchmarks soak`."""
    environ = {**clean_environment(), **variables}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "soak"],
        cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()  # it ends its cloud
        output, _ = process.communicate()
        pytest.fail(f"no end within {MOST_SECONDS} s:\n{output}")
    return process.returncode, output


def test_a_fault_during_a_release_is_survived_and_nothing_is_lost_or_left() -> None:
    # Given releases while customers and a merchant pay, one fault at a random moment, and a proxy that is dead
    fault = "kill -9 of PostgreSQL"
    # When it has happened, and nobody does anything
    code, output = soak(MINUTES="0.01", FAULTS=fault, HTTPS_PROXY="http://127.0.0.1:9")
    # Then the next release is promoted, no payment is lost or made twice, and nothing is left on this machine
    assert code == 0, output
    done: dict[str, Any] = json.loads((ROOT / "reports/soak/soak.json").read_text())
    faulty, *others = done["rounds"]
    assert faulty["fault"] == fault
    assert faulty["met"], output
    assert others[-1] | {"fault": "none", "end": "promoted"} == others[-1]
    assert done["payments"] > 0
    assert done["bad"] > 0
    # And what it prints at its end is what docs/reliability.md has
    assert f"| {fault} | 1 | {faulty['end']} |" in output
    assert (
        f"| A merchant's payments | {done['payments']} promised, {done['repeated']} of them after repeats |" in output
    )
    assert re.search(r"^0 failures$", output, re.MULTILINE)


@pytest.mark.parametrize("variables", [{"MINUTES": "long"}, {"SEED": "x"}, {"FAULTS": "no such fault"}])
def test_a_mistyped_variable_is_named_before_anything_is_made(variables: dict[str, str]) -> None:
    code, output = soak(**variables)
    [value] = variables.values()
    assert code == 1
    assert value in output
    assert "Traceback" not in output
