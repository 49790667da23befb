"""A promotion on this machine: source, synth, then each stage of the plan, step by step.

Reads top to bottom as the path of a commit. A step that succeeded is never done again, so a run that stopped before an
approval goes on where it was.
"""

import contextlib
import json
import os
import pwd
import shlex
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud import LocalCloud, LocalCloudError
from pipeline.bootstrap.account import toolkit_command
from pipeline.local import source
from pipeline.local.console import Console
from pipeline.local.errors import BadInput, PromotionError, StepFailed
from pipeline.local.process import clean_environment, end_leftover, run_commands, undisturbed
from pipeline.local.run import Run, Stage, Step, all_runs, create
from pipeline.local.state import State

LOCAL_BAKE_SCALE = 0.04
"""The one way in which a local run differs: bake times are multiplied by this, so 5 minutes become 12 seconds."""

OWN_CODE = Path(__file__).resolve().parents[2]
"""Where this code lives; the code under promotion is another copy, perhaps of another age."""

BUILD = "Build"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for: which revision, from which repository, and whether approvals are given beforehand."""

    revision: str | None = None
    repository: Path | None = None
    approve: bool = False


class Promotion:
    """One run, from wherever it stands to its end or to the next approval."""

    def __init__(self, state: State, run: Run, console: Console, request: Request) -> None:
        self.state, self.run, self.console, self.request = state, run, console, request
        self.started_clouds: list[LocalCloud] = []

    @classmethod
    def begin(cls, state: State, console: Console, request: Request) -> "Promotion":
        run = create(state.runs)
        steps: tuple[tuple[str, Any], ...] = (("Source", "source"), ("Synth", "synth"))
        run.stages = [Stage(name=BUILD, environment="", steps=[_step(BUILD, name, kind) for name, kind in steps])]
        return cls(state, run, console, request)

    def go(self) -> None:
        """Do every open step. Ends with the run ``succeeded`` or ``waiting``; raises ``PromotionError`` otherwise."""
        self.run.status = "running"
        self.console.show(self.run)
        try:
            while following := next(self.run.open_steps(), None):
                stage, step = following
                self._do(stage, step)
                if step.status == "waiting":
                    return self.run.end("waiting")
            self.run.end("succeeded")
        except PromotionError as error:
            self._fail(error)
            raise
        except BaseException as error:
            self._interrupt(error)
            raise

    def _do(self, stage: Stage, step: Step) -> None:
        step.status, step.started, step.ended, step.detail = "running", time.time(), None, ""
        self.run.save()
        self.console.started(stage, step)
        try:
            match step.kind:
                case "source":
                    step.detail = self._export_source()
                case "synth":
                    step.detail = self._synthesise(stage, step)
                case "cloud":
                    step.detail = self._start_cloud(stage, step)
                case "deploy":
                    step.detail = self._deploy(stage, step)
                case "commands":
                    step.detail = self._run_step_commands(stage, step)
                case "approval":
                    self._decide(stage, step)
            if step.status == "running":
                step.status = "succeeded"
        except PromotionError as error:
            step.status, step.detail = "failed", str(error).splitlines()[0]
            raise
        except BaseException:
            step.status = "interrupted"
            raise
        finally:
            step.ended, step.process = time.time(), None
            self.run.save()
            self.console.ended(stage, step)

    # Build

    def _export_source(self) -> str:
        found = source.export(self.state.root, self.run.source, self.request.revision, self.request.repository)
        source.check_packages(self.state.root, self.run.source)
        self.run.revision, self.run.subject, self.run.note = found.revision, found.subject, found.note
        if found.note:
            self.console.say(f"Note: {found.note}.")
        return f"{found.short}  {found.subject}"

    def _synthesise(self, stage: Stage, step: Step) -> str:
        assembly = str(self.run.assembly)
        if shutil.which("cdk") is None:
            raise StepFailed("the CDK command line is not on the PATH: run `make setup`, and start with `make promote`")
        self._run(stage, step, [f"cdk synth --quiet --output {shlex.quote(assembly)}"], clean_environment())
        plan_file = self.run.assembly / "plan.json"
        if not plan_file.exists():
            raise StepFailed("the synthesis wrote no plan.json, so there is nothing to promote")
        stages = json.loads(plan_file.read_text())["stages"]
        self.run.stages += [_stage_of(planned) for planned in stages]
        self._supersede_waiting()
        return f"{len(stages)} environments: {', '.join(s['environment'] for s in stages)}"

    def _supersede_waiting(self) -> None:
        """This promotion takes the place of one that waits for its approval: now, for one that fails earlier won't."""
        for run in all_runs(self.state.runs):
            if run.status == "waiting":
                run.end("superseded")
                self.console.say(
                    f"The promotion of {run.revision[:12]} that waited for approval is superseded by this one."
                )

    # A stage

    def _start_cloud(self, stage: Stage, step: Step) -> str:
        cloud, planned = self._cloud(stage), self._plan(stage)
        if not cloud.is_running():
            self.console.progress(stage, step, "starting")
            self.started_clouds.append(cloud)
        try:
            cloud.start(account=planned.get("account"), region=planned.get("region"))
        except LocalCloudError as error:
            raise StepFailed(str(error)) from error
        # Also a cloud that somebody started by hand, or a run that was cut off here.
        start = cloud.environ()["AWS_ACCESS_KEY_ID"]
        bootstrapped = self.state.folder / "bootstrapped" / cloud.name
        if not (bootstrapped.exists() and bootstrapped.read_text() == start):
            self._run(stage, step, bootstrap_commands(cloud, stage.environment), self._environment(cloud))
            bootstrapped.parent.mkdir(exist_ok=True)
            bootstrapped.write_text(start)
        return str(cloud.environ()["AWS_ENDPOINT_URL"])

    def _deploy(self, stage: Stage, step: Step) -> str:
        stack = _deployments(self._plan(stage))[step.name]
        files = {"template": stack["template"], "assets": stack["assets"]}
        command = ["python", "-m", "pipeline.local.deploy", stack["name"]]
        for name, file in files.items():
            command += [f"--{name}", str(self.run.assembly / file)]
        command += ["--outputs", str(self._outputs(stack["name"]))]
        return self._run(stage, step, [shlex.join(command)], self._environment(self._cloud(stage)), folder=OWN_CODE)

    def _run_step_commands(self, stage: Stage, step: Step) -> str:
        planned = self._planned(stage, step)
        environment = {**planned["env"], **self._environment(self._cloud(stage))}
        for name, reference in planned["env_from_outputs"].items():
            environment[name] = json.loads(self._outputs(reference["stack"]).read_text())[reference["output"]]
        try:
            return self._run(stage, step, planned["commands"], environment)
        finally:
            self._keep_reports()

    def _decide(self, stage: Stage, step: Step) -> None:
        """Ask, where somebody can answer; else wait for ``make approve`` or ``make reject``."""
        if self.request.approve:
            return self.record_decision(step, "approved")
        answer = self.console.ask(f"\nPromote {self.run.revision[:12]} to {stage.environment}? [y]es, [n]o, [l]ater: ")
        if answer in ("y", "yes"):
            self.record_decision(step, "approved")
        elif answer in ("n", "no"):
            self.record_decision(step, "rejected")
            raise Rejected(f"{person()} rejected the promotion to {stage.environment}")
        else:
            step.status, step.detail = "waiting", "for `make approve` or `make reject`"

    def record_decision(self, step: Step, decision: str) -> None:
        by = person()
        self.run.approvals.append({"step": step.name, "decision": decision, "by": by, "at": time.time()})
        step.detail = f"{decision} by {by}"

    # How it ends

    def _fail(self, error: PromotionError) -> None:
        self.run.end("rejected" if isinstance(error, Rejected) else "failed", str(error))

    def _interrupt(self, error: BaseException) -> None:
        """Leave nothing running that this run started; a cloud that served before goes on serving."""
        with undisturbed():
            try:
                for cloud in self.started_clouds:
                    self.console.say(f"Stopping the local cloud {cloud.name}, which this run had started ...")
                    with contextlib.suppress(LocalCloudError):
                        cloud.stop()
            finally:
                self.run.end("interrupted", str(error) or type(error).__name__)

    # What the steps share

    def _run(
        self, stage: Stage, step: Step, commands: list[str], environment: dict[str, str], folder: Path | None = None
    ) -> str:
        def remember(process: dict[str, float]) -> None:
            step.process = process
            self.run.save()

        return run_commands(
            commands,
            folder=folder or self.run.source,
            environment=environment,
            log=self._log(step),
            on_line=lambda line: self.console.progress(stage, step, line),
            on_start=remember,
            check=lambda: self._check_cloud(stage, step),
        )

    def _check_cloud(self, stage: Stage, step: Step) -> None:
        """A step that asks a dead cloud would ask for ever."""
        if not stage.environment or step.kind == "cloud":
            return
        cloud = self._cloud(stage)
        if not cloud.is_running() and not cloud.is_running():  # the second look is for one that was only slow
            raise StepFailed(f"the local cloud {cloud.name} is gone; its log: {cloud.log_path}")

    def _environment(self, cloud: LocalCloud) -> dict[str, str]:
        return {
            **clean_environment(),
            **cloud.environ(),
            "BAKE_SCALE": str(LOCAL_BAKE_SCALE),
            "SOURCE_COMMIT": self.run.revision,
            "RUN_FOLDER": str(self.run.folder),
        }

    def _cloud(self, stage: Stage) -> LocalCloud:
        return LocalCloud(stage.environment, self.state.clouds)

    def _plan(self, stage: Stage) -> dict[str, Any]:
        stages = json.loads((self.run.assembly / "plan.json").read_text())["stages"]
        found: dict[str, Any] = next(s for s in stages if s["name"] == stage.name)
        return found

    def _planned(self, stage: Stage, step: Step) -> dict[str, Any]:
        planned = self._plan(stage)
        return next(s for s in planned["pre"] + planned["post"] if s["name"] == step.name)

    def _outputs(self, stack_name: str) -> Path:
        return self.run.folder / "outputs" / f"{stack_name}.json"

    def _log(self, step: Step) -> Path:
        return self.run.folder / step.log

    def _keep_reports(self) -> None:
        """The commands write ``reports/`` where they run; the run's folder is where they are looked for."""
        written = self.run.source / "reports"
        if written.is_dir():
            shutil.copytree(written, self.run.folder / "reports", dirs_exist_ok=True)


class Rejected(PromotionError):
    """A person said no."""


def end_leftovers(state: State, console: Console) -> None:
    """End what killed promotions left running. Call it with the lock held: a run that says it is running can't be."""
    for run in all_runs(state.runs):
        if run.status != "running":
            continue
        for stage, step in run.open_steps():
            if step.process:
                console.say(f"Ending what a killed promotion may have left running: {stage.name} / {step.name} ...")
                end_leftover(step.process)
        run.end("interrupted", "the promotion was killed")


def waiting_run(state: State) -> tuple[Run, Step]:
    """The run that waits for a person, and its step. Raises ``BadInput`` when none does."""
    for run in reversed(all_runs(state.runs)):
        if run.status == "waiting":
            return run, next(step for _, step in run.open_steps())
    raise BadInput("Nothing waits for an approval. `make status` shows the last promotion.")


def person() -> str:
    """Who gives this command, for the record: as the system knows them, for ``$USER`` is whatever one sets it to."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a uid without a name, as containers have
        return f"uid {os.getuid()}"


def _step(stage: str, name: str, kind: Any) -> Step:
    slug = f"{stage}-{name}".lower().replace(" ", "-")
    return Step(name=name, kind=kind, log=f"logs/{slug}.log")


def _stage_of(planned: dict[str, Any]) -> Stage:
    name = planned["name"]
    return Stage(
        name=name,
        environment=planned["environment"],
        steps=[
            *(_step(name, s["name"], s["kind"]) for s in planned["pre"]),
            _step(name, "Local cloud", "cloud"),
            *(_step(name, deployment, "deploy") for deployment in _deployments(planned)),
            *(_step(name, s["name"], s["kind"]) for s in planned["post"]),
        ],
    )


def _deployments(planned: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The stacks of a planned stage, by the name of the step that deploys each."""
    stacks = planned["stacks"]
    return {"Deploy" if len(stacks) == 1 else f"Deploy {stack['name']}": stack for stack in stacks}


def bootstrap_commands(cloud: LocalCloud, environment: str) -> list[str]:
    """What a new AWS account gets once: CDK's own resources, and the platform's certificate and parameters.

    Meant for a folder right below one without a ``cdk.json``, for there the CLI does not synthesise the app first.
    """
    return [
        f"(cd .. && {toolkit_command(cloud.account, cloud.region)})",
        f"python -m pipeline.bootstrap --env {environment}",
    ]
