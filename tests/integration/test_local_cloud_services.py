"""The databases, the logs and the alarms of the local cloud."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pg8000 import native as pg8000

from localcloud.postgres import Postgres, PostgresError
from names import Index
from tests.integration.conftest import ROOT, Platform


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "postgres")
    server.start()
    yield server
    server.stop()


def cluster_port(platform: Platform) -> int:
    rds: Any = platform.client("rds")
    return int(rds.describe_db_clusters()["DBClusters"][0]["Port"])


def test_the_database_refuses_a_client_without_tls(platform: Platform) -> None:
    with pytest.raises(pg8000.DatabaseError, match="no encryption"):
        pg8000.Connection(
            "payments_app", host="127.0.0.1", port=cluster_port(platform), password="x", ssl_context=False
        )


def test_a_new_database_server_ends_an_orphaned_one_and_drops_its_data(server: Postgres, tmp_path: Path) -> None:
    # Given an orphaned server with a database
    server.ensure_database("owner", "secret", "payments")
    assert server._process is not None
    orphan = psutil.Process(server._process.pid)
    # When a new one starts on the same folder
    fresh = Postgres(tmp_path / "postgres")
    fresh.start()
    try:
        # Then the old one has ended, and the new one is empty
        assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
        with pytest.raises(PostgresError, match='database "payments" does not exist'):
            fresh.run("SELECT 1;", PGDATABASE="payments")
    finally:
        fresh.stop()


def test_names_and_passwords_with_quotes_are_data(server: Postgres) -> None:
    server.ensure_database("o'wner\"s", "p'\"; DROP ROLE x; --", 'pay"ments')
    server.ensure_database("o'wner\"s", "another", 'pay"ments')

    server.run("SELECT 1;", PGDATABASE='pay"ments')


def test_a_functions_log_lines_are_in_a_file_and_in_cloudwatch(platform: Platform) -> None:
    # Given a request
    request_id = platform.api().pay("/validate").body["request_id"]
    name = platform.outputs["ValidationFunctionName"]
    # Then its line is in the file beside the emulator's log, and in the function's log group
    functions: Any = platform.client("lambda")
    group = functions.get_function(FunctionName=name)["Configuration"]["LoggingConfig"]["LogGroup"]
    logs: Any = platform.client("logs")

    def seen() -> bool:
        events = logs.filter_log_events(logGroupName=group)["events"]
        file = (platform.cloud.folder / "logs" / f"{name}.log").read_text()
        return request_id in file and any(request_id in event["message"] for event in events)

    assert eventually(seen)


def test_an_alarm_follows_its_metric_and_a_composite_alarm_follows_it(platform: Platform) -> None:
    # Given an alarm on the 90th percentile of one dimension, and a composite alarm above it
    cloudwatch: Any = platform.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="slow", Namespace="Test", MetricName="Latency", ExtendedStatistic="p90", Period=60,
        Dimensions=[{"Name": "Color", "Value": "green"}], EvaluationPeriods=1, Threshold=100,
        ComparisonOperator="GreaterThanThreshold", TreatMissingData="notBreaching",
    )  # fmt: skip
    cloudwatch.put_composite_alarm(AlarmName="any", AlarmRule="ALARM(slow)")

    def state(name: str) -> str:
        found = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        return str((found["MetricAlarms"] + found["CompositeAlarms"])[0]["StateValue"])

    def measure(color: str, values: list[float]) -> None:
        dimensions = [{"Name": "Color", "Value": color}]
        data = [{"MetricName": "Latency", "Dimensions": dimensions, "Values": values}]
        cloudwatch.put_metric_data(Namespace="Test", MetricData=data)

    # When the other colour is slow, then it stays quiet
    measure("blue", [500.0] * 10)
    assert eventually(lambda: state("slow") == "OK")
    # When this colour is slow, then both alarms go off
    measure("green", [10.0] * 8 + [500.0] * 2)
    assert eventually(lambda: (state("slow"), state("any")) == ("ALARM", "ALARM"))
    cloudwatch.delete_alarms(AlarmNames=["any"])
    cloudwatch.delete_alarms(AlarmNames=["slow"])


def test_a_payment_consumes_capacity_of_its_table_and_of_the_table_s_indexes(platform: Platform) -> None:
    cloudwatch: Any = platform.client("cloudwatch")
    table = {"TableName": platform.outputs["TransactionTableName"]}

    def consumed(**dimensions: str) -> float:
        named = [{"Name": key, "Value": value} for key, value in dimensions.items()]
        metric = {"Namespace": "AWS/DynamoDB", "MetricName": "ConsumedWriteCapacityUnits", "Dimensions": named}
        query = {"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}
        found = cloudwatch.get_metric_data(MetricDataQueries=[query], StartTime=0, EndTime=2**32)["MetricDataResults"]
        return float(sum(found[0]["Values"]))

    index = {**table, "GlobalSecondaryIndexName": Index.BY_CUSTOMER}
    # Given what the table and one of its indexes have consumed
    before = consumed(**table), consumed(**index)
    # When a customer pays, then both have consumed more some minutes later
    assert platform.api().pay("/process").status == 201
    assert eventually(lambda: consumed(**table) > before[0] and consumed(**index) > before[1])


def eventually(condition: Any, seconds: float = 30) -> bool:
    """Whether ``condition`` becomes true within ``seconds``. The limit only ends a test that fails."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


BEHIND_A_DEAD_PROXY = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": str(ROOT),
    **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), "http://127.0.0.1:9"),
}


@pytest.mark.parametrize("command", ["status", "url"])
def test_the_local_cloud_s_own_commands_ask_no_proxy(platform: Platform, tmp_path: Path, command: str) -> None:
    # Given a fresh shell behind a proxy, without any variable of the cloud
    words = (sys.executable, "-m", "localcloud", command, "dev", "--state", str(platform.cloud.folder.parent))
    done = subprocess.run(words, cwd=tmp_path, env=BEHIND_A_DEAD_PROXY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("pipeline.release", "status", "--env", "dev"),
        ("pipeline.audit", "verify", "--env", "dev"),
        ("pipeline.bootstrap", "--env", "dev"),
        ("loadtest.traffic", "--env", "dev", "--rate", "5", "--reports", "load", "--", "true"),
    ],
    ids=lambda command: command[0],
)
def test_commands_reach_the_local_cloud_past_a_dead_proxy(
    platform: Platform, tmp_path: Path, command: tuple[str, ...]
) -> None:
    # Given a shell behind a proxy, with the variables of `python -m localcloud env dev`
    shell = BEHIND_A_DEAD_PROXY | platform.cloud.environ()
    # When a command is given, then it does not ask the proxy for this machine
    done = subprocess.run([sys.executable, "-m", *command], cwd=tmp_path, env=shell, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
