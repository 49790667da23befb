"""The gate with workers on Fargate, as the pipeline's step runs it, on a local cloud of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch
from xml.etree import ElementTree as Xml

import psutil
import pytest
import urllib3
from botocore.exceptions import ClientError

import pipeline_app
from environments import environment
from tests.integration.conftest import ROOT, Platform, bootstrapped, deployed, stale_entries
from tests.integration.test_local_cloud_identity import assumed, client

NAME = "load"
SHORT = ("--mix", "/validate=1", "--rate", "40", "--duration", "8", "--max-duration", "8", "--warm-up", "3",
         "--limit", "5000")  # fmt: skip

Begin = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """An environment whose settings say ``load_workers=2``."""
    settings = patch.object(pipeline_app, "environment", lambda name: replace(environment(name), load_workers=2))
    with bootstrapped(NAME, tmp_path_factory.mktemp("load-cloud")) as cloud, settings:
        yield deployed(cloud, NAME, tmp_path_factory.mktemp("load-platform"))


@pytest.fixture
def begin(platform: Platform, tmp_path: Path) -> Begin:
    """Starts the step's command under the step's role."""

    def start(*arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "loadtest.fargate", "--env", NAME, "--workers", "2", *arguments],
            cwd=tmp_path,
            env=platform.environ | {"PLATFORM_ROLE_ARN": platform.outputs["LoadRunnerRoleArn"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def report(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "reports" / NAME / "gate.json").read_text())
    return loaded


def processes(platform: Platform) -> list[psutil.Process]:
    """Those of the tasks, each in a folder of its local cloud."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(f"{platform.cloud.folder}/scratch/task-"):
                found.append(process)
        except psutil.Error:
            continue  # it has gone, or belongs to somebody else
    return found


def nothing_runs(platform: Platform) -> bool:
    tasks = platform.client("ecs").list_tasks(cluster=json.loads(platform.outputs["LoadTasks"])["run"]["cluster"])
    return not tasks["taskArns"] and not processes(platform)


def test_two_workers_prove_the_candidate_fast(platform: Platform, begin: Begin, tmp_path: Path) -> None:
    # When the step's command runs
    gate = begin(*SHORT)
    output, errors = gate.communicate(timeout=80)
    # Then it has the gate's verdict, and said what the gate said
    assert gate.returncode == 0, output + errors
    assert "measured" in output
    # And the reports are where the step looks for them
    found = report(tmp_path)
    assert found["verdict"] == "pass"
    suite = Xml.parse(tmp_path / "reports" / NAME / "gate.junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert suite.get("failures") == suite.get("errors") == "0"
    # And both workers took part: each sends every other request
    assert found["subject"]["workers"] == 2
    assert found["routes"][0]["samples"] == 320
    assert found["generator"]["unaccounted"] == 0
    # And nothing is left running
    assert nothing_runs(platform)


def test_a_worker_that_dies_ends_the_run(platform: Platform, begin: Begin, tmp_path: Path) -> None:
    # Given a gate that measures
    gate = begin("--mix", "/validate=1", "--rate", "60", "--duration", "60", "--warm-up", "1")
    assert gate.stdout
    assert any("measured" in line for line in gate.stdout)
    # When one of the workers is killed
    [worker, _] = [process for process in processes(platform) if "--worker" in process.cmdline()]
    os.kill(worker.pid, signal.SIGKILL)
    output, errors = gate.communicate(timeout=60)
    # Then there is no verdict, and the gate's own report says why
    assert gate.returncode == 9, output + errors
    assert "load workers died" in report(tmp_path)["reasons"][0]
    # And nothing is left running
    assert nothing_runs(platform)


def test_the_steps_role_runs_these_tasks_and_no_others(platform: Platform) -> None:
    # Given it
    role = assumed(platform, "LoadRunnerRoleArn")
    ecs, logs, s3 = (client(platform, role, service) for service in ("ecs", "logs", "s3"))
    # Then it is refused other task definitions, other clusters' tasks, other logs, and to write reports
    place = json.loads(platform.outputs["LoadTasks"])
    elsewhere = place["run"]["taskDefinition"].replace("task-definition/payment-load-load", "task/other")
    other = place["run"] | {"taskDefinition": place["run"]["taskDefinition"].replace("payment-load-load", "other")}
    for call in (
        lambda: ecs.run_task(**other),
        lambda: ecs.stop_task(cluster="other", task=elsewhere),
        lambda: logs.get_log_events(logGroupName="/payment/load/vpc-flow-logs", logStreamName="x"),
        lambda: s3.put_object(Bucket=place["bucket"], Key="reports/x.zip", Body=b""),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            call()


Run = Callable[..., str]


@pytest.fixture
def run(platform: Platform) -> Run:
    """Starts a task with this program as its command. Returns its ARN."""
    place = json.loads(platform.outputs["LoadTasks"])

    def start(program: str) -> str:
        container = {"name": place["container"], "command": ["python", "-uc", program]}
        answer = platform.client("ecs").run_task(**place["run"], overrides={"containerOverrides": [container]})
        assert answer["tasks"][0]["lastStatus"] in ("PROVISIONING", "PENDING")
        arn: str = answer["tasks"][0]["taskArn"]
        return arn

    return start


def test_a_task_of_the_local_cloud_ends_with_its_command(platform: Platform, run: Run) -> None:
    # When a command ends by itself
    arn = run("import os; print(sorted(os.environ)); print('bye'); raise SystemExit(3)")
    platform.client("ecs").get_waiter("tasks_stopped").wait(
        cluster="payment-load-load", tasks=[arn], WaiterConfig={"Delay": 1}
    )
    # Then its task has ended for that reason, with its exit code
    [task] = platform.client("ecs").describe_tasks(cluster="payment-load-load", tasks=[arn])["tasks"]
    assert (task["stopCode"], task["containers"][0]["exitCode"]) == ("EssentialContainerExited", 3)
    # And what it said is in the log: that it had its role's credentials, and nothing else of this machine
    stream = f"load/load/{arn.rpartition('/')[2]}"
    events = platform.client("logs").get_log_events(logGroupName="/payment/load/load-gate", logStreamName=stream)
    variables, said = (event["message"] for event in events["events"])
    assert said == "bye"
    assert "AWS_SESSION_TOKEN" in variables
    assert "HOME" not in variables


def test_a_task_of_the_local_cloud_ends_when_it_is_stopped(platform: Platform, run: Run) -> None:
    # Given a task that would not end, and a process that it started
    arn = run("import signal, subprocess; signal.signal(15, signal.SIG_IGN); subprocess.run(['sleep', '600'])")
    ecs = platform.client("ecs")
    ecs.get_waiter("tasks_running").wait(cluster="payment-load-load", tasks=[arn], WaiterConfig={"Delay": 1})
    [task] = ecs.describe_tasks(cluster="payment-load-load", tasks=[arn])["tasks"]
    assert {"name": "privateIPv4Address", "value": "127.0.0.1"} in task["attachments"][0]["details"]
    # When it is stopped
    stopped = ecs.stop_task(cluster="payment-load-load", task=arn, reason="enough")["task"]
    # Then both have ended, for the reason given
    assert (stopped["lastStatus"], stopped["stoppedReason"]) == ("STOPPED", "enough")
    assert nothing_runs(platform)


def test_the_list_of_ignored_properties_of_tasks_is_exact(platform: Platform) -> None:
    assert [entry for entry in stale_entries(platform.cloud) if entry.startswith("AWS::ECS::")] == []


@contextmanager
def customers_who_pay(platform: Platform) -> Iterator[list[int]]:
    """The answers to a client that pays all the while, 0 for a request without one."""
    answers, ended = [platform.api().pay("/process").status], threading.Event()

    def pay() -> None:
        while not ended.wait(0.1):
            try:
                answers.append(platform.api().pay("/process").status)
            except urllib3.exceptions.HTTPError:
                answers.append(0)

    client = threading.Thread(target=pay)
    client.start()
    try:
        yield answers
    finally:
        ended.set()
        client.join()


def test_cdk_destroy_leaves_nothing_of_an_environment_in_which_customers_go_on_paying(platform: Platform) -> None:
    """The last one here: it takes away what the others use."""
    # Given an environment that takes payments
    with customers_who_pay(platform) as answers:
        # When it is destroyed as the README says
        destroyed = subprocess.run(
            ["cdk", "destroy", "-c", f"environmentSuffix={NAME}", "--force"],
            cwd=ROOT,
            env=platform.environ,
            capture_output=True,
            text=True,
        )
    assert answers.count(201) > 2, answers
    assert answers[-1] != 201
    assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr
    # Then nothing of it is left, and none of its data
    with pytest.raises(ClientError, match="does not exist"):
        platform.client("cloudformation").describe_stacks(StackName=platform.outputs.stack_name)
    assert platform.client("lambda").list_functions()["Functions"] == []
    assert platform.client("dynamodb").list_tables()["TableNames"] == []
    assert platform.client("rds").describe_db_clusters()["DBClusters"] == []
    assert platform.client("secretsmanager").list_secrets()["SecretList"] == []
    assert [bucket["Name"] for bucket in platform.client("s3").list_buckets()["Buckets"]] == [
        f"cdk-hnb659fds-assets-{platform.cloud.account}-{platform.cloud.region}"
    ]
