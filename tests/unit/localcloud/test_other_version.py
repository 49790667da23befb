"""The folder of a local cloud that another version of this code started, or that a full disk has left."""

import json
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud import LocalCloud, LocalCloudError
from localcloud.files import write_private
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
