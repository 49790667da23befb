"""Execution environments are forks of one process that has loaded the SDK."""

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from ministack.core import lambda_runtime

from localcloud.emulator import runtime

ROOT = Path(__file__).parents[3]
STREAMS = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "bufsize": 1}
TELL = """
import json, os, sys
sys.stdout.reconfigure(errors="backslashreplace")
sys.stderr.reconfigure(errors="backslashreplace")
print("a word of the log", file=sys.stderr)
loaded = "boto3" in sys.modules
import boto3
for line in sys.stdin:
    print(json.dumps({"asked": line.strip(), "loaded": loaded, "sdk": boto3.__file__, "environ": dict(os.environ),
                      "folder": os.getcwd(), "path": sys.path, "parent": os.getppid()}), flush=True)
"""

MAKE_CLIENTS = """
import json, sys
import boto3
from botocore.loaders import JSONFileLoader
load, read = JSONFileLoader._load_file, []
def record(loader, path, how):
    model = load(loader, path, how)
    read.extend([path] if model else [])
    return model
JSONFileLoader._load_file = record
for line in sys.stdin:
    read.clear()
    for service in line.split():
        boto3.client(service)
    print(json.dumps({"read": read}), flush=True)
"""


@pytest.fixture(autouse=True)
def own_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(runtime, "runtime", runtime.Runtime())
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # The emulator writes to a file. Python would seek in it before it changes how it writes.
    os.write(1, b"a line\n")
    yield
    if runtime.runtime._process:
        runtime.runtime._process.kill()
        runtime.runtime._process.wait()


class Environment:
    """Started as MiniStack does it."""

    def __init__(self, folder: Path, does: str = TELL, **environ: str) -> None:
        code = folder / "code"
        code.mkdir(parents=True, exist_ok=True)
        program = folder / "_worker.py"
        program.write_text(f"import sys; sys.path.insert(0, {str(code)!r}); {does}")
        self.process = lambda_runtime.subprocess.Popen(
            [sys.executable, str(program)], cwd=str(code), env=environ, **STREAMS
        )

    def ask(self, question: str) -> dict[str, Any]:
        self.process.stdin.write(f"{question}\n")
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


def of_repository(path: list[str]) -> list[str]:
    """Folders in which Python would find its modules. The installed packages may be in a folder of it, too."""
    return [each for each in path if Path(each).is_relative_to(ROOT) and not Path(each).is_relative_to(sys.prefix)]


def test_environments_share_the_sdk_and_nothing_else(tmp_path: Path) -> None:
    # Given two environments
    first, second = Environment(tmp_path / "first", NAME="first"), Environment(tmp_path / "second", NAME="second")
    # When both are asked
    answers = [first.ask("1"), second.ask("2")]
    # Then both had the SDK before their program began, from one process
    assert [answer["loaded"] for answer in answers] == [True, True]
    assert answers[0]["parent"] == answers[1]["parent"] != os.getpid()
    # And each has its own streams, variables and folder
    assert [answer["asked"] for answer in answers] == ["1", "2"]
    assert [answer["environ"] for answer in answers] == [{"NAME": "first"}, {"NAME": "second"}]
    assert [answer["folder"] for answer in answers] == [str(tmp_path / name / "code") for name in ("first", "second")]
    assert [environment.process.stderr.readline() for environment in (first, second)] == ["a word of the log\n"] * 2
    # And finds its package first, and nothing of this repository
    assert answers[0]["path"][:2] == [str(tmp_path / "first" / "code"), str(tmp_path / "first")]
    assert of_repository(answers[0]["path"]) == []


def test_environments_share_the_models_of_the_services_that_functions_call(tmp_path: Path) -> None:
    # Given the services whose clients the platform's functions make when they start, and an environment
    calls = (
        re.findall(r"^initialise\(.*\)$", path.read_text(), re.MULTILINE) for path in ROOT.glob("lambdas/*/handler.py")
    )
    services = set(re.findall(r'"([a-z0-9]+)"', "".join(itertools.chain.from_iterable(calls))))
    environment = Environment(tmp_path, MAKE_CLIENTS, AWS_DEFAULT_REGION="us-east-1")
    # When it makes the same clients, and another
    read = environment.ask(" ".join(services))["read"]
    read_for_another = environment.ask("sqs")["read"]
    # Then it has read no model but the other's
    assert "dynamodb" in services
    assert read == []
    assert read_for_another
    assert all("/sqs/" in path for path in read_for_another)


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_an_environment_that_is_ended_is_gone(tmp_path: Path, end: str) -> None:
    # Given an environment that runs
    environment = Environment(tmp_path)
    environment.ask("1")
    process = psutil.Process(environment.process.pid)
    assert environment.process.poll() is None
    # When it is ended
    getattr(environment.process, end)()
    # Then that is known, and it leaves no process behind
    assert environment.process.wait(timeout=10) is not None
    assert environment.process.poll() is not None
    assert psutil.wait_procs([process], timeout=10)[0]
    # And a second end does nothing
    getattr(environment.process, end)()


def test_a_killed_runtime_is_started_again(tmp_path: Path) -> None:
    # Given an environment
    old = Environment(tmp_path / "old")
    parent = old.ask("1")["parent"]
    # When the process that it was forked from is killed
    psutil.Process(parent).kill()
    assert runtime.runtime._process
    runtime.runtime._process.wait()
    # Then another environment starts, and the old one goes on
    assert Environment(tmp_path / "new").ask("1")["parent"] != parent
    assert old.ask("2")["asked"] == "2"


def test_environments_end_with_their_cloud(tmp_path: Path) -> None:
    # Given an environment that waits for a request
    environment = Environment(tmp_path)
    processes = [psutil.Process(environment.process.pid), psutil.Process(environment.ask("1")["parent"])]
    # When the emulator has gone, and its ends of pipes and socket with it
    assert runtime.runtime._ours
    environment.process.stdin.close()
    runtime.runtime._ours.close()
    # Then the environment ends, and what it was forked from
    assert psutil.wait_procs(processes, timeout=10)[1] == []


def test_a_package_with_an_sdk_of_its_own_uses_that(tmp_path: Path) -> None:
    # Given a package that brings the SDK
    (tmp_path / "code" / "boto3").mkdir(parents=True)
    (tmp_path / "code" / "boto3" / "__init__.py").touch()
    # When its environment starts
    environment = Environment(tmp_path, **os.environ)
    answer = environment.ask("1")
    # Then it has the package's, as on Lambda, and nothing of this repository either
    assert answer["sdk"] == str(tmp_path / "code" / "boto3" / "__init__.py")
    assert of_repository(answer["path"]) == []
