"""One local cloud for all integration tests, with dev's platform deployed on it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from pipeline.aws import PlatformOutputs
from pipeline.environments import DEV
from pipeline.local.cloud import LocalCloud
from pipeline.local.process import clean_environment
from pipeline.local.promotion import bootstrap_commands
from pipeline_app import create_app

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Platform:
    """Dev's platform on the local cloud."""

    cloud: LocalCloud
    outputs: PlatformOutputs
    assembly: Path

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which a command finds the platform, and nothing else."""
        return {**clean_environment(), **self.cloud.environ(), "PYTHONPATH": str(ROOT)}

    @property
    def aws(self) -> boto3.Session:
        """A session of the account's root. Clients need ``endpoint_url`` and ``verify``: see ``client``."""
        return session(self.cloud)

    def client(self, service: str) -> Any:
        variables = self.cloud.environ()
        client: Any = self.aws.client
        return client(service, endpoint_url=variables["AWS_ENDPOINT_URL"], verify=variables["AWS_CA_BUNDLE"])

    def template(self) -> dict[str, Any]:
        """The deployed template, to change and deploy again."""
        (path,) = self.assembly.glob("*Platform*.template.json")
        document: dict[str, Any] = json.loads(path.read_text())
        return document

    def update_stack(self, template: dict[str, Any]) -> None:
        """Deploy a changed template, and wait until that is done."""
        variables, key = self.cloud.environ(), "changed.template.json"
        bucket = f"cdk-hnb659fds-assets-{self.cloud.account}-{variables['AWS_DEFAULT_REGION']}"
        self.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(template))
        stacks = self.client("cloudformation")
        stacks.update_stack(
            StackName=DEV.stack_name,
            TemplateURL=f"{variables['AWS_ENDPOINT_URL']}/{bucket}/{key}",
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        stacks.get_waiter("stack_update_complete").wait(
            StackName=DEV.stack_name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m …`` against the platform."""
        return subprocess.run(
            [sys.executable, "-m", *command], env=self.environ, cwd=self.assembly.parent, capture_output=True, text=True
        )


def session(cloud: LocalCloud) -> boto3.Session:
    variables = cloud.environ()
    return boto3.Session(
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name=variables["AWS_DEFAULT_REGION"],
    )


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud for dev, bootstrapped as a new account is."""
    folder = tmp_path_factory.mktemp("cloud")
    cloud = LocalCloud(DEV.name, folder / "clouds")
    cloud.start()
    try:
        environ = {**clean_environment(), **cloud.environ(), "PYTHONPATH": str(ROOT)}
        script = "\n".join(bootstrap_commands(cloud, DEV.name))
        here = folder / "here"
        here.mkdir()
        done = subprocess.run(["sh", "-ec", script], cwd=here, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        yield cloud
    finally:
        cloud.remove()


@pytest.fixture(scope="session")
def platform(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Dev's stack, synthesised and deployed once for all tests: leave its traffic at the steady state."""
    folder = tmp_path_factory.mktemp("platform")
    assembly, outputs = folder / "cdk.out", folder / "outputs.json"
    create_app(context={"environmentSuffix": DEV.name}, outdir=str(assembly)).synth()
    environ = {**clean_environment(), **cloud.environ()}
    template, assets = (next(assembly.glob(f"*Platform*.{kind}.json")) for kind in ("template", "assets"))
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.local.deploy", DEV.stack_name,
         "--template", str(template), "--assets", str(assets), "--outputs", str(outputs)],
        cwd=ROOT, env=environ, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return Platform(
        cloud=cloud,
        outputs=PlatformOutputs(stack_name=DEV.stack_name, values=json.loads(outputs.read_text())),
        assembly=assembly,
    )
