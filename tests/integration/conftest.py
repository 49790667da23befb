"""A local cloud for the integration tests of each process, with dev's platform deployed on it."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

import boto3
import psutil
import pytest
from botocore.credentials import Credentials
from xdist.scheduler import LoadScopeScheduling

from environments import DEV, environment
from localcloud import LocalCloud
from localcloud.emulator.no_silent_drops import IGNORED, OBSERVED
from names import CLOSED_HANDLER, Colour, Function
from pipeline.aws import PlatformOutputs
from pipeline.local.process import clean_environment
from pipeline.local.promotion import bootstrap_commands
from pipeline_app import create_app
from tests.integration.merchant import Merchant
from tests.shared import once

ROOT = Path(__file__).parents[2]
RELEASES = ("test_release.py", "test_gate_command.py", "test_traffic_command.py", "test_workers.py")


class TwoClouds(LoadScopeScheduling):
    """Two processes, each with a local cloud of its own, share the tests about evenly.

    Releases stay apart from the tests that make payments fail: those ring an alarm for five minutes, and a ringing
    alarm refuses a release. The load generator's tests, most of which need no cloud, fill their process. The soak has a
    cloud of its own: it goes to the process that is through first.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = Path(nodeid.partition("::")[0]).name
        return "releases" if file in RELEASES else "soak" if file == "test_soak.py" else "platform"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> TwoClouds:
    return TwoClouds(config, log)


@dataclass(frozen=True)
class Platform:
    """Dev's platform on the local cloud."""

    cloud: LocalCloud
    outputs: PlatformOutputs
    assembly: Path

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables of a command that uses the platform, and no others."""
        return {**clean_environment(), **self.cloud.environ(), "PYTHONPATH": str(ROOT)}

    @cached_property
    def aws(self) -> boto3.Session:
        """A session of the account's root. Clients need ``endpoint_url`` and ``verify``: see ``client``."""
        variables = self.cloud.environ()
        return boto3.Session(
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
            region_name=variables["AWS_DEFAULT_REGION"],
        )

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    def client(self, service: str) -> Any:
        """One for each service, because to make a client takes longer than most calls."""
        if service not in self._clients:
            variables, make = self.cloud.environ(), cast(Any, self.aws.client)
            self._clients[service] = make(
                service, endpoint_url=variables["AWS_ENDPOINT_URL"], verify=variables["AWS_CA_BUNDLE"]
            )
        return self._clients[service]

    def transactions(self, customer_id: str) -> list[dict[str, Any]]:
        """The items of a customer's payments, as they are now: the table's indexes follow late."""
        pages = self.client("dynamodb").get_paginator("scan").paginate(
            TableName=self.outputs["TransactionTableName"],
            FilterExpression="customer_id = :customer",
            ExpressionAttributeValues={":customer": {"S": customer_id}},
            ConsistentRead=True,
        )  # fmt: skip
        return [item for page in pages for item in page["Items"]]

    def api(self, credentials: Credentials | None = None) -> Merchant:
        """The API that customers call."""
        return Merchant(self.outputs["ApiGatewayUrl"], self.cloud.environ(), credentials)

    def candidate_api(self, credentials: Credentials | None = None) -> Merchant:
        """The candidate's API, which only the load gate and the shift's synthetic traffic call."""
        return Merchant(self.outputs["CandidateApiUrl"], self.cloud.environ(), credentials)

    def template(self) -> dict[str, Any]:
        """The deployed template, to change and deploy again."""
        (path,) = self.assembly.glob("*Platform*.template.json")
        document: dict[str, Any] = json.loads(path.read_text())
        return document

    def update_stack(self, template: dict[str, Any]) -> None:
        """Deploy a changed template, and wait until that is done."""
        variables, key = self.cloud.environ(), "changed.template.json"
        bucket = f"cdk-hnb659fds-assets-{self.cloud.account}-{self.cloud.region}"
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

    def open(self) -> None:
        """Make the candidate stable where stable is closed, as a first release does, but without a record of it."""
        functions = self.client("lambda")
        for function in Function:
            name = self.outputs[function.name_output]
            stable = functions.get_function_configuration(FunctionName=name, Qualifier=Colour.STABLE)
            if stable["Handler"] != CLOSED_HANDLER:
                continue
            version = functions.get_alias(FunctionName=name, Name=Colour.CANDIDATE)["FunctionVersion"]
            functions.update_alias(FunctionName=name, Name=Colour.STABLE, FunctionVersion=version)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m …`` against the platform."""
        return subprocess.run(
            [sys.executable, "-m", *command], env=self.environ, cwd=self.assembly.parent, capture_output=True, text=True
        )

    def end_environments(self, function: str | None = None) -> None:
        """End the execution environments of a function, or of all functions. The next request starts a new one."""
        emulator = self.cloud._process()
        assert emulator is not None
        for process in emulator.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if f"ministack-lambda-{function + '-' if function else ''}" in process.cwd():
                    process.kill()
                    process.wait(timeout=10)


@contextmanager
def short_minutes(platform: Platform) -> Iterator[None]:
    """Schedules count minutes of five seconds. A function that is called every minute then runs all the time."""
    platform.cloud.change("schedule_minute_seconds=5")
    try:
        yield
    finally:
        platform.cloud.change("schedule_minute_seconds=60")


@contextmanager
def bootstrapped(name: str, folder: Path) -> Iterator[LocalCloud]:
    """A local cloud for an environment, bootstrapped as a new account is."""
    settings, cloud = environment(name), LocalCloud(name, folder / "clouds")
    cloud.start(account=settings.account, region=settings.region)
    try:
        environ = {**clean_environment(), **cloud.environ(), "PYTHONPATH": str(ROOT)}
        script = "\n".join(bootstrap_commands(cloud, name))
        here = folder / "here"
        here.mkdir()
        done = subprocess.run(["sh", "-ec", script], cwd=here, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        yield cloud
    finally:
        cloud.remove()


def stale_entries(cloud: LocalCloud) -> list[str]:
    """The entries of ``ignored.toml`` that no deployment on ``cloud`` needed."""
    observed = json.loads((cloud.folder / OBSERVED).read_text())
    return [
        f"{resource_type} {entry}"
        for resource_type, entries in tomllib.loads(IGNORED.read_text()).items()
        for entry in entries
        if not any(path == entry or path.startswith(f"{entry}.") for path in observed.get(resource_type, []))
    ]


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with bootstrapped(DEV.name, tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def platform(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Dev's stack, deployed once for all tests: leave its traffic at the steady state."""
    folder = tmp_path_factory.mktemp("platform")
    (folder / "cdk.out").symlink_to(once("dev-platform", partial(synthesise, DEV.name)))
    return deployed(cloud, DEV.name, folder)


def synthesise(name: str, assembly: Path) -> None:
    create_app(context={"environmentSuffix": name}, outdir=str(assembly)).synth()


def deployed(
    cloud: LocalCloud, name: str, folder: Path, change: Callable[[dict[str, Any]], None] | None = None
) -> Platform:
    """The stack of an environment, deployed and open. It is synthesised, too, unless ``folder`` has its assembly.

    ``change``: of the template's resources, before.
    """
    assembly, outputs, stack_name = folder / "cdk.out", folder / "outputs.json", environment(name).stack_name
    if not assembly.exists():
        synthesise(name, assembly)
    environ = {**clean_environment(), **cloud.environ()}
    template, assets = (next(assembly.glob(f"*Platform*.{kind}.json")) for kind in ("template", "assets"))
    if change:
        document = json.loads(template.read_text())
        change(document["Resources"])
        template.write_text(json.dumps(document))
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.local.deploy", stack_name,
         "--template", str(template), "--assets", str(assets), "--outputs", str(outputs)],
        cwd=ROOT, env=environ, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    platform = Platform(
        cloud=cloud,
        outputs=PlatformOutputs(stack_name=stack_name, values=json.loads(outputs.read_text())),
        assembly=assembly,
    )
    platform.open()
    return platform
