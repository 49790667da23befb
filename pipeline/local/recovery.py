"""Ends the processes of killed promotions, before another command of this machine works."""

from pipeline.local.console import Console
from pipeline.local.process import end_orphan
from pipeline.local.run import all_runs
from pipeline.local.state import State


def end_orphans(state: State, console: Console) -> None:
    """End the processes of killed promotions, and mark those promotions as interrupted.

    Call it with the lock held: then no promotion runs, and a record that says ``running`` is of a killed one.
    """
    for run in all_runs(state.runs):
        if run.status != "running":
            continue
        for stage, step in run.open_steps():
            if step.process:
                console.say(f"Ending the processes of a killed promotion, if any: {stage.name} / {step.name} ...")
                end_orphan(step.process)
        run.end("interrupted", "the promotion was killed")
