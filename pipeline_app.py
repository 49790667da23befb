"""The CDK app: the pipeline with all environments, or one environment with ``-c environmentSuffix=NAME``.

    cdk synth                                   the pipeline, every environment, and the local engine's plan.json
    cdk deploy                                  the pipeline, which deploys the environments
    cdk deploy -c environmentSuffix=staging     only the stack of staging
    cdk deploy -c environmentSuffix=pr42        an ephemeral environment with dev's settings

This module reads ``cdk.json`` itself, so that tests and ``python pipeline_app.py`` use the same flags as the CDK CLI.
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
from names import PIPELINE as PIPELINE_STACK
from pipeline.bootstrap import rds_roots
from pipeline.compliance.acknowledgements import load
from pipeline.compliance.validation import enforce

CDK_JSON = Path(__file__).parent / "cdk.json"


def create_app(*, context: Mapping[str, Any] | None = None, outdir: str | None = None, **options: Any) -> cdk.App:
    """The app, ready to synthesise into ``outdir`` (default: the CDK CLI's ``CDK_OUTDIR``, else ``cdk.out``).

    Raises ``ValueError`` for a region without known root certificates of Amazon RDS.

    ``context`` adds to that of ``cdk.json``, as the CLI's ``-c`` does; ``options`` are further ``cdk.App`` properties.
    """
    app = cdk.App(
        context={**committed_context(), **(context or {})},
        outdir=outdir or os.environ.get("CDK_OUTDIR", "cdk.out"),
        analytics_reporting=False,
        # Tests and pipeline run cfn-lint. CDK's own port of it takes longer than the rest of the synthesis.
        builtin_cloud_formation_validation=False,
        # Stack traces contain Python's frames only when this variable is set.
        stack_traces="JSII_HOST_STACK_TRACES" in os.environ,
        **options,
    )
    suffix = app.node.try_get_context("environmentSuffix")
    environments = [environment(suffix)] if suffix else list(PROMOTION_ORDER)
    for region in {each.region for each in environments if each.region}:
        rds_roots.require(region)
    if suffix:
        _one_environment(app, *environments)
    else:
        _promotion(app)
    enforce(app, load(), today=date.today())
    return app


def committed_context() -> dict[str, Any]:
    """The context of ``cdk.json`` and the CLI's additions, so that every way to synthesise gives the same template."""
    return {
        **json.loads(CDK_JSON.read_text())["context"],
        "aws:cdk:enable-path-metadata": True,
    }


def _one_environment(app: cdk.App, environment: Environment) -> None:
    """Create one stack under a plain construct with the id of the promotion's stage. The construct paths are the same,
    and the stack belongs to the app, so that the CLI selects it without its name."""
    from stages.platform_stack import PlatformStack
    from stages.platform_stage import STACK_ID

    PlatformStack(Construct(app, _stage_id(environment)), STACK_ID, environment=environment)


def _promotion(app: cdk.App) -> None:
    """Create the stages under the app and not under the pipeline's stack, which the construct paths would contain."""
    from pipeline.definition import declare_promotion
    from pipeline.local.plan import LocalPlan
    from pipeline.stack import PipelineStack
    from pipeline.steps import Synth
    from stages.platform_stage import PlatformStage

    platforms = {each: PlatformStage(app, _stage_id(each), environment=each) for each in PROMOTION_ORDER}
    PipelineStack(app, PIPELINE_STACK, settings=PIPELINE, platforms=platforms)
    plan = LocalPlan(app, "LocalPlan", synth=Synth())
    declare_promotion(plan, platforms)
    plan.build_pipeline()


def _stage_id(environment: Environment) -> str:
    return environment.name.capitalize()


if __name__ == "__main__":
    try:
        app = create_app()
    except ValueError as error:  # a setting, a name or an acknowledgement is wrong: the message says what to do
        sys.exit(f"pipeline_app.py: {error}")
    app.synth()
