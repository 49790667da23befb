"""The steps of the promotion. Each runs a command of this repository, the same on every engine and by hand.

A step knows its environment, and finds the platform by the outputs of the platform's stack. Role, report and time limit
are for CodeBuild; other engines ignore them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from aws_cdk import Aws, CfnOutput, Duration, pipelines
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

import names
from environments import Environment
from names import Build, Role
from pipeline import inspection
from pipeline.evidence.bundle import FOLDER as EVIDENCE
from pipeline.evidence.codepipeline import ASSEMBLY
from pipeline.evidence.reports import GATE_REPORTS

RUNTIMES = {"python": "3.13", "nodejs": "22"}
"""Of the builds."""
REPORT_NAME = "results"
"""CodeBuild puts a project's test results in the report group ``<project>-results``."""


def install_apart(requirements: str) -> list[str]:
    """Commands that install ``requirements/<requirements>.txt`` into ``.venv/<requirements>``: checkov and pip-audit
    pin other releases of packages that this project uses."""
    home = f".venv/{requirements}"
    return [
        f'uv venv --quiet --python "$(command -v python)" {home}',
        f"uv pip sync --quiet --python {home}/bin/python --require-hashes requirements/{requirements}.txt",
    ]


def install(requirements: str) -> list[str]:
    """Commands that install ``requirements/<requirements>.txt`` and check every file against its hash."""
    return [
        "pip install --quiet --require-hashes -r requirements/uv.txt",
        f"uv pip install --quiet --system --require-hashes -r requirements/{requirements}.txt",
        # CodeBuild's images run Python under pyenv, which finds new commands only after this.
        "if command -v pyenv >/dev/null; then pyenv rehash; fi",
    ]


def junit_report(directory: str, pattern: str) -> codebuild.BuildSpec:
    """The part of a build specification that puts JUnit files under ``directory`` into the project's report group."""
    report = {"base-directory": directory, "files": [pattern], "file-format": "JUNITXML"}
    return codebuild.BuildSpec.from_object({"version": "0.2", "reports": {REPORT_NAME: report}})


def or_evidence(command: str, name: str) -> str:
    """``command``. When it fails, the evidence of the failed release is kept, with the step's own credentials, and its
    exit code stays. No engine runs a further step then."""
    collect = f"env -u PLATFORM_ROLE_ARN python -m pipeline.evidence collect --env {name} --failed"
    return f"{command} || {{ code=$?; {collect} || true; (exit $code); }}"


class Synth(pipelines.CodeBuildStep):
    """Test the commit and synthesise its cloud assembly; a finding of a rule pack, of cfn-lint or checkov fails it.

    The results stay in the assembly, with those of the audit of advisories, which fails nothing (decision 0012).
    """

    def __init__(self, *, source: pipelines.IFileSetProducer | None = None) -> None:
        super().__init__(
            "Synth",
            input=source,
            install_commands=[
                *install("dev"),
                *install_apart("checkov"),
                *install_apart("audit"),
                "npm ci --no-audit --no-fund --omit=optional",
            ],
            commands=[
                "python -m pytest tests/unit --quiet --junitxml=reports/unit.junit.xml",
                "npx cdk synth --quiet",
                "cfn-lint --non-zero-exit-code warning 'cdk.out/**/*.template.json'",
                'PATH="$PATH:$PWD/.venv/checkov/bin" python -m pipeline.compliance.checkov',
                # An advisory appears without a commit, and its fix may be the very thing that waits for this promotion.
                'PATH="$PATH:$PWD/.venv/audit/bin" python -m pipeline.compliance.advisories'
                " --report reports/advisories.json || true",
                "python -m pipeline.evidence record --tests reports/unit.junit.xml"
                " --advisories reports/advisories.json --passed cfn-lint --passed checkov",
            ],
            primary_output_directory="cdk.out",
            project_name=names.SYNTH_PROJECT,
            partial_build_spec=junit_report("reports", "unit.junit.xml"),
        )


CHANGE = "PIPELINE"
"""The variable of the inspection that is ``changed`` or ``unchanged``: whether the assembly changes the pipeline."""


INSPECTION = '"${TMPDIR:-/tmp}/inspection"'
"""Where a build leaves what the inspection found: outside of the folder that becomes its output."""


def inspection_of(pipeline: str) -> str:
    """The command that inspects the assembly in the current folder. ``pipeline``: the name of its stack."""
    code = Path(inspection.__file__).read_text()
    return f"python3 -I - . {pipeline} > {INSPECTION} <<'END_OF_INSPECTION'\n{code}END_OF_INSPECTION"


class InspectAssembly(pipelines.CodeBuildStep):
    """Check that the assembly of ``synth`` has nothing that its readers would execute, and hand it on.

    The code is a part of the deployed pipeline, so a commit can't change how it is inspected itself. Later steps use
    this step's output, which the synthesis, running the commit's code, can't write. Only for engines on AWS: the local
    engine inspects by itself.
    """

    def __init__(self, *, synth: Synth, commit: str, pipeline: str, regions: Iterable[str] = ()) -> None:
        """``commit``: the variable with its id. ``pipeline``: the name of its stack. ``regions``: those with a stack of
        artifacts of their own."""
        super().__init__(
            "Inspect",
            input=synth,
            commands=[
                inspection_of(pipeline),
                f'echo "commit $COMMIT" && cat {INSPECTION}',
                f"export ASSEMBLY=$(sed -n 's/^assembly //p' {INSPECTION})",
                f"export {CHANGE}=$(sed -n 's/^pipeline //p' {INSPECTION})",
            ],
            env={"COMMIT": commit},
            primary_output_directory=".",
            project_name=names.INSPECTION_PROJECT,
            role_policy_statements=[self.reads(pipeline, regions)],
            timeout=Duration.minutes(15),
        )
        self.assembly_digest = self.exported_variable("ASSEMBLY")
        """The digest that the inspection gave the assembly, as a variable of the execution."""
        self.exported_variable(CHANGE)

    @staticmethod
    def reads(pipeline: str, regions: Iterable[str]) -> iam.PolicyStatement:
        """The permission to read the deployed templates of the pipeline."""
        stacks = {Aws.REGION: pipeline, **{region: f"{names.REGIONAL_ARTIFACTS}{region}" for region in regions}}
        return iam.PolicyStatement(
            actions=["cloudformation:GetTemplate"],
            resources=[
                f"arn:{Aws.PARTITION}:cloudformation:{region}:{Aws.ACCOUNT_ID}:stack/{stack}/*"
                for region, stack in stacks.items()
            ],
        )


def execution_variables(pipeline: str, assembly_digest: str) -> dict[str, str]:
    """With which a build asks CodePipeline about its own execution, and knows what this one is about."""
    return {
        "PIPELINE_NAME": pipeline,
        "PIPELINE_EXECUTION_ID": codepipeline.GlobalVariables.EXECUTION_ID,
        "ASSEMBLY_DIGEST": assembly_digest,
    }


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The bucket in which an AWS pipeline keeps the evidence of one environment, and the key that signs it."""

    pipeline: str
    """The pipeline's name, needed to ask CodePipeline for the approver."""
    bucket: s3.IBucket
    signing_key: kms.IKey
    assembly_digest: str
    """The digest of the assembly as the inspection found it. The execution remembers it, and no step can change it."""

    @property
    def variables(self) -> dict[str, str]:
        return {
            **execution_variables(self.pipeline, self.assembly_digest),
            "EVIDENCE_BUCKET": self.bucket.bucket_name,
            "EVIDENCE_KEY_ARN": self.signing_key.key_arn,
        }

    def statements(self, environment: str) -> list[iam.PolicyStatement]:
        """The permissions of the step that adds evidence of one environment."""
        pipeline = f"arn:{Aws.PARTITION}:codepipeline:{Aws.REGION}:{Aws.ACCOUNT_ID}:{self.pipeline}"
        bundles = self.bucket.arn_for_objects(f"{EVIDENCE}/{environment}/*")
        allowed = {
            "s3:PutObject": bundles,
            # To compare the checksum, when a retry finds the object of the first attempt.
            "s3:GetObject": bundles,
            "kms:Sign": self.signing_key.key_arn,
            "codepipeline:GetPipelineState": pipeline,
            "codepipeline:GetPipelineExecution": pipeline,
            "codepipeline:ListActionExecutions": pipeline,
        }
        return [iam.PolicyStatement(actions=[action], resources=[arn]) for action, arn in allowed.items()]


@dataclass(frozen=True, kw_only=True)
class EvidenceSource:
    """What a step needs to keep evidence.

    ``inputs``: the outputs of earlier steps, by folder. With an ``archive``, a bundle is signed and kept there. Without
    one, the engine keeps it itself.
    """

    inputs: Mapping[str, pipelines.IFileSetProducer]
    archive: Archive | None

    @classmethod
    def of(cls, assembly: pipelines.IFileSetProducer, archive: Archive | None) -> "EvidenceSource":
        return cls(inputs={str(ASSEMBLY): assembly}, archive=archive)


class PlatformStep(pipelines.CodeBuildStep):
    """A command against a deployed platform, under roles of its account that only this step may assume.

    The step's output is the folder of the command's reports. When the command fails, the step itself keeps the evidence
    of the release.
    """

    def __init__(
        self,
        name: str,
        *,
        environment: Environment,
        build: Build,
        command: str,
        evidence: EvidenceSource,
        roles: Mapping[str, CfnOutput],
        assumed: Sequence[Role],
        minutes: float,
        report: str | None = None,
    ) -> None:
        """``roles``: environment variables, each with the stack output that holds a role's ARN. ``assumed``:
        those roles. ``report``: JUnit file in ``reports/<environment>``."""
        account = environment.account or Aws.ACCOUNT_ID
        self._role_name = build.role(environment.name)
        super().__init__(
            name,
            install_commands=install("loadtest"),
            additional_inputs=evidence.inputs,
            commands=[or_evidence(command, environment.name)],
            env=evidence.archive.variables if evidence.archive else {},
            env_from_cfn_outputs=roles,
            primary_output_directory=f"reports/{environment.name}",
            project_name=build.of(environment.name),
            partial_build_spec=junit_report(f"reports/{environment.name}", report) if report else None,
            role_policy_statements=[
                iam.PolicyStatement(
                    actions=["sts:AssumeRole"],
                    resources=[
                        f"arn:{Aws.PARTITION}:iam::{account}:role/{role.of(environment.name)}" for role in assumed
                    ],
                ),
                *(evidence.archive.statements(environment.name) if evidence.archive else []),
            ],
            timeout=Duration.minutes(round(minutes)),
        )

    def name_role(self) -> None:
        """Give the build's role the name by which the environment's roles trust it. For an engine that is built."""
        role = cast(iam.IRole, self.project.role)
        cast(iam.CfnRole, role.node.default_child).role_name = self._role_name


class LoadGate(PlatformStep):
    """Measure the candidate under load before it gets production traffic. Fails when the candidate is too slow."""

    def __init__(self, *, environment: Environment, outputs: Mapping[str, CfnOutput], evidence: EvidenceSource) -> None:
        name, workers, gate = environment.name, environment.load_workers, environment.gate
        command, output, role, minutes = (
            f"python -m loadtest.gate --env {name}",
            "LoadTestRoleArn",
            Role.LOAD_TEST,
            15 + gate.duration_seconds / 60,
        )
        if workers:
            command, output, role, minutes = (
                f"python -m loadtest.fargate --env {name} --workers {workers}",
                "LoadRunnerRoleArn",
                Role.LOAD_RUNNER,
                30 + gate.max_seconds / 60,
            )
        super().__init__(
            "LoadGate",
            environment=environment,
            build=Build.LOAD_GATE,
            command=command,
            evidence=evidence,
            roles={"PLATFORM_ROLE_ARN": outputs[output]},
            assumed=[role],
            minutes=minutes,
            report="gate.junit.xml",
        )


class BlueGreenShift(PlatformStep):
    """Shift production traffic to the candidate in steps. The first alarm returns it to the stable version.

    Synthetic traffic runs at the same time, so that every step has data to judge. The traffic uses the load test's
    role; the shift uses the release role.
    """

    def __init__(
        self, *, environment: Environment, outputs: Mapping[str, CfnOutput], gate: LoadGate, evidence: EvidenceSource
    ) -> None:
        name = environment.name
        shift = f"env PLATFORM_ROLE_ARN=$RELEASE_ROLE_ARN python -m pipeline.release shift --env {name}"
        super().__init__(
            "BlueGreenShift",
            environment=environment,
            build=Build.SHIFT,
            command=f"python -m loadtest.traffic --env {name} -- {shift}",
            evidence=replace(evidence, inputs={**evidence.inputs, str(GATE_REPORTS): gate}),
            roles={"PLATFORM_ROLE_ARN": outputs["LoadTestRoleArn"], "RELEASE_ROLE_ARN": outputs["ReleaseRoleArn"]},
            assumed=[Role.LOAD_TEST, Role.RELEASE],
            minutes=environment.release.build_minutes,
        )


class CollectEvidence(pipelines.CodeBuildStep):
    """Keep the evidence of a release: findings, gate, shift, approval, templates. Runs after a successful shift."""

    ID = "Evidence"

    def __init__(
        self, *, environment: Environment, gate: LoadGate, shift: BlueGreenShift, evidence: EvidenceSource
    ) -> None:
        name, archive = environment.name, evidence.archive
        super().__init__(
            self.ID,
            # CodePipeline copies each input into a folder that must not exist yet.
            additional_inputs={**evidence.inputs, f"reports/{name}/gate": gate, f"reports/{name}/shift": shift},
            install_commands=install("loadtest"),
            commands=[f"python -m pipeline.evidence collect --env {name}"],
            env=archive.variables if archive else {},
            project_name=names.resource("evidence", name),
            role_policy_statements=archive.statements(name) if archive else [],
            timeout=Duration.minutes(15),
        )
