"""The first request to each route, when AWS has put something to sleep."""

from typing import cast

import pytest

from environments import GateSettings
from loadtest import access
from loadtest.client import PaymentClient, PaymentOutcome
from loadtest.engine import LoadPlan
from loadtest.faults import Fault, FaultKind

RIGHT = PaymentOutcome(None, 200, version="7")
OF_GATEWAY = PaymentOutcome(Fault(FaultKind.UNAVAILABLE, "status 500"), 500)
OF_FUNCTION = PaymentOutcome(Fault(FaultKind.UNAVAILABLE, "status 500"), 500, version="7")
THROTTLED = PaymentOutcome(Fault(FaultKind.UNAVAILABLE, "status 429"), 429)
NO_ANSWER = PaymentOutcome(Fault(FaultKind.TIMEOUT, "timeout"))


class Replies:
    """A client that gets these outcomes one after the other, and the last one again and again."""

    def __init__(self, *outcomes: PaymentOutcome) -> None:
        self.left, self.sent = list(outcomes), 0

    def __call__(self, *_: object, **__: object) -> PaymentClient:
        return cast(PaymentClient, self)

    def send(self, *_: object) -> PaymentOutcome:
        self.sent += 1
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "ASK_AGAIN_SECONDS", 0.001)


def ask(monkeypatch: pytest.MonkeyPatch, replies: Replies, *, url: str, wake_up_seconds: float) -> None:
    monkeypatch.setattr(access, "PaymentClient", replies)
    plan = LoadPlan.of(GateSettings(mix=(("/process", 1),)), url, signed=False)
    access.first_answers(plan, wake_up_seconds=wake_up_seconds)


API = "https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com/dev"


@pytest.mark.parametrize("asleep", [OF_GATEWAY, NO_ANSWER])
def test_a_route_is_asked_until_a_function_answers(monkeypatch: pytest.MonkeyPatch, asleep: PaymentOutcome) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    replies = Replies(asleep, asleep, RIGHT)
    ask(monkeypatch, replies, url=API, wake_up_seconds=60)
    assert replies.sent == 3


@pytest.mark.parametrize("awake", [RIGHT, OF_FUNCTION, THROTTLED])
def test_what_is_awake_is_asked_once(monkeypatch: pytest.MonkeyPatch, awake: PaymentOutcome) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    replies = Replies(awake)
    ask(monkeypatch, replies, url=API, wake_up_seconds=60)
    assert replies.sent == 1


def test_the_wait_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    ask(monkeypatch, Replies(OF_GATEWAY), url=API, wake_up_seconds=0.01)


def test_a_local_cloud_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:4566")
    replies = Replies(OF_GATEWAY)
    ask(monkeypatch, replies, url=API, wake_up_seconds=60)
    assert replies.sent == 1
