"""Start and stop a local cloud. Between the two it runs as a process of its own."""

import contextlib
import fcntl
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import psutil

from localcloud import certificates
from localcloud.files import read_object, write_private
from localcloud.postgres import Postgres
from localcloud.processes import find_process, process_record
from localcloud.settings import Settings

PREFERRED_PORTS = {"dev": 4571, "staging": 4572, "prod": 4573}
START_SECONDS = 60
STOP_SECONDS = 20
ANSWER_SECONDS = 60
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV")
"""The variables that the emulator and its functions inherit from this process. No AWS setting of the person is one."""
NO_AWS_FILES = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
"""Variables that keep the SDK from the person's files in ``~/.aws``: a spoilt one would fail every function."""


def unproxied() -> dict[str, str]:
    """The variables with which no program asks a proxy for this machine, besides what the person excepts."""
    excepted = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
    hosts = ",".join(["127.0.0.1", "localhost", *([excepted] if excepted else [])])
    return {"NO_PROXY": hosts, "no_proxy": hosts}


class LocalCloudError(Exception):
    """A local cloud did not start or stop. The message names its log and quotes the last lines."""


class LocalCloud:
    """The local cloud of one environment. ``state`` is the folder that holds a folder for each local cloud."""

    def __init__(self, environment_name: str, state: Path) -> None:
        self.name = environment_name
        self.folder = Path(state).absolute() / environment_name

    @property
    def log_path(self) -> Path:
        """The emulator's log. The functions' logs are in ``logs/`` beside it."""
        return self.folder / "emulator.log"

    @property
    def endpoint(self) -> str:
        """The URL that serves every AWS API. Raises ``LocalCloudError`` when the cloud was never started."""
        return self._settings().endpoint

    def environ(self) -> dict[str, str]:
        """The variables that a client needs. Raises ``LocalCloudError`` when the cloud was never started."""
        settings = self._settings()
        return {
            "LOCAL_CLOUD": self.name,
            "AWS_ENDPOINT_URL": settings.endpoint,
            "AWS_CA_BUNDLE": settings.ca,
            "NODE_EXTRA_CA_CERTS": settings.ca,
            "AWS_ACCESS_KEY_ID": settings.access_key_id,
            "AWS_SECRET_ACCESS_KEY": settings.secret_access_key,
            "AWS_DEFAULT_REGION": settings.region,
            "AWS_REGION": settings.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            **unproxied(),
        }

    def client(self, service: str) -> Any:
        """boto3's client of ``service``, which asks no proxy. Raises ``LocalCloudError`` when the cloud was never
        started."""
        import boto3
        from botocore.config import Config

        settings = self._settings()
        return boto3.client(
            service,  # type: ignore[call-overload]  # its overloads know services by literal names only
            region_name=settings.region,
            endpoint_url=settings.endpoint,
            verify=settings.ca,
            aws_access_key_id=settings.access_key_id,
            aws_secret_access_key=settings.secret_access_key,
            config=Config(proxies={}),
        )

    @property
    def account(self) -> str:
        """The AWS account id of this local cloud."""
        return self._settings().account

    @property
    def region(self) -> str:
        """The AWS region of this local cloud."""
        return self._settings().region

    def is_running(self) -> bool:
        """Whether its process lives and answers."""
        return self._process() is not None and self._answers()

    def start(self, *, account: str | None = None, region: str | None = None) -> None:
        """Start the cloud unless it runs. Orphaned processes of a killed one are ended first; its state is lost.

        ``account`` and ``region`` come from the environment's settings. When the settings name none, the cloud uses a
        made-up account in the default region. Raises ``LocalCloudError`` when the cloud dies or does not answer in
        time, or when it already runs as another account or in another region.
        """
        with self._exclusively():
            if self.is_running():
                self._require_same(account, region)
                return
            self._end()
            self._launch(account, region)

    def change(self, assignment: str) -> None:
        """Change a setting of the running cloud: see ``Settings.change``, which raises ``UnknownSetting``. Raises
        ``LocalCloudError`` when it does not run."""
        with self._exclusively():
            if self._process() is None:
                raise LocalCloudError(f"the local cloud {self.name} does not run, and a start resets its settings")
            self._settings().change(assignment).write()

    def stop(self) -> None:
        """End the cloud and every process that it started, and wait until they have ended. Its state is lost."""
        if self.folder.exists():
            with self._exclusively():
                self._end()

    def remove(self) -> None:
        """Stop the cloud, and delete its folder and logs. A start at the same time waits, and makes a new folder."""
        if self.folder.exists():
            with self._exclusively():
                self._end()
                Postgres(self.folder / "postgres").remove()
                shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, command: str, **arguments: Any) -> Any:
        """The answer of the running emulator to one of its own commands (``localcloud.emulator.control``).

        Raises ``LocalCloudError`` when it does not run.
        """
        settings = self._settings()
        request = urllib.request.Request(  # noqa: S310 - the endpoint is https
            f"{settings.endpoint}/_localcloud/{command}",
            data=json.dumps(arguments).encode(),
            headers={"Authorization": f"Bearer {settings.secret_access_key}"},
        )
        try:
            with self._unproxied(settings).open(request, timeout=ANSWER_SECONDS) as answer:
                return json.load(answer)
        except OSError as error:
            raise LocalCloudError(f"the local cloud {self.name} did not answer: {error}") from error

    @staticmethod
    def _unproxied(settings: Settings) -> urllib.request.OpenerDirector:
        trust = ssl.create_default_context(cafile=settings.ca)
        return urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))

    def _require_same(self, account: str | None, region: str | None) -> None:
        running = self._settings()
        wanted = (account or running.account, region or running.region)
        if wanted != (running.account, running.region):
            raise LocalCloudError(
                f"the local cloud {self.name} runs as account {running.account} in {running.region}, but the settings"
                f" name {' in '.join(wanted)}: stop it with `make down`, then begin again"
            )

    def _launch(self, account: str | None, region: str | None) -> None:
        with self._listening_socket() as listening:
            port = listening.getsockname()[1]
            try:
                settings = Settings.generate(self.name, self.folder, port, account=account, region=region)
            except ValueError as error:
                raise LocalCloudError(str(error)) from error
            certificates.issue(settings.tls, self.name, settings.region)
            settings.write()
            if self.log_path.exists():
                self.log_path.replace(self.log_path.with_suffix(".log.1"))
            with os.fdopen(os.open(self.log_path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "localcloud.emulator", str(self.folder), str(listening.fileno())],
                    env={name: os.environ[name] for name in INHERITED if name in os.environ}
                    | {**NO_AWS_FILES, "PYTHONPATH": str(Path(__file__).parents[1])},
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    pass_fds=[listening.fileno()], start_new_session=True,
                )  # fmt: skip
        write_private(self.folder / "process.json", json.dumps(process_record(process.pid)))
        try:
            self._wait_for_answer(process)
        except KeyboardInterrupt:
            self._end()
            raise

    def _wait_for_answer(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if process.poll() is not None:
                raise LocalCloudError(self._failure(f"ended with exit code {process.returncode}"))
            if time.monotonic() > deadline:
                self._end()
                raise LocalCloudError(self._failure(f"did not answer within {START_SECONDS} s"))
            time.sleep(0.05)

    def _listening_socket(self) -> socket.socket:
        """A socket on the environment's preferred port, or on any port when that one is taken.

        The emulator inherits the open socket, so no other process can take the port in between.
        """
        reason = ""
        for port in (PREFERRED_PORTS.get(self.name, 0), 0):
            listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listening.bind(("127.0.0.1", port))
                listening.listen(1024)
            except OSError as error:
                listening.close()
                reason = error.strerror or str(error)
            else:
                return listening
        raise LocalCloudError(f"no program can listen on 127.0.0.1, where the local clouds need IPv4: {reason}")

    def _end(self) -> None:
        process = self._process()
        if process is not None:
            started_by_it = process.children(recursive=True)
            process.terminate()
            _, alive = psutil.wait_procs([process, *started_by_it], timeout=STOP_SECONDS)
            for left in alive:
                with contextlib.suppress(psutil.NoSuchProcess):
                    left.kill()
            if psutil.wait_procs(alive, timeout=STOP_SECONDS)[1]:
                raise LocalCloudError(self._failure(f"its processes {[left.pid for left in alive]} can't be ended"))
        Postgres(self.folder / "postgres").end_orphan()
        (self.folder / "process.json").unlink(missing_ok=True)

    def _process(self) -> psutil.Process | None:
        """The emulator's process; ``None`` when it has ended."""
        try:
            return find_process(read_object(self.folder / "process.json"))
        except (OSError, ValueError, TypeError, KeyError, psutil.Error):
            return None

    def _answers(self) -> bool:
        try:
            settings = Settings.read(self.folder)
            with self._unproxied(settings).open(f"{settings.endpoint}/_ministack/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, ValueError):
            return False

    def _settings(self) -> Settings:
        try:
            return Settings.read(self.folder)
        except OSError as error:
            raise LocalCloudError(f"the local cloud {self.name} was never started here ({error})") from error
        except ValueError as error:
            raise LocalCloudError(
                f"{error}: end it with `python -m localcloud stop {self.name}`, then start it"
            ) from error

    @contextlib.contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Allow one start or stop at a time. The kernel releases the lock when its holder ends."""
        with self._lock():
            yield

    def _lock(self) -> TextIO:
        while True:
            # Mode 0711: started by root, PostgreSQL runs as another user and must reach its own folder in this one.
            self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
            path = self.folder / "lock"
            with contextlib.suppress(FileNotFoundError):  # `remove` may delete the folder meanwhile
                lock = path.open("w")
                fcntl.flock(lock, fcntl.LOCK_EX)
                if path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                    return lock
                lock.close()

    def _failure(self, event: str) -> str:
        with contextlib.suppress(OSError):
            lines = self.log_path.read_text(errors="replace").splitlines()[-15:]
            return "\n  ".join([f"the local cloud {self.name} {event}; its log {self.log_path} ends with:", *lines])
        return f"the local cloud {self.name} {event}; it wrote no log"
