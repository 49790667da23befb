"""People and programs are told of a release: mails, chat rooms (a real HTTP server), events on the bus."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import names
from environments import StepSettings
from pipeline.release.aws import webhooks
from pipeline.release.outcome import ExitCode, Outcome
from pipeline.release.plan import Plan
from tests.unit.pipeline.release.bench import PLAN, Bench
from tests.unit.pipeline.release.test_exits import fails
from tests.unit.pipeline.release.test_operators import promoted

SECRET = names.release_webhooks("test")


@dataclass
class Room:
    """A chat room on loopback."""

    url: str = ""
    status: int = 200
    slow: threading.Event | None = None
    """It answers when this is set."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    types: set[str] = field(default_factory=set)


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            room.types.add(self.headers["Content-Type"])
            if room.slow:
                room.slow.wait(30)
            room.bodies.append(json.loads(body))
            self.send_response(room.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    room.url = f"http://127.0.0.1:{server.server_port}/services/T0/B0/s3cret"
    yield room
    if room.slow:
        room.slow.set()
    server.shutdown()
    server.server_close()


def given(room: Room, form: str = "slack", least: str = "info", *, plan: Plan = PLAN) -> Bench:
    bench = Bench(plan=plan)
    bench.aws.secrets[SECRET] = json.dumps([{"url": room.url, "format": form, "from": least}])
    return bench


def rolled_back(bench: Bench) -> Outcome:
    bench.clock.after(90, lambda: bench.aws.alarms.update({"api-errors": "ALARM"}))
    outcome = bench.controller().shift()
    assert outcome.code is ExitCode.ROLLED_BACK
    return outcome


def words(body: dict[str, Any]) -> str:
    """The text of a Teams message."""
    [attachment] = body["attachments"]
    card = attachment["content"]
    assert (body["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    return "\n".join(run["text"] for block in card["body"] for run in block["inlines"])


# Chat rooms


def test_a_slack_room_hears_of_each_event_with_the_next_command_and_links(room: Room) -> None:
    rolled_back(given(room))

    texts = [body["text"] for body in room.bodies]
    assert room.types == {"application/json"}
    assert [text.splitlines()[0] for text in texts] == [
        ":white_check_mark: *Payments test: pending, version 2*",
        ":white_check_mark: *Payments test: shifting, version 2*",
        ":white_check_mark: *Payments test: shifting, version 2*",
        ":rotating_light: *Payments test: rolling-back, version 2*",
        ":rotating_light: *Payments test: rolled-back, version 2*",
    ]
    assert "rolling back: alarm: api-errors" in texts[-2]
    assert "`python -m pipeline.release retry --env test`" in texts[-1]
    assert "#dashboards:name=payment-test|dashboard>" in texts[-1]
    assert texts[-1].endswith("/reports/test/release.html")


def test_a_teams_room_gets_cards_with_the_same_and_buttons(room: Room) -> None:
    rolled_back(given(room, "teams", "error"))

    back, ended = room.bodies
    assert "Payments test: rolling-back, version 2" in words(back)
    assert "rolling back: alarm: api-errors" in words(back)
    assert "`python -m pipeline.release retry --env test`" in words(ended)
    [button] = ended["attachments"][0]["content"]["actions"]
    assert (button["type"], button["title"]) == ("Action.OpenUrl", "Dashboard")


@pytest.mark.parametrize(("least", "heard"), [("info", 7), ("warning", 3), ("error", 2)])
def test_a_room_hears_what_is_serious_enough(least: str, heard: int, room: Room) -> None:
    # Given a release that is paused, resumed, and then rolled back
    bench = given(room, least=least)
    bench.clock.after(70, lambda: bench.ask("pause", 300))
    bench.clock.after(80, lambda: bench.ask("resume"))
    bench.clock.after(90, lambda: bench.ask("abort"))

    bench.controller().shift()

    assert len(room.bodies) == heard, [body["text"] for body in room.bodies]


def test_the_words_of_others_are_no_markup_in_a_room(room: Room) -> None:
    bench = given(room)
    bench.controller("<!channel> & co").shift()

    assert "asked for by &lt;!channel&gt; &amp; co" in room.bodies[0]["text"]
    assert "<!channel>" not in room.bodies[0]["text"]


def test_a_room_that_does_not_answer_costs_neither_the_release_nor_its_lease(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "POST_SECONDS", 0.05)
    room.slow = threading.Event()
    bench = given(room)
    began = time.monotonic()

    assert bench.controller().shift().code is ExitCode.DONE

    assert time.monotonic() - began < 20
    assert any(f"web hook 1 of {SECRET}: " in line for line in bench.messages)


def test_a_name_that_nobody_resolves_costs_no_more(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a look-up of names that hangs, for which there is no time limit
    resolved = threading.Event()
    monkeypatch.setattr(webhooks, "POST_SECONDS", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved.wait(60))
    began = time.monotonic()

    assert given(room).controller().shift().code is ExitCode.DONE

    assert time.monotonic() - began < 20
    resolved.set()


@pytest.mark.parametrize("status", [404, 500])
def test_a_room_that_refuses_is_said_without_its_address(status: int, room: Room) -> None:
    room.status = status
    bench = given(room)

    assert bench.controller().shift().code is ExitCode.DONE

    assert f"  not announced: web hook 1 of {SECRET}: HTTPError {status}" in bench.messages
    assert not any("s3cret" in line for line in bench.messages)


def test_one_room_that_is_gone_keeps_no_other_from_hearing(room: Room) -> None:
    bench = given(room)
    gone = {"url": "http://127.0.0.1:9/s3cret", "format": "teams", "from": "info"}
    bench.aws.secrets[SECRET] = json.dumps([gone, *json.loads(bench.aws.secrets[SECRET])])

    promoted(bench)

    assert len(room.bodies) == 7
    assert any("web hook 1" in line for line in bench.messages)
    assert not any("web hook 2" in line or "s3cret" in line for line in bench.messages)


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("no JSON", "it is no JSON"),
        ('{"url": "https://hooks.example/s3cret", "format": "slack"}', "it is no list"),
        ('[{"url": "http://hooks.example/s3cret", "format": "slack"}]', "its url needs https"),
        ('[{"url": "file:///s3cret", "format": "slack"}]', "its url needs https"),
        ('[{"url": "https://hooks.example/s3cret", "format": "irc"}]', "format 'irc': use slack or teams"),
        (
            '[{"url": "https://hooks.example/s3cret", "format": "slack", "from": "loud"}]',
            "'loud' is not a valid",
        ),
        ('[{"url": "https://hooks.example/s3cret"}]', "needs `url` and `format`"),
        ('["https://hooks.example/s3cret"]', "needs `url` and `format`"),
    ],
)
def test_a_secret_that_makes_no_sense_is_said_once_and_not_shown(secret: str, said: str) -> None:
    bench = Bench()
    bench.aws.secrets[SECRET] = secret

    promoted(bench)

    [line] = [line for line in bench.messages if "not announced" in line]
    assert said in line
    assert "s3cret" not in line


def test_without_a_secret_nothing_is_said_and_it_is_asked_for_once() -> None:
    bench = Bench()
    asked: list[str] = []
    bench.aws.disturb = lambda operation, when: asked.append(f"{operation} {when}")

    promoted(bench)

    assert asked.count("GetSecretValue before") == 1
    assert not any("not announced" in line for line in bench.messages)


# Mails


def test_a_mail_says_what_happened_what_to_do_and_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    build = "https://us-east-1.console.aws.amazon.com/codesuite/codebuild/1/projects/shift/build/1"
    monkeypatch.setenv("CODEBUILD_BUILD_URL", build)
    bench = Bench()

    rolled_back(bench)

    subject, mail = bench.aws.messages[-2]
    assert subject == "Payments test: rolling-back, version 2"
    assert mail.splitlines()[:5] == [
        "rolling back: alarm: api-errors",
        "",
        "Next: `python -m pipeline.release status --env test` shows where traffic is",
        f"Dashboard: {bench.controller().world.announcer._dashboard}",  # type: ignore[attr-defined]
        f"Report: {build}",
    ]
    assert mail.splitlines()[-1].endswith("rolling back: alarm: api-errors")


@pytest.mark.parametrize(
    ("given", "command"),
    [
        ("a promotion", "undo --env test --now"),
        ("an undo", "retry --env test"),
        ("an interruption", "shift --env test"),
        ("a pause", "resume --env test"),
        ("a step that waits for approval", "promote --env test"),
    ],
)
def test_the_next_command_is_the_one_that_leads_on(given: str, command: str) -> None:
    steps = (StepSettings(weight=10, approval=True),) if given == "a step that waits for approval" else ()
    bench = Bench(plan=Plan(weights=(10, 100), bake_seconds=60, hold_seconds=120, steps=steps))
    match given:
        case "an interruption":
            bench.clock.after(30, bench.clock.interrupt)
        case "a pause":
            bench.clock.after(30, lambda: bench.ask("pause", 60))
        case "a step that waits for approval":
            bench.clock.after(500, lambda: bench.ask("promote"))
    bench.controller().shift()
    if given == "an undo":
        bench.controller().undo(now=True)

    assert any(f"Next: `python -m pipeline.release {command}`" in mail for _, mail in bench.aws.messages)


# Events


def test_each_phase_is_an_event_on_the_bus_that_rules_can_tell_apart() -> None:
    bench = Bench()
    rolled_back(bench)

    assert {(entry["Source"], entry["DetailType"]) for entry in bench.aws.events} == {
        ("payments.release", "Release Event")
    }
    details = [json.loads(entry["Detail"]) for entry in bench.aws.events]
    assert [(detail["phase"], detail["severity"], detail["weight"]) for detail in details] == [
        ("pending", "info", 0),
        ("shifting", "info", 10),
        ("baking", "info", 10),
        ("shifting", "info", 25),
        ("baking", "info", 25),
        ("rolling-back", "error", 0),
        ("rolled-back", "error", 0),
    ]
    assert details[-1]["cause"] == "alarm: api-errors"
    assert details[-1]["rejected"] is True
    assert details[-1]["candidate"]["processing"] == "2"
    assert details[0]["asked_by"] == "ann"
    assert details[-1]["links"]["dashboard"].endswith("payment-test")


def test_an_event_that_the_bus_refuses_is_said() -> None:
    bench = Bench()
    refusal = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure", "ErrorMessage": "later"}]}
    bench.aws.put_events = lambda **_: refusal  # type: ignore[method-assign]

    assert bench.controller().shift().code is ExitCode.DONE

    assert "  not announced: putting an event on the bus: InternalFailure: later" in bench.messages


def test_a_channel_that_is_away_keeps_no_other_from_telling(room: Room) -> None:
    for operation in ("Publish", "PutEvents", "PutMetricData"):
        room.bodies.clear()
        bench = given(room)
        fails(bench, operation)

        assert bench.controller().shift().code is ExitCode.DONE

        assert len(room.bodies) == 7
        assert len(bench.aws.messages) == (0 if operation == "Publish" else 7)
        assert len(bench.aws.events) == (0 if operation == "PutEvents" else 11)
