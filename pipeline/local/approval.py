"""Approvals: who decided what about a promotion, and which promotion waits for a decision."""

import os
import pwd
import time
from pathlib import Path
from typing import Literal

from pipeline.local.change import change_of
from pipeline.local.console import Console
from pipeline.local.errors import BadInput, PromotionError
from pipeline.local.run import Run, Stage, Step, all_runs


class Rejected(PromotionError):
    """A person rejected the promotion."""


def decide(run: Run, stage: Stage, step: Step, console: Console, *, approve: bool, repository: Path) -> None:
    """Show what is to be approved, and record the decision of the person at the terminal. Without a clear one the step
    waits for ``make approve`` or ``make reject``.

    ``approve``: the person approved beforehand. ``repository``: it knows the commits. Raises ``Rejected``.
    """
    for line in change_of(run, stage, repository):
        console.say(line)
    if approve:
        return record_decision(run, step, "approved", beforehand=True)
    answer = console.ask(f"\nPromote {run.revision[:12]} to {stage.environment}? [y]es, [n]o, [l]ater: ")
    if answer in ("y", "yes"):
        record_decision(run, step, "approved")
    elif answer in ("n", "no"):
        record_decision(run, step, "rejected")
        raise Rejected(f"{system_user()} rejected the promotion to {stage.environment}")
    else:
        step.status, step.detail = "waiting", "for `make approve` or `make reject`"


def record_decision(
    run: Run, step: Step, decision: Literal["approved", "rejected"], *, beforehand: bool = False
) -> None:
    by = system_user()
    record = {"step": step.name, "decision": decision, "by": by, "at": time.time()}
    run.approvals.append(record | ({"beforehand": True} if beforehand else {}))
    step.detail = f"{decision} by {by}{', beforehand' if beforehand else ''}"


def waiting_run(runs: Path) -> tuple[Run, Step]:
    """The run that waits for a decision, and the approval step. Raises ``BadInput`` when no run waits."""
    for run in reversed(all_runs(runs)):
        if run.status == "waiting" and (step := next((step for _, step in run.open_steps()), None)):
            return run, step
    raise BadInput("No promotion waits for an approval. `make status` shows the last promotion.")


def system_user() -> str:
    """The user's name in the system's user database. ``$USER`` is no proof, because the user can set it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a uid without a name, as in containers
        return f"uid {os.getuid()}"
