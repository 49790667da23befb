"""A local cloud with dev's platform on it."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from environments import DEV
from localcloud import LocalCloud
from pipeline.aws import PlatformOutputs
from pipeline.local.process import clean_environment, signals_ignored
from pipeline.local.promotion import bootstrap_commands
from pipeline_app import create_app

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Platform:
    """``environ``: the variables of a client, and no others. ``here``: a folder in which commands may write."""

    cloud: LocalCloud
    environ: dict[str, str]
    outputs: PlatformOutputs
    here: Path

    def client(self, service: str, config: Any = None) -> Any:
        """A client of the account's root."""
        make: Any = boto3.Session(
            aws_access_key_id=self.environ["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environ["AWS_SECRET_ACCESS_KEY"],
            region_name=self.environ["AWS_DEFAULT_REGION"],
        ).client
        addresses = {"endpoint_url": self.environ["AWS_ENDPOINT_URL"], "verify": self.environ["AWS_CA_BUNDLE"]}
        return make(service, config=config, **addresses)


@contextlib.contextmanager
def deployed(folder: Path) -> Iterator[Platform]:
    """The platform, until the end of the block. Nothing of it is left then."""
    folder.chmod(0o711)
    cloud = LocalCloud(DEV.name, folder / "clouds")
    try:
        cloud.start(account=DEV.account, region=DEV.region)
        environ = {**clean_environment(), **cloud.environ(), "PYTHONPATH": str(ROOT)}
        here = folder / "here"
        here.mkdir()
        commands = "\n".join(bootstrap_commands(cloud, DEV.name))
        _checked(["sh", "-ec", commands], here, environ)
        assembly, outputs = folder / "cdk.out", folder / "outputs.json"
        create_app(context={"environmentSuffix": DEV.name}, outdir=str(assembly)).synth()
        template, assets = (str(next(assembly.glob(f"*Platform*.{kind}.json"))) for kind in ("template", "assets"))
        deploy = [sys.executable, "-m", "pipeline.local.deploy", DEV.stack_name, "--template", template]
        _checked([*deploy, "--assets", assets, "--outputs", str(outputs)], ROOT, environ)
        values = json.loads(outputs.read_text())
        yield Platform(
            cloud=cloud, environ=environ, outputs=PlatformOutputs(stack_name=DEV.stack_name, values=values), here=here
        )
    finally:
        with signals_ignored():
            cloud.remove()


def _checked(command: list[str], folder: Path, environ: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
