"""The gate on Fargate, seen from the command, with AWS in memory: every way in which a run can end."""

import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from loadtest import fargate, fleet
from pipeline import aws

COMMAND = ["--env", "dev", "--workers", "2"]
PLACE = {
    "run": {"cluster": "payment-load-dev", "taskDefinition": "definition", "launchType": "FARGATE"},
    "container": "load",
    "logGroup": "/payment/dev/load-gate",
    "logPrefix": "load/load",
    "bucket": "passing",
}
GATE = "arn:aws:ecs:us-east-1:1:task/payment-load-dev/1"


def refused(operation: str, code: str, message: str = "refused by the test") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class FakeAws:
    """Stands in for a ``boto3.Session``. ``play`` is called at each look at the tasks, and lets them go on."""

    region_name = "eu-west-1"

    def __init__(self) -> None:
        self.outputs = {"LoadTasks": json.dumps(PLACE)}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.runs: list[dict[str, Any]] = []
        self.stopped: list[str] = []
        self.objects: dict[str, bytes] = {}
        self.logs: dict[str, list[str]] = {}
        self.looks = 0
        self.play: Callable[[], None] = lambda: None
        self.disturb: Callable[[str], Any] = lambda operation: None

    # What tests do to the account.

    def move(self, status: str, *arns: str, **more: Any) -> None:
        for arn in arns or tuple(self.tasks):
            self.tasks[arn].update(lastStatus=status, **more)

    def give_address(self) -> None:
        details = [{"name": "subnetId", "value": "s"}, {"name": "privateIPv4Address", "value": "10.0.3.7"}]
        self.tasks[GATE]["attachments"] = [{"details": details}]

    def end(self, arn: str, code: int | None, reason: str = "Essential container exited") -> None:
        container = {} if code is None else {"exitCode": code, "lastStatus": "STOPPED"}
        self.move("STOPPED", arn, containers=[container], stoppedReason=reason)

    def hand_over_reports(self, verdict: str) -> None:
        [command] = [self.command(run) for run in self.runs if "gate" in self.command(run)]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("dev/gate.json", json.dumps({"verdict": verdict}))
        self.objects[command[command.index("gate") + 2]] = packed.getvalue()

    def go_well(self, verdict: str = "pass", code: int = 0) -> None:
        match self.looks:
            case 1:
                self.move("PENDING")
            case 2:
                self.give_address()
            case 3:
                self.move("RUNNING")
                self.logs["load/load/1"] = ["waiting for 2 workers"]
            case 4:
                self.logs["load/load/1"].append("measured 30 of 30 s")
                for worker in self.workers:
                    self.end(worker, 0)
            case 5:
                self.hand_over_reports(verdict)
                self.end(GATE, code)

    @property
    def workers(self) -> list[str]:
        return [arn for arn in self.tasks if arn != GATE]

    @staticmethod
    def command(run: dict[str, Any]) -> list[str]:
        command: list[str] = run["overrides"]["containerOverrides"][0]["command"]
        return command

    # What the command calls.

    def client(self, _service: str, **_: Any) -> "FakeAws":
        return self

    def describe_stacks(self, **_: Any) -> Any:
        self.disturb("DescribeStacks")
        return {"Stacks": [{"Outputs": [{"OutputKey": k, "OutputValue": v} for k, v in self.outputs.items()]}]}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:
        assert Bucket == "passing"
        self.objects[Key] = Body

    def get_object(self, *, Bucket: str, Key: str) -> Any:
        if Key not in self.objects:
            raise refused("GetObject", "AccessDenied")  # S3's answer to who may not list the bucket
        return {"Body": io.BytesIO(self.objects[Key])}

    def generate_presigned_url(self, _operation: str, *, Params: dict[str, str], ExpiresIn: int) -> str:
        return f"https://passing.s3.amazonaws.com/{Params['Key']}?X-Amz-Expires={ExpiresIn}"

    def run_task(self, **request: Any) -> Any:
        self.runs.append(request)
        answer = self.disturb("RunTask")
        if answer is not None:
            return answer
        first = len(self.tasks) + 1
        made = {
            f"{GATE[:-1]}{number}": {"lastStatus": "PROVISIONING", "attachments": [], "containers": [{}]}
            for number in range(first, first + request["count"])
        }
        self.tasks |= {arn: {"taskArn": arn, **task} for arn, task in made.items()}
        return {"tasks": [dict(self.tasks[arn]) for arn in made], "failures": []}

    def describe_tasks(self, *, cluster: str, tasks: list[str]) -> Any:
        assert cluster == "payment-load-dev"
        self.looks += 1
        self.play()
        self.disturb("DescribeTasks")
        return {"tasks": [dict(self.tasks[arn]) for arn in tasks], "failures": []}

    def stop_task(self, *, cluster: str, task: str, reason: str) -> None:
        self.stopped.append(task)
        self.disturb("StopTask")

    def get_log_events(self, *, logGroupName: str, logStreamName: str, **how: Any) -> Any:
        if logStreamName not in self.logs:
            raise refused("GetLogEvents", "ResourceNotFoundException")
        lines = self.logs[logStreamName]
        begin = int(how.get("nextToken", 0)) if how.get("startFromHead") else -how["limit"]
        return {"events": [{"message": line} for line in lines[begin:]], "nextForwardToken": str(len(lines))}


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeAws]:
    """An account in which all goes well, and no waiting."""
    cloud = FakeAws()
    cloud.play = cloud.go_well
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(aws, "session", lambda region, environment: cloud)
    monkeypatch.setattr(fleet, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(fleet, "LAST_WORDS_SECONDS", 0.01)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield cloud
    for number, handler in handlers.items():
        signal.signal(number, handler)


def report() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("reports/dev/gate.json").read_text())
    return found


@pytest.mark.parametrize(("verdict", "code"), [("pass", 0), ("fail", 1), ("invalid", 4), ("error", 8)])
def test_the_gates_verdict_is_the_commands(
    cloud: FakeAws, capsys: pytest.CaptureFixture[str], verdict: str, code: int
) -> None:
    # Given a gate with this verdict
    cloud.play = lambda: cloud.go_well(verdict, code)
    # When it is run
    assert fargate.main([*COMMAND, "--rate", "4000"]) == code
    # Then its reports are here, and what it said was shown once
    assert report()["verdict"] == verdict
    said = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("gate ")]
    assert said == ["waiting for 2 workers", "measured 30 of 30 s"]
    # And it was told to wait for the workers, and the workers where it is
    gate, workers = (FakeAws.command(run)[4:] for run in cloud.runs)
    assert gate[3:] == ["--env", "dev", "--rate", "4000", "--remote-workers", "2"]
    assert workers == ["worker", "10.0.3.7"]
    assert [run["count"] for run in cloud.runs] == [1, 2]
    # And no task was left to stop
    assert cloud.stopped == []


def test_reports_of_an_older_run_are_gone_before_anything_starts(cloud: FakeAws) -> None:
    # Given the report of an older run that passed
    Path("reports/dev").mkdir(parents=True)
    Path("reports/dev/gate.json").write_text('{"verdict": "pass"}')
    # When a new one is killed on the spot
    seen: list[str] = []
    cloud.disturb = lambda operation: seen.append(report()["verdict"])
    fargate.main(COMMAND)
    # Then what lies there is no pass
    assert set(seen[:-1]) == {"unfinished"}


def test_the_gates_verdict_counts_before_its_network_interface_is_gone(
    cloud: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a gate that has handed over its reports and ended, and whose task is not done for longer than a run may take
    monkeypatch.setattr(fleet, "PATIENCE_SECONDS", 0.5)

    def play() -> None:
        cloud.go_well()
        if cloud.looks == 5:
            cloud.move("DEPROVISIONING", GATE)

    cloud.play = play
    # Then its verdict counts
    assert fargate.main(COMMAND) == 0
    assert cloud.stopped == []


def test_more_workers_than_one_call_takes(cloud: FakeAws) -> None:
    assert fargate.main(["--env", "dev", "--workers", "23"]) == 0
    assert [run["count"] for run in cloud.runs] == [1, 10, 10, 3]


def test_the_command_of_a_task_fits_into_a_call_of_ecs(cloud: FakeAws) -> None:
    """At most 8,192 characters (RunTask, "overrides"), of which a URL signed by a role's session may take 2,500."""
    fargate.main([*COMMAND, "--mix", "/validate=1,/fraud-check=1,/process=1", "--confidence", "0.99"])
    assert all(len(json.dumps(run["overrides"])) < 8_192 - 2_500 for run in cloud.runs)


def test_the_tasks_get_the_code_and_nothing_else(cloud: FakeAws) -> None:
    fargate.main(COMMAND)
    [code] = [content for key, content in cloud.objects.items() if key.startswith("code/")]
    names = zipfile.ZipFile(io.BytesIO(code)).namelist()
    assert {
        "loadtest/gate.py",
        "loadtest/reports/gate.html",
        "reporting/templates/page.css",
        "pipeline/aws.py",
        "requirements/loadtest.txt",
    } <= set(names)
    assert {name.split("/")[0] for name in names} == {
        "environments.py",
        "loadtest",
        "names.py",
        "pipeline",
        "reporting",
        "requirements",
        "windows.py",
    }
    assert not [name for name in names if "__pycache__" in name]


def test_the_code_of_the_tasks_lacks_nothing_that_the_gate_imports(cloud: FakeAws, tmp_path: Path) -> None:
    fargate.main(COMMAND)
    [code] = [content for key, content in cloud.objects.items() if key.startswith("code/")]
    zipfile.ZipFile(io.BytesIO(code)).extractall(tmp_path)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-m", "loadtest.gate", "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "answer",
    [
        {"tasks": [], "failures": [{"reason": "Capacity is unavailable at this time"}]},
        refused("RunTask", "ClientException", "Capacity is unavailable at this time"),
    ],
)
def test_workers_that_ecs_does_not_start(
    cloud: FakeAws, capsys: pytest.CaptureFixture[str], answer: dict[str, Any] | ClientError
) -> None:
    # Given room for the gate, but for no worker
    def full(operation: str) -> Any:
        if operation == "RunTask" and cloud.tasks:
            if isinstance(answer, ClientError):
                raise answer
            return answer

    cloud.disturb = full
    # Then the run ends, says why, and stops the gate
    assert fargate.main(COMMAND) == 9
    assert "Capacity is unavailable" in capsys.readouterr().err
    assert report()["verdict"] == "error"
    assert cloud.stopped == [GATE]


@pytest.mark.parametrize(("code", "ended"), [(None, "CannotPullContainerError: not found"), (0, "Essential container")])
def test_a_gate_without_reports_has_no_verdict(
    cloud: FakeAws, capsys: pytest.CaptureFixture[str], code: int | None, ended: str
) -> None:
    # Given a gate task that ends before it could hand over anything, whatever its exit code
    cloud.play = lambda: cloud.end(GATE, code, ended)
    assert fargate.main(COMMAND) == 9
    assert f"the gate left no reports: {ended}" in capsys.readouterr().err
    assert report()["verdict"] == "error"


def test_a_worker_that_ends_before_the_gate(
    cloud: FakeAws, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a worker that can't install what it needs, and a gate that waits for it
    monkeypatch.setattr(fleet, "PATIENCE_SECONDS", 0.0)

    def play() -> None:
        if cloud.looks <= 3:
            return cloud.go_well()
        cloud.end(cloud.workers[1], 1)
        cloud.logs["load/load/3"] = [f"line {number}" for number in range(20)] + ["hashes do not match"]

    cloud.play = play
    # Then the run ends with the worker's last words, and stops all others
    assert fargate.main(COMMAND) == 9
    said = capsys.readouterr().err
    assert "a worker ended before the gate: Essential container exited, exit code 1" in said
    assert "hashes do not match" in said
    assert "line 1\n" not in said
    assert cloud.stopped == [GATE, cloud.workers[0]]


def test_a_run_that_takes_too_long(
    cloud: FakeAws, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fargate, "START_SECONDS", -100_000.0)
    cloud.play = lambda: None
    assert fargate.main(COMMAND) == 9
    assert "longer than they may" in capsys.readouterr().err
    assert cloud.stopped == [GATE]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_stops_its_tasks(cloud: FakeAws, number: signal.Signals) -> None:
    # Given a run with three tasks
    def play() -> None:
        cloud.go_well()
        if cloud.looks == 3:
            os.kill(os.getpid(), number)

    cloud.play = play
    # When it is interrupted, and once more while it stops them
    cloud.disturb = lambda operation: os.kill(os.getpid(), number) if operation == "StopTask" else None
    assert fargate.main(COMMAND) == 130
    # Then all three are stopped
    assert cloud.stopped == [GATE, *cloud.workers]
    assert report()["reasons"] == ["interrupted before the verdict"]


def test_one_task_that_can_not_be_stopped_keeps_no_other_running(
    cloud: FakeAws, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a call that fails in the midst of a run, and then the first attempt to stop a task too
    def fail(operation: str) -> None:
        if operation == "DescribeTasks" and cloud.looks == 4:
            raise refused(operation, "ServerException")
        if operation == "StopTask" and cloud.stopped == [GATE]:
            raise refused(operation, "ServerException")

    cloud.disturb = fail
    assert fargate.main(COMMAND) == 9
    assert cloud.stopped == [GATE, *cloud.workers]
    assert f"task {GATE} could not be stopped" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (refused("DescribeStacks", "ValidationError", "Stack payment-platform-dev does not exist"), 7),
        (refused("DescribeStacks", "AccessDenied"), 6),
        (refused("DescribeStacks", "ExpiredToken"), 6),
        (EndpointConnectionError(endpoint_url="https://cloudformation"), 5),
    ],
)
def test_aws_can_not_be_asked(cloud: FakeAws, error: Exception, code: int) -> None:
    def fail(_operation: str) -> None:
        raise error

    cloud.disturb = fail
    assert fargate.main(COMMAND) == code
    assert report()["verdict"] == "error"
    assert cloud.runs == []


def test_an_environment_that_was_deployed_without_load_workers(
    cloud: FakeAws, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.outputs = {"ApiGatewayUrl": "https://api.example"}
    assert fargate.main(COMMAND) == 7
    assert "no output 'LoadTasks'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--env", "dev"], ["--env", "dev", "--workers", "0"], [*COMMAND, "--rate", "0.1"]]
)
def test_nonsense_starts_nothing(cloud: FakeAws, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fargate.main(arguments)
    assert ended.value.code == 2
    assert cloud.runs == []
    assert not Path("reports").exists()
