"""A payment server to load, and the commands as a user starts them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

Serve = Callable[..., str]
"""Starts a payment server with the given script and returns its base URL."""

Begin = Callable[..., "subprocess.Popen[str]"]
"""Starts a module of the repository with the given arguments in a scratch folder."""

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
"""Does so and waits for its end."""

Report = Callable[..., dict[str, Any]]
"""Reads a report of dev that a command left there."""


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
def begin(tmp_path: Path) -> Begin:
    def start(module: str, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
        aws_free = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=tmp_path,
            env=aws_free | {"PYTHONPATH": str(ROOT), "AWS_EC2_METADATA_DISABLED": "true"} | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    return start


@pytest.fixture
def cli(begin: Begin) -> Cli:
    def run(module: str, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        process = begin(module, *arguments, **environ)
        output, errors = process.communicate(timeout=90)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    return run


@pytest.fixture
def report(tmp_path: Path) -> Report:
    def read(name: str = "gate.json") -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((tmp_path / "reports/dev" / name).read_text())
        return loaded

    return read
