"""The preflight against the local cloud: what it can ask there is in order, and the rest is said to be unknown."""

import json
import subprocess
import sys
from pathlib import Path

from environments import DEV
from tests.integration.conftest import Platform


def test_the_account_of_a_deployed_platform_is_in_order(platform: Platform, tmp_path: Path) -> None:
    # Given dev's platform and the assembly that it was synthesised to
    (tmp_path / "cdk.out").symlink_to(platform.assembly)
    # When the preflight asks for dev
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.bootstrap", "--check", "--env", DEV.name, "--json"],
        cwd=tmp_path, env=platform.environ, capture_output=True, text=True,
    )  # fmt: skip
    # Then nothing stops a deployment
    assert done.returncode == 0, done.stdout + done.stderr
    statuses = {each["name"]: each["status"] for each in json.loads(done.stdout)["checks"]}
    assert {name for name, status in statuses.items() if status == "ok"} >= {
        "account", "RDS root certificates", "Aurora", "zones for VPC links", "Lambda concurrency", "firewall capacity",
        "certificate",
    }  # fmt: skip


def test_a_question_that_the_local_cloud_does_not_know_is_said_to_be_unknown(
    platform: Platform, tmp_path: Path
) -> None:
    # The quotas of VPCs and addresses are asked only where there is no stack yet.
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.bootstrap", "--check", "--env", "pr9"],
        cwd=tmp_path, env=platform.environ, capture_output=True, text=True,
    )  # fmt: skip
    lines = {line.split("  ")[1].strip(): line for line in done.stdout.splitlines() if line.startswith("pr9")}
    assert "UNKNOWN  not known here" in lines["VPCs"], done.stdout + done.stderr
    # And what a new environment lacks is named with the command that makes it
    assert done.returncode == 1
    assert "FAILED" in lines["certificate"]
    assert "-> python -m pipeline.bootstrap --env pr9" in done.stdout
