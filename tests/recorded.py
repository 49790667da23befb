"""Promotions as they are on record: the data of the console's tests and pictures."""

import json
import time
from pathlib import Path

from pipeline.local.run import Run, Stage, Step, create
from pipeline.local.state import State

HOSTILE = (
    'Fix <script>alert(1)</script> "quotes" & \x1b[31mred\x1b[0m \x1b]0;title\x07 \u202egnp.exe 4111 1111 1111 1111'
)
"""A commit's subject that tries to be markup, colour, title, another direction, and a card number."""

PATH = (
    ("Build", "", ("Source", "source"), ("Synth", "synth")),
    ("Dev", "dev", ("Local cloud", "cloud"), ("Deploy", "deploy"), ("LoadGate", "commands"), ("Evidence", "commands")),
    ("Staging", "staging", ("Local cloud", "cloud"), ("Deploy", "deploy"), ("LoadGate", "commands"),
     ("Shift", "commands"), ("Evidence", "commands")),
    ("Prod", "prod", ("PromoteToProd", "approval"), ("Local cloud", "cloud"), ("Deploy", "deploy"),
     ("LoadGate", "commands"), ("Shift", "commands"), ("Evidence", "commands")),
)  # fmt: skip
DETAILS = {
    "Source": "{revision:.10}  {subject}",
    "Synth": "3 environments: dev, staging, prod",
    "Local cloud": "https://127.0.0.1:4571",
    "Deploy": "payment-platform: 214 resources",
    "LoadGate": "pass: every route is proven to keep p99 <= 200 ms (largest upper bound 84 ms)",
    "Shift": "promoted: version 2 is stable",
    "Evidence": "evidence kept: payment-evidence.zip",
}


def record(
    state: State,
    *,
    revision: str = "c0ffee1234" + "0" * 30,
    subject: str = "Ask for 3-D Secure from 250 on",
    ends_at: str | None = None,
    status: str = "succeeded",
    ago: float = 3600.0,
    log: str = "",
) -> Run:
    """A promotion that came as far as the step ``ends_at`` (``"Prod/PromoteToProd"``), which has ``status``."""
    state.prepare()
    run = create(state.runs)
    run.revision, run.subject, run.started = revision, subject, time.time() - ago
    at, over = run.started, False
    for name, environment, *steps in PATH:
        stage = Stage(name=name, environment=environment, steps=[])
        for step_name, kind in steps:
            slug = f"{name}-{step_name}".lower().replace(" ", "-")
            step = Step(name=step_name, kind=kind, log=f"logs/{slug}.log")  # type: ignore[arg-type]
            stage.steps.append(step)
            if over:
                continue
            step.started, at = at, at + 12.5
            step.status, step.ended = "succeeded", at
            step.detail = DETAILS.get(step_name, "").format(revision=revision, subject=subject)
            (run.folder / step.log).write_text(f"{step_name} of {name}\n{log}")
            if f"{name}/{step_name}" == ends_at:
                step.status, over = status, True  # type: ignore[assignment]
                step.ended = None if status in ("running", "waiting") else at
                step.detail = "for `make approve` or `make reject`" if status == "waiting" else step.detail
        run.stages.append(stage)
    run.status = status  # type: ignore[assignment]
    run.ended = None if status == "running" else at
    if status == "failed":
        run.failure = "the p99 of /process is 312 ms, over 200 ms"
    if any(each["decision"] for each in run.approvals) is False and ends_at is None:
        run.approvals.append({"step": "PromoteToProd", "decision": "approved", "by": "ann", "at": at - 60})
    run.save()
    return run


def append(run: Run, step: str, *lines: str) -> None:
    """Lines that a running step prints now."""
    stage, _, name = step.partition("/")
    found = run.step(stage, name)
    with (run.folder / found.log).open("a") as log:
        log.writelines(f"{line}\n" for line in lines)


def three(state: State) -> list[Run]:
    """One that reached prod, one that failed at a gate, and one that waits for a person."""
    first = record(state, revision="aaaaaaa111" + "0" * 30, subject="Decline cards of a country in war", ago=7200)
    second = record(
        state, revision="bbbbbbb222" + "0" * 30, subject=HOSTILE, ends_at="Staging/LoadGate", status="failed", ago=3600
    )
    third = record(state, ends_at="Prod/PromoteToProd", status="waiting", ago=600)
    return [first, second, third]


def journal(state: State, **entry: object) -> None:
    """An action of an earlier console."""
    folder = state.folder / "console"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "actions.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n")


def project(folder: Path) -> State:
    folder.mkdir(parents=True, exist_ok=True)
    return State(folder)
