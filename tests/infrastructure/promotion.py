"""The whole app, pipeline and all environments, synthesised once for all tests."""

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pipeline_app
from environments import DEV, PIPELINE, PROD, STAGING, MigrationSettings, MigrationSource, environment
from pipeline.assembly import top_level_stacks
from pipeline_app import create_app
from tests.shared import once

Template = dict[str, Any]


@dataclass(frozen=True)
class Assembly:
    """A cloud assembly on disk."""

    folder: Path

    def top_level_stacks(self) -> list[str]:
        """Names of the stacks from which the CDK CLI selects without an argument."""
        return [stack.name for stack in top_level_stacks(self.folder)]

    def template_files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.template.json"))

    def read(self, file: str | Path) -> Any:
        return json.loads((self.folder / file).read_text())


@cache
def promotion() -> Assembly:
    return _synthesised("promotion")


@cache
def one_environment(name: str) -> Assembly:
    return _synthesised(name, environmentSuffix=name)


@cache
def with_load_workers() -> Assembly:
    """Dev alone, with two Fargate workers for its load gate."""
    with patch.object(pipeline_app, "environment", lambda name: replace(environment(name), load_workers=2)):
        return _synthesised("load-workers", environmentSuffix="dev")


@cache
def with_migration() -> Assembly:
    """Dev alone, to which another system moves by AWS DMS."""
    source = MigrationSource(
        secret_arn="arn:aws:secretsmanager:us-east-1:111122223333:secret:old-system-AbCdEf",
        key_arn="arn:aws:kms:us-east-1:111122223333:key/0d4e1b6e-0000-4000-8000-000000000000",
        network="10.20.0.0/16",
    )
    settings = MigrationSettings(migration_source=source)
    with patch.object(pipeline_app, "environment", lambda name: replace(environment(name), migration=settings)):
        return _synthesised("migration", environmentSuffix="dev")


@cache
def with_cut_over() -> Assembly:
    """Dev alone, from which clients of an old system move."""
    return _synthesised(
        "cut-over",
        environmentSuffix="dev",
        migration="on",
        cutOver="Z0123456789ABC,payments.example.com,old.example.com,new.example.com",
    )


@cache
def elsewhere() -> Assembly:
    """The app with a company's settings: its own accounts and regions, and every option set in prod. Dev is in another
    region than the pipeline."""
    regions = ("eu-central-1", "eu-west-1", "eu-west-1")
    accounts = ("111122223333", "444455556666", "777788889999")
    prod = replace(PROD, retain_data=True, audit_lock_days=365, alb_certificate_verified=True)
    order = [
        replace(each, account=account, region=region)
        for each, account, region in zip((DEV, STAGING, prod), accounts, regions, strict=True)
    ]
    settings = replace(PIPELINE, account="000011112222", region="eu-west-1")
    with patch.object(pipeline_app, "PROMOTION_ORDER", order), patch.object(pipeline_app, "PIPELINE", settings):
        return _synthesised("elsewhere")


def pipeline_template() -> Template:
    template: Template = promotion().read("payment-pipeline.template.json")
    return template


def resources(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    """The properties of the resources of type ``kind``, by logical id."""
    return {
        id: resource.get("Properties", {}) for id, resource in template["Resources"].items() if resource["Type"] == kind
    }


def _synthesised(name: str, **context: str) -> Assembly:
    def synthesise(folder: Path) -> None:
        create_app(context=context, outdir=str(folder), tree_metadata=False).synth()

    return Assembly(once(name, synthesise))
