"""The steps of an approval: the summary of what it lets in, the question, and the check of who has answered.

Only the question is for every engine. The local one sums up and checks by itself. docs/approvals.md shows all of it.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aws_cdk import Aws, Duration, pipelines
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns

import names
from environments import Environment
from pipeline import approver, predecessor
from pipeline.steps import (
    BlueGreenShift,
    CollectEvidence,
    EvidenceSource,
    LoadGate,
    execution_variables,
    install,
)


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How an engine on AWS asks a person: who gets a message, and what the question says about the change."""

    pipeline: str
    """The pipeline's name, needed to ask CodePipeline what an environment runs."""
    notices: sns.ITopic
    commit: str
    """The variable with its id."""
    assembly_digest: str
    """As the inspection found it."""
    comparison: str
    """The address of the commits between two, ``BEFORE`` and ``AFTER``, or nothing."""
    addresses: Mapping[str, Sequence[str]] | None = None
    """Of the people who approve, if an author may not."""

    @property
    def about(self) -> str:
        return f"Commit {self.commit}, assembly {self.assembly_digest}."

    @property
    def variables(self) -> dict[str, str]:
        """Of a build that sums up."""
        return execution_variables(self.pipeline, self.assembly_digest)


SUMMARY = '"${TMPDIR:-/tmp}/summary"'
"""Where the build of a summary works: outside of the commit that waits, whose files are data to it."""


def summarised(environment: Environment, *, comparison: str, proven_in: str = "") -> list[str]:
    """Commands that write the summary for an approval into the folder ``approval``, and its few words into variables.

    They stand in the deployed pipeline, and what they run is the code that ``environment`` runs, which a person has let
    in. ``comparison``: as in ``Asking``. ``proven_in``: the environment whose reports are there, if any.
    """
    settings = {
        "STAGE": environment.name.capitalize(),
        "LAST": CollectEvidence.ID,
        "PROVEN_IN": proven_in,
        "COMPARE": comparison,
        "INSPECTION_PROJECT": names.INSPECTION_PROJECT,
    }
    given = " ".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())
    code = Path(predecessor.__file__).read_text()
    write = f"python -m pipeline.change {SUMMARY}/facts.json {SUMMARY}/brief > {SUMMARY}/change.txt"
    return [
        f"env {given} python3 -I - {SUMMARY} <<'END_OF_PREDECESSOR'\n{code}END_OF_PREDECESSOR",
        f"[ ! -f {SUMMARY}/facts.json ] || ( cd {SUMMARY}/source && {' && '.join([*install('dev'), write])} )"
        " || echo 'The summary has failed.'",
        f"rm -rf approval && mkdir approval && cat {SUMMARY}/brief && cp {SUMMARY}/brief approval/brief.txt",
        f"[ ! -f {SUMMARY}/change.txt ] || {{ cat {SUMMARY}/change.txt && cp {SUMMARY}/change.txt approval/; }}",
        f"export {SAID}=$(head -c 450 {SUMMARY}/brief)",
        f"export {PAGE}=$CODEBUILD_BUILD_URL",
    ]


SAID, PAGE = "SUMMARY", "SUMMARY_PAGE"
"""The variables of a summary: its few words, and the page of the build that has printed the whole."""


def asks_the_pipeline(pipeline: str, *questions: str) -> iam.PolicyStatement:
    """The permission to read what executions have done."""
    return iam.PolicyStatement(
        actions=[f"codepipeline:{each}" for each in questions],
        resources=[f"arn:{Aws.PARTITION}:codepipeline:{Aws.REGION}:{Aws.ACCOUNT_ID}:{pipeline}"],
    )


class Summary(pipelines.CodeBuildStep):
    """Sum up what the approval of the next environment lets in. Only for engines on AWS: the local engine does it by
    itself.

    It ends the stage before, because no build may stand before the approval in production's own stage. The build can
    read the commits and assemblies of former executions, because their folders are those of its inputs.
    """

    def __init__(
        self,
        *,
        of: Environment,
        after: Environment,
        asking: Asking,
        gate: LoadGate,
        shift: BlueGreenShift,
        evidence: EvidenceSource,
    ) -> None:
        """``after``: the environment of the stage, of ``gate`` and of ``shift``."""
        self.after = after.name
        super().__init__(
            "Summary",
            additional_inputs={
                **evidence.inputs,
                f"reports/{after.name}/gate": gate,
                f"reports/{after.name}/shift": shift,
            },
            commands=summarised(of, comparison=asking.comparison, proven_in=after.name),
            env=asking.variables,
            primary_output_directory="approval",
            project_name=names.resource("summary", of.name),
            role_policy_statements=[
                asks_the_pipeline(asking.pipeline, "ListActionExecutions", "ListPipelineExecutions")
            ],
            timeout=Duration.minutes(15),
        )
        self.said, self.page = self.exported_variable(SAID), self.exported_variable(PAGE)


class Approval(pipelines.ManualApprovalStep):
    """A person decides whether the commit is promoted to ``environment``. The step is named ``PromoteToProd``, say.

    It stands between the environment's change set and its execution.
    """

    def __init__(
        self, *, environment: Environment, asking: Asking | None = None, summary: Summary | None = None
    ) -> None:
        name = environment.name
        super().__init__(
            f"PromoteTo{name.capitalize()}",
            comment=" ".join(
                [
                    f"Gate and shift have passed in every environment before {name}, and the change set of"
                    f" {environment.stack_name} is made. Approve to execute it.",
                    *([asking.about] if asking else []),
                    *([f"When {summary.after} was done: {summary.said} All of it: {summary.page}"] if summary else []),
                ]
            ),
            notification_topic=asking.notices if asking else None,
        )


def another_approved(*, stage: str, pipeline: str, addresses: Mapping[str, Sequence[str]]) -> str:
    """The command that fails if the author has approved in ``stage``. It stands in the deployed pipeline."""
    given = f"PIPELINE_NAME={shlex.quote(pipeline)} ADDRESSES={shlex.quote(json.dumps(dict(addresses)))}"
    code = Path(approver.__file__).read_text()
    return f"env {given} python3 -I - {stage} <<'END_OF_APPROVER'\n{code}END_OF_APPROVER"


class AnotherApproved(pipelines.CodeBuildStep):
    """Fail between approval and deployment if the author of the commit has approved it. Only for engines on AWS: the
    local engine does not take such an approval."""

    def __init__(self, *, environment: Environment, asking: Asking, approval: Approval) -> None:
        command = another_approved(
            stage=environment.name.capitalize(), pipeline=asking.pipeline, addresses=asking.addresses or {}
        )
        super().__init__(
            "AnotherApproved",
            commands=[command],
            env={"PIPELINE_EXECUTION_ID": codepipeline.GlobalVariables.EXECUTION_ID},
            project_name=names.resource("another-approved", environment.name),
            role_policy_statements=[asks_the_pipeline(asking.pipeline, "ListActionExecutions")],
            timeout=Duration.minutes(15),
        )
        self.add_step_dependency(approval)
