"""The promotion path, declared once. Engines (AWS CodePipeline, the local plan) turn it into something that runs."""

from collections.abc import Mapping

from aws_cdk import aws_sns as sns
from aws_cdk import pipelines

from environments import Environment
from pipeline.steps import Approval, Archive, BlueGreenShift, Evidence, LoadGate
from stages.platform_stage import PlatformStage


def declare_promotion(
    pipeline: pipelines.PipelineBase,
    platforms: Mapping[Environment, PlatformStage],
    *,
    notices: sns.ITopic | None = None,
    archive: Archive | None = None,
) -> None:
    """Add every environment to ``pipeline`` in the mapping's order: approve where asked, deploy, gate, shift, and keep
    the evidence.

    ``notices`` hears of waiting approvals on engines that can publish to it; ``archive`` is for those on AWS.
    """
    for environment, stage in platforms.items():
        outputs = stage.platform.outputs
        gate = LoadGate(environment=environment, outputs=outputs)
        shift = BlueGreenShift(environment=environment, outputs=outputs)
        evidence = Evidence(environment=environment, assembly=pipeline.synth, gate=gate, shift=shift, archive=archive)
        pipeline.add_stage(
            stage,
            pre=[Approval(environment=environment, notices=notices)] if environment.requires_approval else [],
            post=pipelines.Step.sequence([gate, shift, evidence]),
        )
