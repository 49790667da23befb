"""The folder of a local cloud that another version of this code started, or that a kill or a full disk has left."""

import ctypes
import errno
import json
import os
import resource
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localcloud import LocalCloud, LocalCloudError
from localcloud.files import write_private
from localcloud.postgres import Postgres, PostgresError
from localcloud.processes import process_record


@pytest.fixture
def other(tmp_path: Path) -> "Iterator[tuple[LocalCloud, subprocess.Popen[bytes]]]":
    """A cloud that runs, with settings of another version."""
    cloud = LocalCloud("dev", tmp_path)
    cloud.folder.mkdir()
    process = subprocess.Popen(["sleep", "60"])
    (cloud.folder / "process.json").write_text(json.dumps(process_record(process.pid)))
    (cloud.folder / "settings.json").write_text(json.dumps({"environment": "dev", "port": 1, "of_tomorrow": True}))
    yield cloud, process
    process.kill()
    process.wait()


def test_a_cloud_of_another_version_does_not_run_for_this_one_and_is_ended(
    other: "tuple[LocalCloud, subprocess.Popen[bytes]]",
) -> None:
    cloud, process = other
    assert not cloud.is_running()
    with pytest.raises(LocalCloudError, match=r"of another version: .*end it with `python -m localcloud stop dev`"):
        cloud.environ()
    cloud.stop()
    assert process.poll() is not None


def test_a_file_that_does_not_fit_leaves_the_former_one_and_nothing_else(tmp_path: Path) -> None:
    # Given a private file, and a disk that is full after a few bytes
    file = tmp_path / "settings.json"
    write_private(file, "former")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        # When a longer one is written
        with pytest.raises(OSError, match="large"):
            write_private(file, "x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    # Then the former stands, alone
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("settings.json", "former")]


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Callable[[int, Path], Postgres]]:
    """The folder of a server that was killed: its pid, and the folder of its socket."""
    server = Postgres(tmp_path / "postgres")

    def left(pid: int, sockets: Path) -> Postgres:
        for folder in (server._data, sockets):
            folder.mkdir(parents=True)
        told = f"{pid}\n{server._data}\n1\n5432\n{sockets}\n\n 1 2\nready\n"
        (server._data / "postmaster.pid").write_text(told)
        return server

    yield left
    server.remove()


@pytest.mark.parametrize("pid", [2**22, 1])
def test_a_database_that_was_killed_leaves_no_folder_of_its_socket(
    killed: Callable[[int, Path], Postgres], tmp_path: Path, pid: int
) -> None:
    # Given what a killed server leaves, whose pid is nobody's or another process's by now
    server = killed(pid, tmp_path / "local-cloud-pg-x")
    # When the next one begins
    server.end_orphan()
    # Then nothing is left of it
    assert not server._data.exists()
    assert not (tmp_path / "local-cloud-pg-x").exists()


def test_a_database_that_was_killed_leaves_no_shared_memory(
    killed: Callable[[int, Path], Postgres], tmp_path: Path
) -> None:
    # Given a segment of shared memory of such a server, and one of somebody else
    system, keys = ctypes.CDLL(None), [int.from_bytes(os.urandom(3)) + 2**20 for _ in "12"]
    own, other = (system.shmget(key, 56, 0o1600) for key in keys)  # IPC_CREAT, for the owner
    assert min(own, other) >= 0
    server = killed(2**22, tmp_path / "local-cloud-pg-x")
    told = server._data / "postmaster.pid"
    try:
        # When the next one begins, then its own is gone; a segment is taken for its own by key and id
        told.write_text(told.read_text().replace(" 1 2", f" {keys[1]} {own}"))
        server.end_orphan()
        assert system.shmget(keys[1], 0, 0) == other
        server = killed(2**22, tmp_path / "local-cloud-pg-x")
        told.write_text(told.read_text().replace(" 1 2", f" {keys[0]} {own}"))
        server.end_orphan()
        assert system.shmget(keys[0], 0, 0) == -1
    finally:
        for id in (own, other):
            system.shmctl(id, 0, None)


def test_a_folder_that_is_none_of_ours_is_left_alone(killed: Callable[[int, Path], Postgres], tmp_path: Path) -> None:
    killed(2**22, tmp_path / "precious").end_orphan()
    assert (tmp_path / "precious").exists()


def test_a_machine_without_ipv4_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a machine whose loopback interface has no IPv4 address
    def refuse(self: socket.socket, address: object) -> None:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(LocalCloudError, match="need IPv4: Cannot assign requested address"):
        LocalCloud("dev", tmp_path).start()


def test_a_user_without_a_name_is_told_what_postgresql_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a uid as a container may give it, which no line of /etc/passwd names
    monkeypatch.setattr("os.geteuid", lambda: 2**22)
    with pytest.raises(PostgresError, match=r"(?s)needs a name for the user 4194304.*local:x:4194304:"):
        Postgres(tmp_path / "postgres").start()
