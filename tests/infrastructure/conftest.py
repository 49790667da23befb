"""Each environment's platform, synthesised once for the whole session."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from aws_cdk import App

from environments import DEV, PROMOTION_ORDER, Environment, environment
from stages.platform_stage import PlatformStage
from tests.infrastructure.platform_template import PlatformTemplate
from tests.shared import once

ROOT = Path(__file__).resolve().parents[2]

EPHEMERAL = environment("pr42")
KEEPING = replace(
    DEV,
    name="keeping",
    availability_zones=("us-east-1a", "us-east-1c", "us-east-1d"),
    retain_data=True,
    audit_lock_days=365,
    admin_rotation="rds",
    audit_glacier_days=None,
    alb_certificate_verified=True,
    four_eyes=True,
    release=replace(DEV.release, watchdog=False),
)
"""An environment with the settings that no promoted environment uses."""


@pytest.fixture(scope="session")
def platforms() -> Mapping[str, PlatformTemplate]:
    """The templates by the environment's name: dev, staging, prod, an ephemeral one, and ``keeping``."""
    environments = (*PROMOTION_ORDER, EPHEMERAL, KEEPING)

    def synthesise(folder: Path) -> None:
        app = _app(folder)
        for each in environments:
            _stage(app, each)
        app.synth()

    folder = once("platforms", synthesise)
    files = {each.name: folder.glob(f"assembly-{each.name.capitalize()}/*.template.json") for each in environments}
    return {name: PlatformTemplate(*found, name) for name, found in files.items()}


@pytest.fixture(scope="session", params=[each.name for each in PROMOTION_ORDER])
def platform(request: pytest.FixtureRequest, platforms: Mapping[str, PlatformTemplate]) -> PlatformTemplate:
    """Each promoted environment's template in turn."""
    return platforms[request.param]


@pytest.fixture
def dev(platforms: Mapping[str, PlatformTemplate]) -> PlatformTemplate:
    return platforms["dev"]


@pytest.fixture(scope="session")
def verifying_dev(tmp_path_factory: pytest.TempPathFactory) -> PlatformTemplate:
    """Dev as it is, except that API Gateway verifies the load balancer's certificate."""
    return synthesised(replace(DEV, alb_certificate_verified=True), tmp_path_factory.mktemp("verifying"))


def synthesised(environment: Environment, folder: Path) -> PlatformTemplate:
    """The platform of ``environment``, alone."""
    stage = _stage(_app(folder), environment)
    return PlatformTemplate(Path(_template_file(stage)), environment.name)


def _app(folder: Path) -> App:
    return App(
        outdir=str(folder),
        context=json.loads((ROOT / "cdk.json").read_text())["context"],
        # Nothing of this is looked at here, and it takes most of the time.
        tree_metadata=False,
        stack_traces=False,
        builtin_cloud_formation_validation=False,
        analytics_reporting=False,
    )


def _stage(app: App, environment: Environment) -> PlatformStage:
    return PlatformStage(app, environment.name.capitalize(), environment=environment)


def _template_file(stage: PlatformStage) -> str:
    return stage.synth().get_stack_by_name(stage.platform.stack_name).template_full_path
