"""The start of the console: its process, its port, its options."""

import os
import socket
from pathlib import Path

import pytest

from console import __main__ as start
from console.platforms import CloudSession, LocalPlatforms, NotRunning
from console.security import Keys
from localcloud.settings import TIME_SCALE
from pipeline.local.state import State
from pipeline.release.plan import bake_scale


@pytest.fixture(autouse=True)
def own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a start sets for its process is as before afterwards."""
    for name in ("BAKE_SCALE", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, "")


def test_on_this_machine_a_minute_is_a_second_and_no_real_account_is_reached(tmp_path: Path) -> None:
    console = start.local_console(tmp_path, Keys())
    assert bake_scale() == TIME_SCALE
    assert os.environ["AWS_ENDPOINT_URL"] == "https://127.0.0.1:9"
    # And a command that it starts has the person's own variables
    assert console.frame.actions._variables(None)["AWS_ENDPOINT_URL"] == ""


def test_a_session_reaches_its_cloud_whatever_the_variables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:9")
    variables = {
        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "https://127.0.0.1:4571", "AWS_CA_BUNDLE": "/ca.pem",
    }  # fmt: skip
    client = CloudSession(variables).client("sts")
    assert (client.meta.endpoint_url, client.meta.region_name) == ("https://127.0.0.1:4571", "eu-west-1")
    assert client.meta.config.proxies == {}


def test_a_cloud_that_does_not_run_is_said_with_the_way_on(tmp_path: Path) -> None:
    platforms = LocalPlatforms(State(tmp_path))
    with pytest.raises(NotRunning, match="`make promote` starts"):
        platforms.session("dev")
    with pytest.raises(NotRunning, match="no environment"):
        platforms.session("other")


def test_a_port_that_was_named_and_is_taken_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert start.main(["--port", str(taken.getsockname()[1])]) == start.ExitCode.FAILED
    assert "Name another with --port" in capsys.readouterr().err


def test_without_a_name_another_port_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(start, "PREFERRED_PORT", taken.getsockname()[1])
        with start._listen(None) as listening:
            assert listening.getsockname()[0] == "127.0.0.1"
            assert listening.getsockname()[1] != start.PREFERRED_PORT


def test_nobody_reads_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is done in the console is recorded with who did it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(start, "identity", lambda _: start.UNKNOWN)
    assert start.main(["--aws", "--port", "0"]) == start.ExitCode.FAILED
    assert "it does not tell who you are: log in" in capsys.readouterr().err


def test_allow_actions_is_for_aws(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        start.main(["--allow-actions"])
    assert ended.value.code == start.ExitCode.USAGE
    assert "for --aws" in capsys.readouterr().err
