"""Start and stop a local cloud, also after a crash."""

import functools
import io
import json
import os
import signal
import socket
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

from localcloud import LocalCloud, LocalCloudError
from localcloud import cloud as cloud_module


@pytest.fixture
def small(tmp_path: Path) -> Iterator[LocalCloud]:
    """A local cloud on which nothing is deployed."""
    cloud = LocalCloud("lifecycle", tmp_path)
    yield cloud
    cloud.remove()
    assert not cloud.folder.exists()


def process(cloud: LocalCloud) -> psutil.Process:
    found = cloud._process()
    assert found is not None
    return found


def test_it_starts_once_and_stops_with_its_child_processes(small: LocalCloud) -> None:
    # Given a running cloud
    small.start()
    first, endpoint = process(small), small.endpoint
    # When it is started again, then the same process keeps running
    small.start()
    assert process(small) == first
    assert small.endpoint == endpoint
    assert small.is_running()
    # When it is stopped, then it is gone
    small.stop()
    assert not first.is_running()
    assert not small.is_running()


def test_it_has_the_account_and_region_of_the_settings(small: LocalCloud) -> None:
    # Given a cloud of an environment whose settings name an account and a region
    small.start(account="123456789012", region="eu-west-1")
    variables = small.environ()
    names = {"aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY"}
    aws = boto3.Session(
        region_name=variables["AWS_REGION"], **{name: variables[variable] for name, variable in names.items()}
    )
    sts = aws.client("sts", endpoint_url=variables["AWS_ENDPOINT_URL"], verify=variables["AWS_CA_BUNDLE"])
    # Then a caller is in that account and region
    assert sts.get_caller_identity()["Account"] == "123456789012"
    assert variables["AWS_REGION"] == "eu-west-1"
    # When it is started for another account, then the error says how to continue, and the cloud keeps running
    with pytest.raises(LocalCloudError, match=r"runs as account 123456789012 in eu-west-1.* `make down`"):
        small.start(account="210987654321", region="eu-west-1")
    assert small.is_running()


def test_functions_need_nothing_of_the_person_s_aws_settings(
    small: LocalCloud, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a person whose AWS settings can't be read, and a cloud
    home = tmp_path_factory.mktemp("home")
    (home / ".aws").mkdir()
    (home / ".aws" / "config").write_text("[default\nnonsense")
    with monkeypatch.context() as person:
        person.setenv("HOME", str(home))
        small.start()
    account = {name: value for name, value in small.environ().items() if value}
    session = boto3.Session(account["AWS_ACCESS_KEY_ID"], account["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
    client: Any = functools.partial(
        session.client, endpoint_url=account["AWS_ENDPOINT_URL"], verify=account["AWS_CA_BUNDLE"]
    )
    functions, statement = client("lambda"), {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}
    trust = {"Version": "2012-10-17", "Statement": [statement | {"Action": "sts:AssumeRole"}]}
    role = client("iam").create_role(RoleName="f", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    # When a function makes a client of a service
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as written:
        written.writestr("index.py", "import boto3\ndef handler(*_):\n    return boto3.client('sqs').meta.region_name")
    functions.create_function(
        FunctionName="f", Runtime="python3.13", Handler="index.handler", Code={"ZipFile": package.getvalue()},
        Role=role,
    )  # fmt: skip
    answer = functions.invoke(FunctionName="f")["Payload"].read()
    # Then it has one
    assert answer == b'"us-east-1"'


def test_it_listens_on_loopback_only_and_keeps_its_secrets_private(small: LocalCloud) -> None:
    small.start()

    listening = {c.laddr.ip for c in process(small).net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}
    private = [small.folder / "settings.json", small.log_path, *(small.folder / "tls").iterdir()]
    assert {stat.S_IMODE(file.stat().st_mode) for file in private} == {0o600}
    secret = small.environ()["AWS_SECRET_ACCESS_KEY"]
    assert secret not in small.log_path.read_text()
    assert secret not in " ".join(process(small).cmdline())


def test_after_a_kill_the_next_start_needs_no_clean_up(small: LocalCloud) -> None:
    # Given a cloud that was killed
    small.start()
    killed, secret = process(small), small.environ()["AWS_SECRET_ACCESS_KEY"]
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait(10)
    assert not small.is_running()
    # When it is started, then a new one runs, with new credentials
    small.start()
    assert small.is_running()
    assert small.environ()["AWS_SECRET_ACCESS_KEY"] != secret


def test_another_process_with_the_recorded_pid_is_not_ended(small: LocalCloud) -> None:
    # Given a record with the pid of a process that is not the cloud
    small.folder.mkdir(parents=True)
    (small.folder / "process.json").write_text(f'{{"pid": {os.getpid()}, "started": 1.0}}')
    # When the cloud is stopped, then that process (this test's own) keeps running
    small.stop()
    assert not small.is_running()


def test_a_taken_port_is_not_waited_for(small: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        monkeypatch.setitem(cloud_module.PREFERRED_PORTS, "lifecycle", taken)

        small.start()

        assert small.is_running()
        assert not small.endpoint.endswith(f":{taken}")


def test_the_error_of_a_failed_start_names_the_log_and_quotes_its_end(small: LocalCloud) -> None:
    # Given a file that keeps the emulator from starting
    small.folder.mkdir(parents=True)
    (small.folder / "scratch").write_text("in the way")
    # When it is started, then the message is enough to act on
    with pytest.raises(LocalCloudError) as failure:
        small.start()
    assert "ended with exit code 1" in str(failure.value)
    assert str(small.log_path) in str(failure.value)
    assert "FileExistsError" in str(failure.value)
