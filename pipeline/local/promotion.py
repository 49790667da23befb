"""A promotion on this machine: source, synth, then each stage of the plan, step by step.

The methods stand in the order of a commit's path. A step that succeeded is not repeated. A run that stopped before an
approval therefore continues with the step after it.
"""

import contextlib
import shlex
import shutil
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import names
from localcloud import LocalCloud, LocalCloudError
from localcloud.files import read_object
from localcloud.settings import TIME_SCALE
from pipeline import inspection
from pipeline.bootstrap.account import toolkit_command
from pipeline.git import GitError, git
from pipeline.local import source
from pipeline.local.approval import Rejected, decide
from pipeline.local.console import Console
from pipeline.local.errors import PromotionError, StepFailed
from pipeline.local.plan_reader import PlanReader, run_stage, run_step
from pipeline.local.process import clean_environment, run_commands, signals_ignored
from pipeline.local.run import Run, Stage, Step, all_runs, create
from pipeline.local.state import State
from pipeline.local.users import system_user

OWN_CODE = Path(__file__).resolve().parents[2]
"""The folder of the code that runs now. The code under promotion is another copy, perhaps of another version."""

BUILD = "Build"


@dataclass(frozen=True, kw_only=True)
class PromotionRequest:
    """The options of ``promote``: the revision, its repository, and whether every approval is given beforehand."""

    revision: str | None = None
    repository: Path | None = None
    approve: bool = False


class Promotion:
    """Carries out one run, from its first open step to its end or to the next approval."""

    def __init__(self, state: State, run: Run, console: Console, request: PromotionRequest) -> None:
        self.state, self.run, self.console, self.request = state, run, console, request
        self.started_clouds: list[LocalCloud] = []

    def resume(self) -> None:
        """Go on after an approval. If the stage's cloud was stopped since, its change set is gone, too: make it again,
        which fails unless it is what was approved."""
        for stage, step in islice(self.run.open_steps(), 1):
            if step.kind == "deploy" and not self._cloud(stage).is_running():
                for each in stage.steps[: stage.steps.index(step)]:
                    if each.kind in ("cloud", "prepare"):
                        each.status = "pending"
        self.execute()

    @classmethod
    def begin(cls, state: State, console: Console, request: PromotionRequest) -> "Promotion":
        run = create(state.runs)
        steps = [run_step(BUILD, "Source", "source"), run_step(BUILD, "Synth", "synth")]
        run.stages = [Stage(name=BUILD, environment="", steps=steps)]
        return cls(state, run, console, request)

    def execute(self) -> None:
        """Do every open step. The run ends as ``succeeded`` or ``waiting``; otherwise raises ``PromotionError``."""
        self.run.status = "running"
        self.console.show(self.run)
        try:
            while next_step := next(self.run.open_steps(), None):
                stage, step = next_step
                self._execute_step(stage, step)
                if step.status == "waiting":
                    return self.run.end("waiting")
            self.run.end("succeeded")
        except PromotionError as error:
            self._fail(error)
            raise
        except BaseException as error:
            self._interrupt(error)
            raise

    def _execute_step(self, stage: Stage, step: Step) -> None:
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
                case "prepare" | "deploy":
                    step.detail = self._deploy(stage, step)
                case "commands":
                    step.detail = self._run_step_commands(stage, step)
                case "approval":
                    decide(
                        self.run,
                        stage,
                        step,
                        self.console,
                        approve=self.request.approve,
                        repository=self.request.repository or self.state.root,
                    )
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
        self.run.origin = {**found.origin, "started": system_user()}
        if found.note:
            self.console.say(f"Note: {found.note}.")
        return f"{found.short}  {found.subject}"

    def _synthesise(self, stage: Stage, step: Step) -> str:
        assembly = str(self.run.assembly)
        if shutil.which("cdk") is None:
            raise StepFailed("the CDK command line is not on the PATH: run `make setup`, and start with `make promote`")
        environment = clean_environment() | self._change()
        self._run(stage, step, [f"cdk synth --quiet --output {shlex.quote(assembly)}"], environment)
        if not self._plan.file.exists():
            raise StepFailed("the synthesis wrote no plan.json, so there is nothing to promote")
        self.run.assembly_digest = self._inspected()
        stages = self._plan.stages()
        self.run.stages += [run_stage(planned) for planned in stages]
        self._supersede_waiting()
        return f"{len(stages)} environments: {', '.join(s['environment'] for s in stages)}"

    def _inspected(self) -> str:
        """The digest of the assembly, by the code that runs now and not by that of the commit."""
        try:
            return inspection.inspect(self.run.assembly, names.PIPELINE)
        except (inspection.Refused, OSError) as error:
            raise StepFailed(f"the assembly is refused: {error}") from error

    def _change(self) -> dict[str, str]:
        """What a synthesis needs to name the line of the change that made a finding; empty without git."""
        repository = self.request.repository
        try:
            found = repository or Path(git("rev-parse", "--absolute-git-dir", folder=self.state.root))
        except GitError:
            return {}
        former = [run.revision for run in all_runs(self.state.runs) if run.status in ("succeeded", "waiting")]
        base = former[-1] if former else f"{self.run.revision}~1"
        return {"SOURCE_REPOSITORY": str(found), "SOURCE_COMMIT": self.run.revision, "CHANGED_SINCE": base}

    def _supersede_waiting(self) -> None:
        """End the promotion that waits for approval. Called after the synthesis, because a promotion that fails before
        it must not supersede anything."""
        for run in all_runs(self.state.runs):
            if run.status == "waiting":
                run.end("superseded")
                self.console.say(
                    f"The promotion of {run.revision[:12]} that waited for approval is superseded by this one."
                )

    # A stage

    def _start_cloud(self, stage: Stage, step: Step) -> str:
        cloud, planned = self._cloud(stage), self._plan.stage(stage)
        if not cloud.is_running():
            self.console.progress(stage, step, "starting")
            self.started_clouds.append(cloud)
        try:
            cloud.start(account=planned.get("account"), region=planned.get("region"))
        except LocalCloudError as error:
            raise StepFailed(str(error)) from error
        # A cloud that runs may lack its bootstrap: a person started it, or an earlier run was interrupted here.
        start_id = cloud.environ()["AWS_ACCESS_KEY_ID"]
        bootstrapped = self.state.folder / "bootstrapped" / cloud.name
        if not (bootstrapped.exists() and bootstrapped.read_text() == start_id):
            self._run(stage, step, bootstrap_commands(cloud, stage.environment), self._environment(cloud))
            bootstrapped.parent.mkdir(exist_ok=True)
            bootstrapped.write_text(start_id)
        return str(cloud.environ()["AWS_ENDPOINT_URL"])

    def _deploy(self, stage: Stage, step: Step) -> str:
        stack = self._plan.stack(stage, step)
        files = {"template": stack["template"], "assets": stack["assets"]}
        command = ["python", "-m", "pipeline.local.deploy", stack["name"]]
        for name, file in files.items():
            command += [f"--{name}", str(self.run.assembly / file)]
        command += ["--outputs", str(self._outputs(stack["name"]))]
        if stack.get("change_set"):
            # Somebody approves in between, perhaps a day later.
            if self.run.assembly_digest not in (None, self._inspected()):
                raise StepFailed(f"{self.run.assembly} is not what was inspected: promote again")
            half = "--prepare" if step.kind == "prepare" else "--execute"
            command += [half, str(self.run.folder / "outputs" / f"{stack['name']}.changes.json")]
        return self._run(stage, step, [shlex.join(command)], self._environment(self._cloud(stage)), folder=OWN_CODE)

    def _run_step_commands(self, stage: Stage, step: Step) -> str:
        planned = self._plan.step(stage, step)
        environment = {**planned["env"], **self._environment(self._cloud(stage))}
        for name, reference in planned["env_from_outputs"].items():
            environment[name] = self._output(reference["stack"], reference["output"])
        try:
            return self._run(stage, step, planned["commands"], environment)
        finally:
            self._keep_reports()

    # Failure and interruption

    def _fail(self, error: PromotionError) -> None:
        self.run.end("rejected" if isinstance(error, Rejected) else "failed", str(error))

    def _interrupt(self, error: BaseException) -> None:
        """Stop the clouds that this run started. A cloud that ran before keeps running."""
        with signals_ignored():
            try:
                for cloud in self.started_clouds:
                    self.console.say(f"Stopping the local cloud {cloud.name}, which this run had started ...")
                    with contextlib.suppress(LocalCloudError):
                        cloud.stop()
            finally:
                self.run.end("interrupted", str(error) or type(error).__name__)

    # Shared by the steps

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
        """Raise ``StepFailed`` when the cloud has died. A step would retry its calls for ever."""
        if not stage.environment or step.kind == "cloud":
            return
        cloud = self._cloud(stage)
        if not cloud.is_running() and not cloud.is_running():  # checked twice, because it may only be slow
            raise StepFailed(f"the local cloud {cloud.name} is gone; its log: {cloud.log_path}")

    def _environment(self, cloud: LocalCloud) -> dict[str, str]:
        return {
            **clean_environment(),
            **cloud.environ(),
            "BAKE_SCALE": str(TIME_SCALE),
            "SOURCE_COMMIT": self.run.revision,
            "RUN_FOLDER": str(self.run.folder),
        }

    @property
    def _plan(self) -> PlanReader:
        return PlanReader(self.run.assembly)

    def _cloud(self, stage: Stage) -> LocalCloud:
        return LocalCloud(stage.environment, self.state.clouds)

    def _output(self, stack_name: str, name: str) -> str:
        try:
            return str(read_object(self._outputs(stack_name))[name])
        except (KeyError, OSError, ValueError) as error:
            raise StepFailed(f"output {name} of {stack_name} can't be read ({error}): promote again") from error

    def _outputs(self, stack_name: str) -> Path:
        return self.run.folder / "outputs" / f"{stack_name}.json"

    def _log(self, step: Step) -> Path:
        return self.run.folder / step.log

    def _keep_reports(self) -> None:
        """Copy ``reports/``, which the commands write in the source folder, to the run's folder."""
        written = self.run.source / "reports"
        if written.is_dir():
            shutil.copytree(written, self.run.folder / "reports", dirs_exist_ok=True)


def bootstrap_commands(cloud: LocalCloud, environment: str) -> list[str]:
    """Commands that prepare a new AWS account: CDK's own resources, and the platform's certificate and parameters.

    Run them in a folder whose parent has no ``cdk.json``: there ``cdk bootstrap`` does not synthesise the app first.
    """
    return [
        f"(cd .. && {toolkit_command(cloud.account, cloud.region)})",
        f"python -m pipeline.bootstrap --env {environment}",
    ]
