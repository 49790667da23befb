"""How long a promotion takes and what of that is asked for, and how much memory the local clouds use.

Clones the commit that is checked out, sets it up and promotes it twice, the second time with a change of the functions:
``python -m benchmarks.promotion``. Takes about ten minutes. The floor of a step is the time that the environment's own
settings ask for: the gate's warm-up and measured time, the bakes at their local scale.
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

from environments import environment
from pipeline.local.promotion import LOCAL_BAKE_SCALE

ROOT = Path(__file__).parents[1]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        try:
            print(f"set-up from a fresh clone: {_timed(clone, 'setup'):.0f} s")
            with Memory(clone) as memory:
                _promote(clone, "first promotion")
                _change_the_functions(clone)
                _promote(clone, "second promotion, changed functions")
            print(f"\nlocal clouds: {memory.peak / 2**20:.0f} MiB resident at most, all environments together")
        finally:
            _timed(clone, "down")


def _timed(clone: Path, *target: str) -> float:
    begun = time.monotonic()
    kept = {name: os.environ[name] for name in ("PATH", "HOME")}
    done = subprocess.run(["make", *target], cwd=clone, env=kept, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"make {' '.join(target)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return time.monotonic() - begun


def _promote(clone: Path, title: str) -> None:
    total = _timed(clone, "promote", "APPROVE=yes")
    record = json.loads(sorted((clone / ".pipeline" / "runs").glob("*/run.json"))[-1].read_text())
    print(f"\n{title}: {total:.0f} s\n\n| stage | step | seconds | floor |\n|---|---|---:|---:|")
    for stage in record["stages"]:
        for step in stage["steps"]:
            floor = _floor(stage["environment"], step["name"])
            print(f"| {stage['name']} | {step['name']} | {step['ended'] - step['started']:.1f} | {floor or ''} |")


def _floor(name: str, step: str) -> float:
    if not name:
        return 0.0
    settings = environment(name)
    floors: dict[str, float] = {
        "LoadGate": settings.gate.warm_up_seconds + settings.gate.duration_seconds,
        "BlueGreenShift": round(len(settings.release.weights) * settings.release.bake_seconds * LOCAL_BAKE_SCALE, 1),
    }
    return floors.get(step, 0.0)


def _change_the_functions(clone: Path) -> None:
    with (clone / "lambdas" / "validation" / "handler.py").open("a") as handler:
        handler.write("\n# Changed by the benchmark.\n")
    identity = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@example.com")
    subprocess.run(["git", *identity, "commit", "--quiet", "--all", "--message", "Change"], cwd=clone, check=True)


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
