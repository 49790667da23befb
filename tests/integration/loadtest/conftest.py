"""A payment server to load, and the commands as a user starts them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

Serve = Callable[..., str]
"""Starts a payment server with the given script and returns its base URL."""

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
"""Runs a module of the repository with the given arguments in a scratch folder."""


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers = []

    def start(**script: object) -> str:
        command = [sys.executable, str(Path(__file__).with_name("payment_server.py")), "0", json.dumps(script)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        servers.append(server)
        assert server.stdout
        return f"http://127.0.0.1:{server.stdout.readline().strip()}/dev"

    yield start
    for server in servers:
        server.terminate()
        server.communicate()


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    def run(module: str, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        aws_free = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=tmp_path,
            env=aws_free | {"PYTHONPATH": str(ROOT), "AWS_EC2_METADATA_DISABLED": "true"} | environ,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run
