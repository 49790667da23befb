"""The release controller on the local cloud: real aliases, weights, metrics, records; real requests all the while."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from scipy import stats

import names
from localcloud.settings import TIME_SCALE, ExecutedVersion

from .conftest import Platform, short_minutes
from .releases import QUICK, Releases, finish, finish_shift, kill, undisturbed, watchdog

DELAY_MINUTES = 2
"""After which CloudWatch's minutes are there, in the local cloud's minutes."""
LASTING = (
    "import signal, time; signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR1, signal.SIGUSR2)); time.sleep(200)"
)
"""A command around which clients' requests go on, also when it is told that some were lost."""


@pytest.fixture
def releases(platform: Platform, tmp_path: Path) -> Iterator[Releases]:
    """Without the watchdog. Leaves functions, aliases and weights as it found them."""
    with watchdog(platform, on=False):
        yield from undisturbed(platform, tmp_path)


def test_a_new_environment_is_closed_until_its_first_release_opens_it(
    platform: Platform, releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given stable as the first deployment left it: at the first version of each function
    functions = platform.client("lambda")
    for function in names.Function:
        name = platform.outputs[function.name_output]
        functions.update_alias(FunctionName=name, Name="blue", FunctionVersion="1")
    # Then each route says so to customers, while the load gate reaches the candidate
    shop, gate = platform.api(), platform.candidate_api()
    answers = [shop.pay(route) for route in ("/validate", "/fraud-check", "/process")]
    answers.append(shop.get("/transactions", customer_id="load-02000"))
    for answer in answers:
        assert (answer.status, answer.body["type"]) == (503, "urn:problem-type:payments:closed"), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    assert [gate.pay(route).status for route in ("/validate", "/fraud-check", "/process")] == [200, 200, 201]
    assert gate.get("/transactions", customer_id="load-02000").status == 200
    assert "customers get 503" in releases.run("status")[1]["text"]

    # When the first release is asked for, with some requests around it, which begin when they find it open
    monkeypatch.setitem(QUICK, "BAKE_SCALE", "0.1")
    code, output = finish(releases.shift(rate="4"))

    # Then customers are served, and none of the requests that were sent is lost
    assert code == 0, output
    assert [run["weight"] for run in (releases.record() or {})["looks"]] == [100]
    assert shop.pay("/process").status == 201
    assert releases.traffic()["reasons"] == {}


def test_a_killed_shift_is_continued_and_undone_and_clients_see_the_weights(releases: Releases) -> None:
    # Given a shift whose controller was killed after its first step
    old, new = releases.stable(), releases.deploy()
    killed = releases.shift()
    release = releases.wait_for(killed, lambda release: release["phase"] == "baking" and release["step"] == 1)
    kill(release["started_by"])
    finish(killed)
    assert releases.traffic()["reasons"] == {}

    # When the next one waits for the lease, clients count who answers meanwhile, and then it takes over
    share = release["plan"]["weights"][release["step"]] / 100
    next_one = releases.shift()
    counting = releases.under_load("-c", "import time; time.sleep(12)", reports="count")
    assert finish(counting)[0] == 0
    assert (releases.record() or {})["step"] == 1
    output = finish_shift(releases, next_one)

    # Then the candidate is stable, no request was lost, and the share of requests was that of the weights
    assert "taken over" in output
    assert releases.stable() == new
    assert releases.traffic()["reasons"] == {}
    counted = releases.traffic("count")["versions"]
    assert counted.keys() == new.keys()
    for route, versions in counted.items():
        here, there = versions.get(new[route], 0), versions.get(old[route], 0)
        assert here + there == sum(versions.values())
        expected = [(here + there) * share, (here + there) * (1 - share)]
        assert stats.chisquare([here, there], expected).pvalue > 0.00001, (route, versions)

    # When it is undone at once, then the former version is back, again without a lost request
    finish_shift(releases, releases.shift("undo", "--now"))
    assert releases.stable() == old
    assert releases.traffic()["reasons"] == {}


def test_a_terminated_controller_and_an_abort_from_another_process_lose_no_request(releases: Releases) -> None:
    # Given a shift under way, when its controller is terminated, then it rolls back before it ends
    old, _ = releases.stable(), releases.deploy()
    shift = releases.shift()
    releases.wait_for(shift, lambda release: release["phase"] == "baking")
    shift.terminate()
    code, output = finish(shift)
    assert (code, releases.stable()) == (1, old), output
    assert releases.traffic()["reasons"] == {}

    # Given it is tried again, when somebody else aborts it, then all traffic is on stable when that returns
    shift = releases.shift("retry")
    releases.wait_for(shift, lambda release: release["phase"] == "baking")
    aborted, answer = releases.run("abort")
    assert (aborted, releases.stable()) == (0, old), answer
    code, output = finish(shift)
    assert code == 1, output
    assert releases.traffic()["reasons"] == {}


@pytest.fixture(params=ExecutedVersion)
def counting(request: pytest.FixtureRequest, platform: Platform) -> Iterator[ExecutedVersion]:
    """Lambda counts by executed version for weighted aliases only, as it is documented, or for all."""
    platform.cloud.change(f"executed_version={request.param}")
    yield request.param
    platform.cloud.change(f"executed_version={ExecutedVersion.WEIGHTED}")


def test_a_change_of_one_function_is_judged_and_promoted(releases: Releases, counting: ExecutedVersion) -> None:
    # Given a change of one function; the aliases of the others get no weights
    old, new = releases.stable(), releases.deploy("/validate")

    # When it is shifted
    output = finish_shift(releases, releases.shift())

    # Then it is stable, the other functions are what they were, and no step waited for what never comes
    assert releases.stable() == {**old, **new}, output
    record = json.loads((releases.folder / "reports" / "dev" / "release.json").read_text())
    assert record["phase"] == "promoted"
    # And no step passed before a minute of its own was published
    published = (DELAY_MINUTES + 1) * 60 * TIME_SCALE
    begun = {event["weight"]: event["at"] for event in record["events"] if event["phase"] == "baking"}
    for run in record["looks"]:
        assert run["at"] >= begun[run["weight"]] + published - 60 * TIME_SCALE
        assert all(sample["requests"] >= 5 for sample in run["candidate"].values()), run


def test_a_candidate_whose_database_is_out_of_reach_is_found_at_the_first_step(releases: Releases) -> None:
    old, _ = releases.stable(), releases.deploy(warm=False, DATABASE_NAME="nowhere")

    code, output = finish(releases.shift())

    assert code == 1, output
    assert releases.stable() == old
    record = json.loads((releases.folder / "reports" / "dev" / "release.json").read_text())
    assert record["step"] == 0
    assert record["rejected"]


@pytest.fixture
def room() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a chat room's web hook, and what came there."""
    heard: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", heard
        server.shutdown()


@pytest.fixture
def leave_as_found() -> Iterator[ExitStack]:
    """Takes back what a test has made, for the releases after it."""
    with ExitStack() as found:
        yield found


def test_a_release_under_its_role_tells_a_chat_room_and_the_event_bus(
    releases: Releases, room: tuple[str, list[dict[str, Any]]], leave_as_found: ExitStack
) -> None:
    # Given a web hook in the secret, and a rule that sends roll-backs and promotions to a queue
    url, heard = room
    platform, (sqs, events, secrets) = (
        releases.platform,
        map(releases.platform.client, ("sqs", "events", "secretsmanager")),
    )
    hook = [{"url": url, "format": "teams", "from": "info"}]
    secret = secrets.create_secret(Name=names.release_webhooks("dev"), SecretString=json.dumps(hook))["ARN"]
    leave_as_found.callback(secrets.delete_secret, SecretId=secret, ForceDeleteWithoutRecovery=True)
    queue = sqs.create_queue(QueueName="release-events")["QueueUrl"]
    leave_as_found.callback(sqs.delete_queue, QueueUrl=queue)
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": [names.RELEASE_EVENTS], "detail": {"phase": ["promoted", "rolled-back"]}}
    events.put_rule(Name="release-ends", EventPattern=json.dumps(pattern))
    leave_as_found.callback(events.delete_rule, Name="release-ends")
    events.put_targets(Rule="release-ends", Targets=[{"Id": "queue", "Arn": arn}])
    leave_as_found.callback(events.remove_targets, Rule="release-ends", Ids=["queue"])
    new = releases.deploy(warm=False)

    # When the release role promotes
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.release", "promote", "--now", "--env", "dev"],
        cwd=releases.folder,
        env=platform.environ | QUICK | {"PLATFORM_ROLE_ARN": platform.outputs["ReleaseRoleArn"]},
        capture_output=True,
        text=True,
    )

    # Then each of them has heard of it, with the link and the next command
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not announced" not in done.stdout + done.stderr
    assert releases.stable() == new
    texts = [json.dumps(card) for card in heard]
    assert "promoted" in texts[-1]
    assert "undo --env dev --now" in texts[-1]
    assert platform.outputs["DashboardUrl"] in texts[-1]
    [message] = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5, MaxNumberOfMessages=10)["Messages"]
    detail = json.loads(message["Body"])["detail"]
    assert (detail["phase"], detail["severity"], detail["environment"]) == ("promoted", "info", "dev")

    # When it would put an event of another source, then the role has no right
    role = platform.client("sts").assume_role(RoleArn=platform.outputs["ReleaseRoleArn"], RoleSessionName="test")
    credentials = role["Credentials"]
    variables = platform.cloud.environ()
    bus = boto3.client(
        "events",
        region_name=variables["AWS_REGION"],
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        verify=variables["AWS_CA_BUNDLE"],
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        bus.put_events(Entries=[{"Source": "payments.other", "DetailType": "Release Event", "Detail": "{}"}])


def test_watch_shows_how_things_stand_again_and_again_until_it_is_interrupted(releases: Releases) -> None:
    # Given a person who watches on a terminal
    screen, terminal = pty.openpty()
    watch = subprocess.Popen(
        [sys.executable, "-m", "pipeline.release", "watch", "--env", "dev"],
        cwd=releases.folder,
        env=releases.platform.environ | {"TERM": "xterm"},
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    shown, given_up = b"", time.monotonic() + 60
    while shown.count(b"stable     version") < 3 and time.monotonic() < given_up:
        if select.select([screen], [], [], 1)[0]:
            shown += os.read(screen, 65536)
    # Then it is drawn anew, and says who serves what
    assert shown.count(b"stable     version") >= 3, shown
    assert f"version {releases.stable()['/validate']}".encode() in shown
    # And an interrupt ends it in order
    watch.send_signal(signal.SIGINT)
    assert watch.wait(timeout=20) == 0
    os.close(screen)


def test_killed_at_50_percent_under_load_traffic_is_back_within_two_minutes_and_nobody_does_anything(
    releases: Releases,
) -> None:
    # Given clients, and a shift that has brought half of their requests to the candidate
    old, _ = releases.stable(), releases.deploy()
    clients = releases.under_load("-c", LASTING, reports="clients")
    shift = releases.start("pipeline.release", "shift", "--env", "dev")
    release = releases.wait_for(shift, lambda release: release["phase"] == "baking" and release["step"] == 2)
    with watchdog(releases.platform, on=True), short_minutes(releases.platform):
        # When its controller is killed, and nobody does anything
        kill(release["started_by"])
        killed = time.time()
        finish(shift)
        last = releases.wait_for(clients, lambda r: r["phase"] == "rolled-back" or time.time() > killed + 120)

    # Then all traffic is on the stable version, the record says why, and no client has lost a request
    assert releases.stable() == old, last
    assert "nobody has driven it since" in last["cause"]
    assert not last["rejected"]
    assert last["events"][-1]["at"] - killed < 120
    clients.terminate()
    finish(clients)
    assert releases.traffic("clients")["reasons"] == {}


def test_an_alarm_that_rolls_back_wakes_the_watchdog(releases: Releases) -> None:
    # Given a watchdog whose schedule is far away
    alarm = releases.platform.outputs["RollbackAlarmNames"].split(",")[0]
    looks = releases.watchdog_looks()
    with watchdog(releases.platform, on=True, schedule=False):
        # When a rollback alarm rings
        releases.platform.client("cloudwatch").set_alarm_state(
            AlarmName=alarm, StateValue="ALARM", StateReason="of the test"
        )
        # Then it looks at once
        for _ in range(40):
            if releases.watchdog_looks() > looks:
                break
            time.sleep(0.25)
    assert releases.watchdog_looks() > looks
