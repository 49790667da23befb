"""The time of ``cdk synth``, and its parts: ``python -m benchmarks.synthesis``.

Ratios are taken in one run on one machine, to the CDK CLI that does nothing (``cdk --version``) and to an app of one
empty stack, which starts jsii and loads CDK but makes nothing. The commands take turns, so that other work on
the machine slows all of them. Bytecode is kept, as Python does by default. Without it, each run compiles CDK's modules
again.
"""

import cProfile
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNS = 5
EMPTY_APP = "import aws_cdk; app = aws_cdk.App(builtin_cloud_formation_validation=False); aws_cdk.Stack(app, 'Empty')"
LIMIT_RATIO = 7.1
"""The limit is 5 seconds on a machine where ``cdk --version`` takes 0.7."""


def main() -> None:
    if sys.argv[1:] == ["--profile"]:
        return _profile()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.py"
        empty.write_text(f"{EMPTY_APP}; app.synth()\n")
        commands = {
            "cdk --version": ["cdk", "--version"],
            "an empty stack": ["cdk", "synth", "--quiet", "--app", f"python {empty}", "--output", f"{folder}/empty"],
            "cdk synth": ["cdk", "synth", "--quiet", "--output", f"{folder}/all"],
        }
        took: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(1 + RUNS):  # the first fills caches: bytecode, jsii's packages, the functions' bundle
            for name, command in commands.items():
                start = time.perf_counter()
                subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
                took[name].append(time.perf_counter() - start)
    best = {name: min(times[1:]) for name, times in took.items()}
    print(f"best of {RUNS} (goal: cdk synth at most {LIMIT_RATIO} times cdk --version)")
    for name, seconds in best.items():
        print(f"  {name:<16}{seconds:6.2f} s  {seconds / best['cdk --version']:5.1f} times")
    print("\nprofile of the app, seconds as the profiler sees them")
    subprocess.run(
        [sys.executable, "-O", "-m", "benchmarks.synthesis", "--profile"], cwd=ROOT, env=environment, check=True
    )


def _profile() -> None:
    """Run this in a process of its own, so that imports count."""
    profile = cProfile.Profile()
    start = time.perf_counter()
    import pipeline.stack  # noqa: F401  (the app imports it late)
    import pipeline_app

    imports = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        profile.enable()
        pipeline_app.create_app(outdir=folder).synth()
        profile.disable()
    entries = profile.getstats()

    def of(file: str, function: str) -> tuple[float, int]:
        """Seconds in the functions of this name, and calls of them. Built-in ones have no file."""
        found = [
            each
            for each in entries
            if (
                file == "" and function in each.code
                if isinstance(each.code, str)
                else each.code.co_name == function and each.code.co_filename.endswith(file)
            )
        ]
        return sum(each.totaltime for each in found), sum(each.callcount for each in found)

    created, enforced = of("pipeline_app.py", "create_app")[0], of("compliance/validation.py", "enforce")[0]
    checked = of("compliance/validation.py", "validate")[0] + of("compliance/template_pack.py", "validate")[0]
    for name, seconds in {
        "imports": imports,
        "constructs": created - enforced,
        "acknowledgements": enforced,
        "rule packs": checked,
        "templates": of("aws_cdk/__init__.py", "synth")[0] - checked,
    }.items():
        print(f"  {name:<16}{seconds:6.2f} s")
    requests, waited = of("providers/process.py", "send")[1], of("", "'readline' of '_io.BufferedReader'")[0]
    print(f"  {requests} requests to jsii's kernel: Python waited for {waited:.2f} s of the above")


if __name__ == "__main__":
    main()
