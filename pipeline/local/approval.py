"""Approvals: who decided what about a promotion, and which promotion waits for a decision."""

import time
from pathlib import Path
from typing import Literal

from environments import PIPELINE
from pipeline import approver
from pipeline.local.change import change_of
from pipeline.local.console import Console
from pipeline.local.errors import BadInput, PromotionError
from pipeline.local.run import Run, Stage, Step, all_runs
from pipeline.local.users import system_user


class Rejected(PromotionError):
    """A person rejected the promotion."""


def require_another(run: Run) -> None:
    """Raise ``BadInput`` if the settings let somebody else than this user approve the commit."""
    if PIPELINE.another_approves:
        try:
            approver.require_another(
                system_user(), [run.origin.get("author"), run.origin.get("committer")], PIPELINE.addresses
            )
        except approver.Refused as reason:
            raise BadInput(f"{reason} The promotion waits.") from reason


def decide(run: Run, stage: Stage, step: Step, console: Console, *, approve: bool, repository: Path) -> None:
    """Show what is to be approved, and record the decision of the person at the terminal. Without a clear one the step
    waits for ``make approve`` or ``make reject``. So it does if the author may not approve.

    ``approve``: the person approved beforehand. ``repository``: it knows the commits. Raises ``Rejected``.
    """
    for line in change_of(run, stage, repository):
        console.say(line)
    answer = (
        "" if approve else console.ask(f"\nPromote {run.revision[:12]} to {stage.environment}? [y]es, [n]o, [l]ater: ")
    )
    if approve or answer in ("y", "yes"):
        try:
            require_another(run)
        except BadInput as refused:
            console.say(str(refused))
            step.status, step.detail = "waiting", "for `make approve` by another one, or `make reject`"
        else:
            record_decision(run, step, "approved", beforehand=approve)
    elif answer in ("n", "no"):
        record_decision(run, step, "rejected")
        raise Rejected(f"{system_user()} rejected the promotion to {stage.environment}")
    else:
        step.status, step.detail = "waiting", "for `make approve` or `make reject`"


def record_decision(
    run: Run,
    step: Step,
    decision: Literal["approved", "rejected"],
    *,
    beforehand: bool = False,
    name: str = "",
    comment: str = "",
) -> None:
    """``name`` is what the person called themselves. It stands beside the user of the system, and never replaces it."""
    by = system_user()
    record = {"step": step.name, "decision": decision, "by": by, "at": time.time()}
    said = {"beforehand": beforehand, "name": name, "comment": comment}
    run.approvals.append(record | {key: value for key, value in said.items() if value})
    who = f"{name} ({by})" if name and name != by else by
    step.detail = f"{decision} by {who}{', beforehand' if beforehand else ''}{f': {comment}' if comment else ''}"


def waiting_run(runs: Path, id: str | None = None, step_id: str | None = None) -> tuple[Run, Step]:
    """The run that waits for a decision, and the approval step. ``id``, ``step_id``: what the person has seen.

    Raises ``BadInput`` when no run waits, or another run or step than that.
    """
    for run in reversed(all_runs(runs)):
        if run.status == "waiting" and (step := next((step for _, step in run.open_steps()), None)):
            if id is not None and id != run.id:
                raise BadInput(f"Promotion {id} does not wait for an approval any more: {run.id} does.")
            if step_id is not None and step_id != step.id:
                raise BadInput(f"Promotion {run.id} waits for {step.id} now, not for {step_id}.")
            return run, step
    raise BadInput("No promotion waits for an approval. `make status` shows the last promotion.")
