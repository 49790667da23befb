"""The time of a promotion beside the floor that its settings ask for, and the memory of the local clouds.

Clones the commit that is checked out, sets it up and promotes it ten times, each time but the first with a change of
the functions: ``python -m benchmarks.promotion``. Each takes six to ten minutes. One that fails, as it does when a gate
meets a slow moment of the machine, is told and repeated.

The floor of a step is the time that the environment's own settings ask for: the gate's warm-up and the measured time
after which it may pass, and for each weight of a shift its bake at the local scale, or longer, until the candidate can
have had the requests that a verdict needs and their metrics are there. The ratio of a promotion is its time to the sum
of these floors. The first has none: its shifts open closed environments and have no other weights.
"""

import json
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from environments import ReleaseSettings, environment
from loadtest.p99 import look_times
from localcloud.settings import TIME_SCALE
from names import Function
from pipeline.git import git
from pipeline.release.analysis import Limits
from pipeline.release.aws.metrics import DELAY_SECONDS, MINUTE_SECONDS

ROOT = Path(__file__).parents[1]
PROMOTIONS = 10
MOST_ATTEMPTS = 3


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        git("clone", "--quiet", str(ROOT), str(clone))
        try:
            print(f"set-up from a fresh clone: {_timed(clone, 'setup'):.0f} s")
            with Memory(clone) as memory:
                for number in range(1, PROMOTIONS + 1):
                    if number > 1:
                        _change_the_functions(clone, number)
                    memory.peak = 0
                    _promote_at_last(clone, number)
                    print(f"local clouds: {memory.peak / 2**20:.0f} MiB resident at most, all together", flush=True)
        finally:
            _timed(clone, "down")


class Failed(SystemExit):
    """The end of a target's output."""


def _timed(clone: Path, *target: str) -> float:
    """Seconds of ``make``. Raises ``Failed``."""
    begun = time.monotonic()
    kept = {name: os.environ[name] for name in ("PATH", "HOME")}
    done = subprocess.run(["make", *target], cwd=clone, env=kept, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"make {' '.join(target)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return time.monotonic() - begun


def _promote_at_last(clone: Path, number: int) -> None:
    for attempt in range(1, MOST_ATTEMPTS + 1):
        try:
            return _promote(clone, number)
        except Failed as failed:
            if attempt == MOST_ATTEMPTS:
                raise
            print(f"\npromotion {number}, attempt {attempt}: {failed}", flush=True)


def _promote(clone: Path, number: int) -> None:
    total = _timed(clone, "promote", "APPROVE=yes")
    record = json.loads(sorted((clone / ".pipeline" / "runs").glob("*/run.json"))[-1].read_text())
    print(f"\npromotion {number}: {total:.0f} s\n\n| stage | step | seconds | floor |\n|---|---|---:|---:|")
    floors = 0.0
    for stage in record["stages"]:
        for step in stage["steps"]:
            floor = _floor(stage["environment"], step["name"]) if number > 1 else 0.0
            floors += floor
            shown = f"{floor:.1f}" if floor else ""
            print(f"| {stage['name']} | {step['name']} | {step['ended'] - step['started']:.1f} | {shown} |")
    if floors:
        print(f"\n{total:.0f} s are {total / floors:.2f} times the floor of {floors:.0f} s")


def _floor(name: str, step: str) -> float:
    """The least time, in seconds, that the settings of an environment let a step take."""
    if step == "LoadGate":
        gate = environment(name).gate
        return gate.warm_up_seconds + look_times(gate)[0]
    if step == "BlueGreenShift":
        return sum(_step_floor(environment(name).release, weight) for weight in environment(name).release.weights)
    return 0.0


def _step_floor(release: ReleaseSettings, weight: int) -> float:
    """Seconds of one weight: its bake, or until each route and all together have the requests that a verdict needs."""
    requests = max(release.minimum_requests, Limits().minimum_per_route * len(Function))
    late = (DELAY_SECONDS + MINUTE_SECONDS) * TIME_SCALE
    return max(release.bake_seconds * TIME_SCALE, requests / (release.traffic_rate * weight / 100) + late)


def _change_the_functions(clone: Path, number: int) -> None:
    with (clone / "lambdas" / Function.VALIDATION.folder / "handler.py").open("a") as handler:
        handler.write(f"\n# Changed by the benchmark for promotion {number}.\n")
    identity = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@example.com")
    git(*identity, "commit", "--quiet", "--all", "--message", "Change", folder=clone)


class Memory:
    """Samples the resident memory of the clone's local clouds, in bytes, once a second."""

    def __init__(self, clone: Path) -> None:
        self.peak = 0
        self._records = clone / ".pipeline" / "clouds"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(1.0):
            self.peak = max(self.peak, sum(map(_resident, self._records.glob("*/process.json"))))


def _resident(record: Path) -> int:
    """Proportional set size of the process and all its children: memory that they share counts once."""
    try:
        leader = psutil.Process(json.loads(record.read_text())["pid"])
        return sum(process.memory_full_info().pss for process in [leader, *leader.children(recursive=True)])
    except (psutil.Error, OSError, ValueError):
        return 0


if __name__ == "__main__":
    main()
