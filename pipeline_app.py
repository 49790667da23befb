"""The CDK app: the pipeline with all environments, or one environment with ``-c environmentSuffix=NAME``.

    cdk synth                                   the pipeline, every environment, and the local engine's plan.json
    cdk deploy                                  the pipeline, which deploys the environments
    cdk deploy -c environmentSuffix=staging     only the stack of staging
    cdk deploy -c environmentSuffix=pr42        an ephemeral environment with dev's settings
    cdk deploy -c environmentSuffix=pr42 -c migration=on    the same, ready for a rehearsal of the migration
    cdk deploy -c environmentSuffix=pr42 -c migration=on -c cutOver=ZONE,NAME,OLD_HOST,NEW_HOST    and of its cut-over

This module reads ``cdk.json`` itself, so that tests and ``python pipeline_app.py`` use the same flags as the CDK CLI.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from constructs import Construct

from environments import (
    PIPELINE,
    PROMOTION_ORDER,
    CutOverSettings,
    Environment,
    MigrationSettings,
    environment,
    sharing,
)
from names import PIPELINE as PIPELINE_STACK
from pipeline.bootstrap import rds_roots
from pipeline.compliance.acknowledgements import load
from pipeline.compliance.validation import enforce

TRACES = "JSII_HOST_STACK_TRACES"
"""The variable with which jsii keeps Python's frames."""
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
        stack_traces=TRACES in os.environ,
        **options,
    )
    suffix = app.node.try_get_context("environmentSuffix")
    environments = [environment(suffix)] if suffix else list(PROMOTION_ORDER)
    if suffix and app.node.try_get_context("migration") == "on":
        environments = [_moving(each, app.node.try_get_context("cutOver")) for each in environments]
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


def _moving(environment: Environment, cut_over: str | None) -> Environment:
    """``environment`` with the means of a migration. ``cut_over``: zone, name, old and new host, for a rehearsal."""
    migration = environment.migration or MigrationSettings()
    if cut_over:
        migration = replace(migration, cut_over=CutOverSettings.rehearsed(*cut_over.split(",")))
    return replace(environment, migration=migration)


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


def main() -> int:
    """Synthesise. Findings are told here, because CDK's own text repeats each rule for each environment and pack."""
    from pipeline.output import say
    from pipeline.review import NotCompared
    from pipeline.review.findings import REPORT, changed_lines, read
    from pipeline.review.findings.telling import tell

    try:
        app = create_app(context={"@aws-cdk/core:failSynthOnValidationErrors": False})
        if not app.node.try_get_context("environmentSuffix"):
            for warning in sharing(PROMOTION_ORDER, PIPELINE):
                say(f"Warning: {warning}.", sys.stderr)
    except ValueError as error:  # a setting, a name or an acknowledgement is wrong: the message says what to do
        say(f"pipeline_app.py: {error}", sys.stderr)
        return 1
    assembly = Path(app.synth().directory)
    try:
        if all(
            each["conclusion"] == "success" for each in json.loads((assembly / REPORT).read_text())["pluginReports"]
        ):
            return 0
        if TRACES not in os.environ:  # they cost time, and tell the line of a finding
            return subprocess.run([sys.executable, *sys.argv], env={**os.environ, TRACES: "1"}).returncode
        root = Path(__file__).resolve().parent
        repository = os.environ.get("SOURCE_REPOSITORY")
        changed = changed_lines(
            os.environ.get("CHANGED_SINCE", "HEAD~1"),
            os.environ.get("SOURCE_COMMIT") if repository else None,
            folder=root,
            repository=Path(repository) if repository else None,
        )
        say(tell(read(assembly / REPORT, root, changed), assembly), sys.stderr)
    except (NotCompared, OSError, ValueError, KeyError) as error:
        say(f"The findings of the synthesis can't be read ({error!r}): {assembly / REPORT}", sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
