"""The promotion path, declared once. The engines (AWS CodePipeline, the local plan) translate it."""

from collections.abc import Callable, Mapping
from itertools import zip_longest

from aws_cdk import pipelines

from environments import Environment
from pipeline.approvals import AnotherApproved, Approval, Asking, Summary
from pipeline.steps import Archive, BlueGreenShift, CollectEvidence, EvidenceSource, LoadGate
from stages.platform_stage import PlatformStage


def declare_promotion(
    pipeline: pipelines.PipelineBase,
    platforms: Mapping[Environment, PlatformStage],
    *,
    asking: Asking | None = None,
    archive: Callable[[Environment], Archive | None] = lambda environment: None,
) -> None:
    """Add every environment to ``pipeline`` in the mapping's order: prepare a change set, ask for approval if required,
    deploy, gate, shift, keep the evidence.

    Engines on AWS pass two options: ``asking``, with which the stage before the last ends with a summary for its
    approval, and the ``archive`` of each environment's evidence.
    """
    production, summary = list(platforms)[-1], None
    for environment, following in zip_longest(platforms, list(platforms)[1:]):
        stage = platforms[environment]
        outputs = stage.platform.outputs
        evidence = EvidenceSource.of(pipeline.synth, archive(environment))
        gate = LoadGate(environment=environment, outputs=outputs, evidence=evidence)
        shift = BlueGreenShift(environment=environment, outputs=outputs, gate=gate, evidence=evidence)
        steps = [gate, shift, CollectEvidence(environment=environment, gate=gate, shift=shift, evidence=evidence)]
        asked: list[pipelines.Step] = []
        if environment.requires_approval:
            approval = Approval(environment=environment, asking=asking, summary=summary)
            asked = [approval]
            if asking and asking.addresses is not None:
                asked.append(AnotherApproved(environment=environment, asking=asking, approval=approval))
        summary = None
        # A build more needs its findings accepted, so the approval of an earlier environment is a setting without one.
        if asking and following is production and following.requires_approval:
            summary = Summary(of=following, after=environment, asking=asking, gate=gate, shift=shift, evidence=evidence)
        pipeline.add_stage(
            stage,
            # Between change set and execution, so that what is approved exists, and is what is executed.
            stack_steps=[pipelines.StackSteps(stack=stage.platform, change_set=asked)] if asked else None,
            post=pipelines.Step.sequence([*steps, *([summary] if summary else [])]),
        )
