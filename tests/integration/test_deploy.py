"""Deployment like CodePipeline's: only the differences are deployed, and an error names the resource."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from localcloud import LocalCloud
from pipeline.local.process import clean_environment

ROOT = Path(__file__).parents[2]


def deploy(
    cloud: LocalCloud, folder: Path, stack: str, resources: dict[str, Any], *half: str
) -> subprocess.CompletedProcess[str]:
    """Deploy a template with these resources from a cloud assembly. ``half``: option and file of a part of it."""
    template = folder / f"{stack}.template.json"
    outputs = {"Name": {"Value": {"Ref": next(iter(resources))}}}
    template.write_text(json.dumps({"Resources": resources, "Outputs": outputs}))
    bucket = f"cdk-hnb659fds-assets-{cloud.account}-{cloud.region}"
    destination = {"bucketName": bucket, "objectKey": f"{hashlib.sha256(template.read_bytes()).hexdigest()}.json"}
    source = {"path": template.name, "packaging": "file"}
    files = {"template": {"source": source, "destinations": {"here": destination}}}
    assets = folder / f"{stack}.assets.json"
    assets.write_text(json.dumps({"files": files}))
    return subprocess.run(
        [sys.executable, "-m", "pipeline.local.deploy", stack,
         "--template", str(template), "--assets", str(assets), "--outputs", str(folder / "outputs.json"), *half],
        cwd=ROOT, env={**clean_environment(), **cloud.environ()}, capture_output=True, text=True,
    )  # fmt: skip


def queue(name: str) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}}


def test_the_second_deployment_changes_only_the_difference(cloud: LocalCloud, tmp_path: Path) -> None:
    # Given a deployed stack
    first = deploy(cloud, tmp_path, "difference", {"One": queue("one")})
    assert first.stdout.splitlines()[-1] == "1 resources added, 0 modified, 0 removed", first.stdout
    assert "one" in json.loads((tmp_path / "outputs.json").read_text())["Name"]
    # When it is deployed with one more resource, and then again unchanged
    more = deploy(cloud, tmp_path, "difference", {"One": queue("one"), "Two": queue("two")})
    same = deploy(cloud, tmp_path, "difference", {"One": queue("one"), "Two": queue("two")})
    # Then only that one is added, and the last deployment does nothing
    assert more.stdout.splitlines()[-1] == "1 resources added, 0 modified, 0 removed", more.stdout
    assert same.stdout.splitlines()[-1] == "no changes", same.stdout


def test_a_change_set_is_executed_as_it_was_approved(cloud: LocalCloud, tmp_path: Path) -> None:
    # Given a deployed stack, and a change set with one more resource
    one, two = {"One": queue("approved")}, {"Two": queue("approved-two")}
    deploy(cloud, tmp_path, "approved", one)
    changes = tmp_path / "changes.json"
    prepared = deploy(cloud, tmp_path, "approved", one | two, "--prepare", str(changes))
    # Then it is told, and nothing has changed
    assert prepared.stdout.splitlines()[-1] == "1 resources to add, 0 to modify, 0 to remove", prepared.stdout
    assert json.loads(changes.read_text())["changes"] == [["Add", "Two"]]
    assert deploy(cloud, tmp_path, "approved", one).stdout.splitlines()[-1] == "no changes"
    # When another one would be made in its place, then that is refused
    another = deploy(cloud, tmp_path, "approved", one | {"Three": queue("three-instead")}, "--prepare", str(changes))
    assert another.returncode == 1
    assert "that is not what was approved, so promote again" in another.stdout
    # When it is executed, then that is done, and it can't be done again
    done = deploy(cloud, tmp_path, "approved", one | two, "--execute", str(changes))
    assert done.stdout.splitlines()[-1] == "1 resources added, 0 modified, 0 removed", done.stdout
    again = deploy(cloud, tmp_path, "approved", one | two, "--execute", str(changes))
    assert again.returncode == 1
    assert "promote again" in again.stdout


def test_a_template_that_the_cloud_cannot_take_is_refused_by_the_resource_name(
    cloud: LocalCloud, tmp_path: Path
) -> None:
    # Given a template with a resource that the local cloud can't make
    resources = {"One": queue("three"), "Robot": {"Type": "AWS::RoboMaker::Robot", "Properties": {}}}
    # When it is deployed
    refused = deploy(cloud, tmp_path, "refused", resources)
    # Then the message names it, and there is no traceback
    assert refused.returncode == 1
    assert "Robot" in refused.stdout
    assert "Traceback" not in refused.stdout + refused.stderr


def test_a_failure_is_named_however_much_is_rolled_back_after_it(cloud: LocalCloud, tmp_path: Path) -> None:
    # Given so many resources that the failure is not on the newest page of events, which has a hundred
    resources = {f"Queue{n}": queue(f"many-{n}") for n in range(60)}
    broken = queue("many") | {"DependsOn": list(resources)}
    broken["Properties"]["Colour"] = "blue"
    # When the last one can't be made, then the message names it
    failed = deploy(cloud, tmp_path, "many", resources | {"Broken": broken})
    assert failed.returncode == 1
    assert "AWS::SQS::Queue Broken" in failed.stdout.splitlines()[-1]


def test_a_first_deployment_that_failed_must_be_cleared_away_before_the_next(cloud: LocalCloud, tmp_path: Path) -> None:
    # Given a first deployment that failed and was rolled back
    broken = {"One": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "four", "Colour": "blue"}}}
    failed = deploy(cloud, tmp_path, "again", broken)
    assert failed.returncode == 1
    assert "AWS::SQS::Queue One" in failed.stdout.splitlines()[-1]
    assert "Colour" in failed.stdout.splitlines()[-1]
    # When a whole template is deployed under the same name, then it is refused as CodePipeline's change set would be
    refused = deploy(cloud, tmp_path, "again", {"One": queue("four")})
    assert refused.returncode == 1
    assert "is in ROLLBACK_COMPLETE state and can not be updated" in refused.stdout.splitlines()[-1]
