"""The texts after a promotion and of ``make status``."""

import os
from contextlib import suppress
from pathlib import Path

from rich.console import Console as Terminal

import names
from localcloud import LocalCloud
from localcloud.files import read_object
from pipeline.local.console import Console
from pipeline.local.function_errors import first_error
from pipeline.local.run import Run, Stage, Step, all_runs
from pipeline.local.state import State
from pipeline.local.tree import tree
from pipeline.output import say
from reporting.text import one_line, printable

LOG_TAIL_LINES = 12


def show_outcome(run: Run, console: Console) -> None:
    """Show how the run ended. The most important lines come last, where a terminal keeps them in view: the cause of a
    failure, and the next command."""
    for page in sorted((run.folder / "reports").glob("*/*.html")):
        if page.name != "locust.html":  # its figures differ from the verdict's: the gate's page links it, and says why
            console.say(f"Report: {page}")
    console.say(f"Logs and reports: {run.folder}")
    commit = f"{run.revision[:12]} {run.subject}".strip()
    match run.status:
        case "succeeded":
            console.say(f"\nPromoted {commit} through {_environments(run)} in {_seconds_of_work(run):.0f} s.")
            console.say("Look: `make status`, or `make console` for a page. Stop the local clouds: `make down`.")
        case "waiting":
            stage, step = next(run.open_steps())
            console.say(f"\n{stage.environment} waits for approval ({step.name}). It still runs what it ran before.")
            console.say("Go on: `make approve`. End it: `make reject`. See it on a page: `make console`.")
        case "failed" | "rejected":
            _show_failure(run, console)
        case "interrupted":
            console.say(
                f"\nInterrupted ({run.failure}). `make promote` starts again; local clouds that ran before still run."
            )


def _show_failure(run: Run, console: Console) -> None:
    stage, step = next(run.open_steps())
    for line in _tail(run, step):
        console.say(f"  | {line}")
    if step.kind == "commands" and step.started:
        logs = LocalCloud(stage.environment, run.folder.parents[1] / "clouds").folder / "logs"
        if error := first_error(logs, step.started):
            console.say("The first error in the functions' logs:")
            for line in error:
                console.say(f"  | {line}")
    console.say(f"\n{headline(run)}")
    untouched = [s.environment for s in run.stages if s.environment and not _begun(s)]
    if untouched:
        console.say(f"Untouched: {', '.join(untouched)}.")
    if (run.folder / step.log).exists():
        console.say(f"Open: {run.folder / step.log}")


def headline(run: Run) -> str:
    """Where a run ended, and why."""
    stage, step = next(run.open_steps())
    return f"{run.status.upper()} at {stage.name} / {step.name}: {run.failure}"


def leave_last_word(text: str) -> None:
    """Write ``text`` for make, which otherwise ends with "Error 1": it names the file in ``LAST_WORD``."""
    if file := os.environ.get("LAST_WORD"):
        with suppress(OSError):
            Path(file).write_text(one_line(printable(text)))


def _begun(stage: Stage) -> bool:
    """Whether the run changed anything in the stage. A change set and a question about it do not."""
    return any(step.status != "pending" for step in stage.steps if step.kind not in ("approval", "cloud", "prepare"))


def _tail(run: Run, step: Step) -> list[str]:
    log = run.folder / step.log
    return log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] if log.exists() else []


def _seconds_of_work(run: Run) -> float:
    """The run's duration without the wait for approvals, which may take a night."""
    return sum(step.seconds for stage in run.stages for step in stage.steps if step.kind != "approval")


def _environments(run: Run) -> str:
    return ", ".join(stage.environment for stage in run.stages if stage.environment)


def show_status(state: State) -> None:
    """Print the last promotion and the local clouds."""
    terminal = Terminal()
    runs = all_runs(state.runs)
    if runs:
        last = runs[-1]
        terminal.print(tree(last, width=terminal.width))
        killed = last.status == "running" and not state.is_locked()
        summary = "killed: `make promote` cleans up" if killed else f"{last.status} {last.failure or ''}".strip()
        say(summary)
        say(f"Logs and reports: {last.folder}")
    else:
        say("No promotion yet: `make promote` starts one.")
    for cloud in clouds(state):
        state_text = f"running at {cloud.endpoint}" if cloud.is_running() else "not running"
        say(f"{cloud.name:<10} {state_text}  {_api_url(runs, cloud)}")


def _api_url(runs: list[Run], cloud: LocalCloud) -> str:
    """The API's URL in the outputs of the last deployment; empty when the cloud does not run."""
    for run in reversed(runs if cloud.is_running() else []):
        outputs = run.folder / "outputs" / f"{names.stack(cloud.name)}.json"
        with suppress(OSError, ValueError, KeyError):  # not deployed by this run, or spoilt
            return str(read_object(outputs)["ApiGatewayUrl"])
    return ""


def clouds(state: State) -> list[LocalCloud]:
    """Every local cloud with a folder here, running or not."""
    return [LocalCloud(folder.name, state.clouds) for folder in sorted(state.clouds.glob("*/")) if folder.is_dir()]
