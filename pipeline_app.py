"""The CDK app: the pipeline with all environments, or with ``-c environmentSuffix=NAME`` one environment alone.

    cdk synth                                   the pipeline, every environment, and the local engine's plan.json
    cdk deploy                                  the pipeline alone, which deploys the environments
    cdk deploy -c environmentSuffix=staging     that environment's stack alone
    cdk deploy -c environmentSuffix=pr42        an ephemeral environment with dev's settings

``cdk.json`` is read here, not only by the CDK CLI, so that the tests and ``python pipeline_app.py`` see the same flags.
"""

import json
import os
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from constructs import Construct

from environments import PIPELINE, PROMOTION_ORDER, Environment, environment
from pipeline.compliance.acknowledgements import load
from pipeline.compliance.validation import enforce

CDK_JSON = Path(__file__).parent / "cdk.json"


def create_app(*, context: Mapping[str, Any] | None = None, outdir: str | None = None, **options: Any) -> cdk.App:
    """The app, ready to synthesise into ``outdir`` (default: where the CDK CLI says, else ``cdk.out``).

    ``context`` adds to that of ``cdk.json``, as the CLI's ``-c`` does; ``options`` are further ``cdk.App`` properties.
    """
    app = cdk.App(
        context={**committed_context(), **(context or {})},
        outdir=outdir or os.environ.get("CDK_OUTDIR", "cdk.out"),
        analytics_reporting=False,
        # cfn-lint checks the templates in tests and pipeline: CDK's own port of it takes longer than all the rest.
        builtin_cloud_formation_validation=False,
        # Traces are of use with Python's frames in them, which they have only under this variable.
        stack_traces="JSII_HOST_STACK_TRACES" in os.environ,
        **options,
    )
    suffix = app.node.try_get_context("environmentSuffix")
    if suffix:
        _one_environment(app, environment(suffix))
    else:
        _promotion(app)
    enforce(app, load(), today=date.today())
    return app


def committed_context() -> dict[str, Any]:
    """The context of ``cdk.json`` with what the CLI adds to it, so that every way to synthesise gives one template."""
    return {
        **json.loads(CDK_JSON.read_text())["context"],
        "aws:cdk:enable-path-metadata": True,
    }


def _one_environment(app: cdk.App, environment: Environment) -> None:
    """A plain construct stands where the promotion has a stage: the construct paths are the same, yet the stack is the
    app's own, so that the CLI selects it without being told its name."""
    from stages.platform_stack import PlatformStack
    from stages.platform_stage import STACK_ID

    PlatformStack(Construct(app, _stage_id(environment)), STACK_ID, environment=environment)


def _promotion(app: cdk.App) -> None:
    """Stages stand under the app, not under the pipeline's stack, so that no construct path of a platform names it."""
    from pipeline.definition import declare_promotion
    from pipeline.local.plan import LocalPlan
    from pipeline.stack import STACK_NAME, PipelineStack
    from pipeline.steps import Synth
    from stages.platform_stage import PlatformStage

    platforms = {each: PlatformStage(app, _stage_id(each), environment=each) for each in PROMOTION_ORDER}
    PipelineStack(app, STACK_NAME, settings=PIPELINE, platforms=platforms)
    plan = LocalPlan(app, "LocalPlan", synth=Synth())
    declare_promotion(plan, platforms)
    plan.build_pipeline()


def _stage_id(environment: Environment) -> str:
    return environment.name.capitalize()


if __name__ == "__main__":
    try:
        app = create_app()
    except ValueError as error:  # of a setting, a name, or the table of acknowledgements: it says what to do
        sys.exit(f"pipeline_app.py: {error}")
    app.synth()
