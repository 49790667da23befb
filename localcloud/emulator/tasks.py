"""ECS tasks as processes of this machine. This module replaces the docker client that MiniStack uses.

A container is its command, run in an empty folder of its own, with the credentials of its task's role. Its image is
ignored: ``python`` is the interpreter that runs the local cloud, with the packages installed for it. Every task has
the address 127.0.0.1.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ministack.core.responses import get_account_id
from ministack.services import ecs, sts

from localcloud.emulator.own_api import settings
from localcloud.emulator.upstream import Function, original, replaces

for name in ("_build_run_kwargs", "_container_ip", "_forward_awslogs", "_maybe_mark_stopped", "_register_metadata",
             "_remove_docker_container", "_start_task_worker"):  # fmt: skip
    original(ecs, name)


class Container:
    """The part of docker's container that MiniStack uses."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self.id = secrets.token_hex(32)
        self.attrs = {"NetworkSettings": {"Networks": {"loopback": {"IPAddress": "127.0.0.1"}}}}
        self._folder = tempfile.mkdtemp(prefix="task-")
        self._process = subprocess.Popen(
            command, cwd=self._folder, env=environ, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._cleaned_up = False

    @property
    def status(self) -> str:
        return "running" if self._process.poll() is None else "exited"

    def reload(self) -> None:
        """Nothing to do: ``status`` always asks the process."""

    def logs(self, **_: Any) -> Any:
        """The stream of output lines."""
        return self._process.stdout

    def wait(self) -> dict[str, int]:
        """Wait until the first process ends, then kill the rest of its process group."""
        code = self._process.wait()
        if not self._cleaned_up:  # once only: later the kernel may have given the group's number to another process
            self._cleaned_up = True
            self._kill()
            shutil.rmtree(self._folder, ignore_errors=True)
        return {"StatusCode": code if code >= 0 else 128 - code}

    def stop(self, timeout: float) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._kill()
        self.wait()

    def remove(self, **_: Any) -> None:
        """Nothing to do: ``wait`` has removed the container's folder."""

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


class Containers:
    """The part of docker's client that MiniStack uses."""

    def __init__(self) -> None:
        self._known: dict[str, Container] = {}

    @property
    def containers(self) -> "Containers":
        return self

    def run(
        self,
        _image: str,
        *,
        command: Sequence[str],
        environment: Mapping[str, str],
        labels: Mapping[str, str],
        **_: Any,
    ) -> Container:
        family, revision = (labels[f"com.amazonaws.ecs.task-definition-{part}"] for part in ("family", "version"))
        role = ecs._task_defs[f"{family}:{revision}"]["taskRoleArn"]
        own = settings()
        container = Container(
            command,
            {
                # Without MiniStack's addresses of metadata and credentials: they exist in docker's networks only.
                **{key: value for key, value in environment.items() if "_CONTAINER_" not in key},
                **session_of(role, labels["com.amazonaws.ecs.task-arn"].rpartition("/")[2]),
                "AWS_ENDPOINT_URL": own.endpoint,
                "AWS_CA_BUNDLE": own.ca,
                "SSL_CERT_FILE": own.ca,
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            },
        )
        self._known[container.id] = container
        return container

    def get(self, id: str) -> Container:
        return self._known[id]

    def stop_all(self) -> None:
        for each in self._known.values():
            each.stop(timeout=1)


def session_of(role_arn: str, name: str) -> dict[str, str]:
    """Environment variables with the credentials of a new session of a task's role."""
    key, secret, token = "ASIA" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30), secrets.token_urlsafe(60)
    role = role_arn.rpartition("/")[2]
    arn = f"arn:aws:sts::{get_account_id()}:assumed-role/{role}/{name}"
    session = {"Arn": arn, "UserId": f"{role}:{name}", "SecretAccessKey": secret, "SessionToken": token}
    sts.register_session(key, session)
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}


running = Containers()


@replaces(ecs, "_get_docker")
def local_processes(_: Function) -> Containers:
    return running
