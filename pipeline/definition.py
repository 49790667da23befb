"""The promotion path, declared once. The engines (AWS CodePipeline, the local plan) translate it."""

from collections.abc import Mapping

from aws_cdk import aws_sns as sns
from aws_cdk import pipelines

from environments import Environment
from pipeline.steps import Approval, Archive, BlueGreenShift, CollectEvidence, EvidenceSource, LoadGate
from stages.platform_stage import PlatformStage


def declare_promotion(
    pipeline: pipelines.PipelineBase,
    platforms: Mapping[Environment, PlatformStage],
    *,
    notices: sns.ITopic | None = None,
    archive: Archive | None = None,
) -> None:
    """Add every environment to ``pipeline`` in the mapping's order: approve if required, deploy, gate, shift, keep the
    evidence.

    Engines on AWS pass two options: ``notices`` gets a message for each waiting approval, ``archive`` keeps evidence.
    """
    for environment, stage in platforms.items():
        outputs = stage.platform.outputs
        evidence = EvidenceSource.of(pipeline.synth, archive)
        gate = LoadGate(environment=environment, outputs=outputs, evidence=evidence)
        shift = BlueGreenShift(environment=environment, outputs=outputs, gate=gate, evidence=evidence)
        collect = CollectEvidence(environment=environment, gate=gate, shift=shift, evidence=evidence)
        pipeline.add_stage(
            stage,
            pre=[Approval(environment=environment, notices=notices)] if environment.requires_approval else [],
            post=pipelines.Step.sequence([gate, shift, collect]),
        )
