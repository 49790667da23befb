"""A console in this process, and what stands behind it without a cloud: the release controller on the fake AWS,
payments on record, and a CloudWatch that has a value for each metric."""

import asyncio
import io
import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.actions import Action, Actions
from console.app import Console
from console.evidence.reading import LocalEvidence
from console.gates.reading import LocalGates
from console.live import Server
from console.monitoring.reading import CloudWatch
from console.payments.reading import ApiPayments
from console.platforms import PERMANENT
from console.promotions.local import LocalPromotions
from console.reading import Reading
from console.releases.reading import Standing
from console.security import Keys
from console.show import Frame
from pipeline.local.state import State
from pipeline.release import cli
from pipeline.release.program import KEYWORDS
from pipeline.release.state import read_state
from pipeline.transactions import __main__ as transactions
from pipeline.transactions.client import Reply
from tests.unit.pipeline.release.bench import Bench, FakeClock

WHO = "ann"
STATES = (("candidate-errors", "OK"), ("api-latency", "OK"), ("pending-old", "OK"), ("books-faults", "OK"))


class ThisClock(FakeClock):
    """The time of day, so that a page and a controller share it."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.2))


@contextmanager
def shifting() -> Iterator[Bench]:
    """A release that a controller drives, in a thread of its own, as long as somebody looks."""
    bench = Bench()
    bench.clock = ThisClock()
    thread = threading.Thread(target=bench.controller("the pipeline").shift, daemon=True)
    thread.start()
    try:
        yield bench
    finally:
        bench.clock.interrupt()
        thread.join(20)


def standing(bench: Bench) -> Reading[Standing]:
    world = bench.controller("console").world
    state, history = read_state("test", world), world.records.latest(20)
    return Reading(value=Standing(state=state, history=history, unreadable=(), whose=WHO), at=world.clock.now())


class Ledger:
    """Answers as the API's routes under /transactions do, from payments on record, newest first."""

    def __init__(self, *payments: Mapping[str, Any], decides: threading.Event) -> None:
        self._payments, self._decides = [dict(each) for each in payments], decides

    def get(self, id: str) -> Reply:
        found = [each for each in self._payments if each["transaction_id"] == id]
        return Reply(200, found[0]) if found else Reply(404, {"title": "Not found"})

    def search(self, **asked: str) -> Reply:
        given = {name: value for name, value in asked.items() if name in ("customer_id", "status")}
        found = [each for each in self._payments if given.items() <= each.items()]
        return Reply(200, {"transactions": [{k: v for k, v in each.items() if k != "history"} for each in found]})

    def decide(self, id: str, decision: str, reason: str) -> Reply:
        self._decides.wait(20)
        payment = next(each for each in self._payments if each["transaction_id"] == id)
        if payment["status"] != "review":
            return Reply(409, {"title": "The transaction does not stand in review"})
        made = {
            "number": 1, "kind": decision, "party": "reviewer", "created_at": payment["created_at"], "reason": reason,
            "amount": payment["amount"], "status": f"{decision.removesuffix('e')}ed",
        }  # fmt: skip
        payment.update(status=made["status"], history=[made])
        return Reply(201, {**{k: v for k, v in payment.items() if k != "history"}, **made})


class Metrics:
    """CloudWatch with one dashboard, and waves for its metrics."""

    def __init__(self, body: str) -> None:
        self._body = body

    def get_dashboard(self, **_: Any) -> dict[str, Any]:
        return {"DashboardBody": self._body}

    def get_metric_data(self, *, MetricDataQueries: Any, StartTime: float, EndTime: float, **_: Any) -> dict[str, Any]:
        times = [StartTime + (EndTime - StartTime) * part / 36 for part in range(1, 37)]
        shown = [each for each in MetricDataQueries if each.get("ReturnData", True)]
        return {"MetricDataResults": [self._result(query, place, times) for place, query in enumerate(shown)]}

    def _result(self, query: Any, place: int, times: Sequence[float]) -> dict[str, Any]:
        stat = query.get("MetricStat", {"Metric": {"MetricName": ""}, "Stat": ""})
        name = stat["Metric"]["MetricName"]
        faults = any(word in name for word in ("Error", "4XX", "5XX", "Throttled", "Left", "Faults"))
        high = 0.0 if faults else 160.0 / (1 + place) if name == "Latency" else 40.0 + 12 * place
        label = query.get("Label") or " ".join(
            [*(each["Value"] for each in stat["Metric"].get("Dimensions", [])[:1]), name or "by version"]
        )
        values = [high * (0.8 + 0.12 * math.sin(at / 1900 + place) + 0.06 * math.sin(at / 310)) for at in times]
        stamps = [datetime.fromtimestamp(at, UTC) for at in times]
        return {"Id": query["Id"], "Label": label, "StatusCode": "Complete", "Timestamps": stamps, "Values": values}

    def get_paginator(self, name: str) -> "Metrics":
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        since = datetime.now(UTC) - timedelta(hours=5)
        return [
            {
                "MetricAlarms": [
                    {"AlarmName": f"payment-{name}-{environment}", "StateValue": state, "StateUpdatedTimestamp": since,
                     "StateReason": "Threshold Crossed: no datapoint was above the threshold (5.0)."}
                    for environment in PERMANENT for name, state in STATES
                ]
            }
        ]  # fmt: skip

    def describe_alarm_history(self, **_: Any) -> dict[str, Any]:
        change = {
            "Timestamp": datetime.now(UTC) - timedelta(hours=5),
            "HistorySummary": "Alarm updated from ALARM to OK",
        }
        return {"AlarmHistoryItems": [change | {"AlarmName": f"payment-api-latency-{name}"} for name in PERMANENT]}


@dataclass
class Platforms:
    """Environments as a test furnishes them."""

    bench: Bench = field(default_factory=Bench)
    reading: Reading[Standing] | None = None
    """Of every release; without one, as the bench stands now."""
    payments: Sequence[Mapping[str, Any]] = ()
    decides: threading.Event = field(default_factory=threading.Event)
    """Until it is set, a decision about a payment has no answer."""
    dashboard: str = '{"widgets": []}'

    def names(self) -> Sequence[str]:
        return PERMANENT

    def variables(self, environment: str) -> Mapping[str, str]:
        return {}

    def is_measured(self, environment: str) -> bool:
        return False

    def session(self, environment: str) -> Any:
        return self

    def client(self, service: str, **_: Any) -> Metrics:
        return Metrics(self.dashboard)

    def standing(self, environment: str) -> Reading[Standing]:
        return self.reading or standing(self.bench)


class RecordedPayments(ApiPayments):
    """The console's look-up, with a ledger for the API."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def _client(self, environment: str) -> Any:
        return self._ledger


class OnBench(Actions):
    """Gives the commands to the bench and the ledger, where the console's own would look for a cloud."""

    def __init__(self, state: State, bench: Bench, ledger: Ledger) -> None:
        super().__init__(state.root, state.folder / "console", who=WHO, allowed=True)
        self._bench, self._ledger = bench, ledger
        self._commands = {"pipeline.release": self._release, "pipeline.transactions": self._transactions}

    def output(self, module: str, *arguments: str, environment: object = None) -> list[str]:
        return [f"line {number} of {module}" for number in range(1, 13)]

    def _run(self, action: Action, environment: object) -> None:
        self._here[action.id] = action
        threading.Thread(target=self._carry_out, args=(action,), daemon=True).start()

    def _carry_out(self, action: Action) -> None:
        module, *words = action.command
        code, printed = self._commands[module](words)
        self._log(action.id).write_text(printed)
        self._record(replace(action, exit_code=code, ended=time.time()))
        self._here.pop(action.id)

    def _release(self, words: Sequence[str]) -> tuple[int, str]:
        asked = cli._parser().parse_args(words)
        command = cli.COMMANDS[asked.command]
        options = {KEYWORDS.get(each, each): getattr(asked, each) for each in command.options}
        outcome = command.run(self._bench.controller(self.who, reason=asked.reason), **options)
        return outcome.code, outcome.text

    def _transactions(self, words: Sequence[str]) -> tuple[int, str]:
        ledger: Any = self._ledger
        with redirect_stdout(io.StringIO()) as printed, redirect_stderr(printed):
            code = transactions.main(words, lambda *_: ledger)
        return code, printed.getvalue()


class Hesitating:
    """A source that has no value yet when its ``method`` is called for the first time."""

    def __init__(self, source: Any, method: str) -> None:
        self._source, self._method, self._asked = source, method, False

    def __getattr__(self, name: str) -> Any:
        if name != self._method or self._asked:
            return getattr(self._source, name)
        self._asked = True
        return lambda *_: Reading(asked=time.time())


class Late:
    """ASGI middleware, as a slow and busy machine is: a page comes piece by piece, and its files and streams later."""

    PIECES = 12
    PIECE_SECONDS, FILE_SECONDS = 0.03, 0.3

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_page = False

        async def piecewise(message: Message) -> None:
            nonlocal is_page
            if message["type"] == "http.response.start":
                is_page = any(value.startswith(b"text/html") for _, value in message["headers"])
            body = message.get("body", b"") if is_page else b""
            size = len(body) // self.PIECES + 1
            for begin in range(0, len(body), size):
                await send({"type": "http.response.body", "body": body[begin : begin + size], "more_body": True})
                await asyncio.sleep(self.PIECE_SECONDS)
            await send({**message, "body": b""} if body else message)

        if scope["path"].startswith("/static/") or scope["path"].endswith(("/live", "/log", "/change")):
            await asyncio.sleep(self.FILE_SECONDS)
        await self._app(scope, receive, piecewise)


@contextmanager
def serving(state: State, platforms: Platforms, *, late: bool = False) -> Iterator[str]:
    """A console of ``platforms``, and of the promotions in ``state``. Yields its link. ``late``: as a slow machine has
    it, before whose pages no source has answered."""
    ledger = Ledger(*platforms.payments, decides=platforms.decides)
    keys, actions = Keys(), OnBench(state, platforms.bench, ledger)
    first: Callable[[Any, str], Any] = Hesitating if late else lambda source, _: source
    console = Console(
        frame=Frame(actions=actions, csrf=keys.csrf, source="this machine"),
        keys=keys,
        promotions=first(LocalPromotions(state, actions), "reading"),
        platforms=platforms,
        releases=first(platforms, "standing"),
        gates=LocalGates(state),
        monitoring=first(CloudWatch(platforms, seconds=3.0), "view"),
        payments=RecordedPayments(ledger),
        evidence=LocalEvidence(state),
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        app = console.app(port=port, hosts=(keys.host,))
        settings = uvicorn.Config(
            Late(app) if late else app,
            log_level="warning",
            timeout_graceful_shutdown=1,
            lifespan="off",
        )
        server = Server(settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://{keys.host}:{port}/?token={keys.token}"
        finally:
            server.should_exit = True
            thread.join(10)


def resolved(body: Any) -> str:
    """The body of a template's dashboard, with a name in the place of each reference."""
    parts = body["Fn::Join"][1] if isinstance(body, dict) else [body]
    return "".join(
        part if isinstance(part, str) else json.dumps(str(next(iter(part.values()))))[1:-1] for part in parts
    )
