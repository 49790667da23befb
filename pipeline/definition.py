"""The promotion path, declared once. Engines (AWS CodePipeline, the local plan) turn it into something that runs."""

from collections.abc import Mapping

from aws_cdk import aws_sns as sns
from aws_cdk import pipelines

from pipeline.environments import Environment
from pipeline.steps import Approval, BlueGreenShift, LoadGate
from stages.platform_stage import PlatformStage


def declare_promotion(
    pipeline: pipelines.PipelineBase,
    platforms: Mapping[Environment, PlatformStage],
    *,
    notices: sns.ITopic | None = None,
) -> None:
    """Add every environment to ``pipeline`` in the mapping's order: approve where asked, deploy, gate, shift.

    ``notices`` hears of waiting approvals on engines that can publish to it.
    """
    for environment, stage in platforms.items():
        outputs = stage.platform.outputs
        pipeline.add_stage(
            stage,
            pre=[Approval(environment=environment, notices=notices)] if environment.requires_approval else [],
            post=pipelines.Step.sequence(
                [
                    LoadGate(environment=environment, outputs=outputs),
                    BlueGreenShift(environment=environment, outputs=outputs),
                ]
            ),
        )
