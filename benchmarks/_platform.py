"""A local cloud with dev's platform on it."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

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
        return _client(self.environ, service, config)


def _client(environ: Mapping[str, str], service: str, config: Any = None) -> Any:
    unproxied = Config(proxies={}).merge(config) if config else Config(proxies={})
    make: Any = boto3.Session(
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
        region_name=environ["AWS_DEFAULT_REGION"],
    ).client
    addresses = {"endpoint_url": environ["AWS_ENDPOINT_URL"], "verify": environ["AWS_CA_BUNDLE"]}
    return make(service, config=unproxied, **addresses)


@contextlib.contextmanager
def deployed(folder: Path, context: Callable[[Any], Mapping[str, str]] = lambda _client: {}) -> Iterator[Platform]:
    """The platform, open, until the end of the block. Nothing of it is left then.

    ``context``: prepares what the stack needs, by clients of AWS's services, and gives more of its context.
    """
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
        more = context(lambda service: _client(environ, service))
        create_app(context={"environmentSuffix": DEV.name, **more}, outdir=str(assembly)).synth()
        template, assets = (str(next(assembly.glob(f"*Platform*.{kind}.json"))) for kind in ("template", "assets"))
        deploy = [sys.executable, "-m", "pipeline.local.deploy", DEV.stack_name, "--template", template]
        _checked([*deploy, "--assets", assets, "--outputs", str(outputs)], ROOT, environ)
        values = json.loads(outputs.read_text())
        _checked([sys.executable, "-m", "pipeline.release", "promote", "--now", "--env", DEV.name], here, environ)
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
