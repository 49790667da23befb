"""Asks the candidate what it would decide of payments that the old system decided, and says where they differ.

    python -m migration shadow --env prod requests.jsonl
    python -m migration shadow --env prod requests.jsonl --rate 50 --most 0.05 --expect customer_velocity_count
    tail -n +1 -F requests.jsonl | python -m migration shadow --env prod -

Each line is a request with the old system's answer (docs/migration.md, "Shadow"). The third form follows a live system
until Ctrl-C, which ends it with the verdict. The requests go to /validate and /fraud-check of the candidate under the
role payment-shadow-<env>. They change nothing, and nothing counts them. The file holds card numbers; no report does.

The verdict: pass when the two systems are proven to differ in at most --most percent of the requests, fail when they
are proven to differ in more, inconclusive otherwise. Reports: shadow.json and shadow.html in the folder of --reports.
"""

import argparse
import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TextIO

from botocore.credentials import DeferredRefreshableCredentials
from urllib3.exceptions import HTTPError

from environments import Environment
from lambdas.api.shadow import HEADER
from migration import arguments, shadow_page
from migration.outcome import ExitCode, Unavailable
from migration.parity import Parity, Verdict
from migration.recording import Decision, Recorded, Unreadable, read
from names import Function
from pipeline import aws
from pipeline.output import say
from pipeline.transactions.client import Reply, SignedApi, assumed

ROUTES = (Function.VALIDATION.path, Function.FRAUD_DETECTION.path)
_OUTCOMES = {"approve": "approved", "review": "review", "decline": "declined"}
_EXIT_CODES = {
    Verdict.PASS: ExitCode.DONE,
    Verdict.FAIL: ExitCode.FAILED,
    Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
}
_RETRY_SECONDS = 1.0
_PROGRESS_SECONDS = 5.0
_SESSION_SECONDS = 3000
"""A role's session lasts an hour at least, and is renewed before."""


class Api(Protocol):
    def send(self, method: str, target: str, body: Any, headers: Any) -> Reply:
        """Raises ``HTTPError``."""


def register(commands: Any) -> None:
    command = arguments.add_command(commands, "shadow", _run, help="compare decisions with the old system's")
    command.add_argument("requests", metavar="FILE", help="recorded requests, a JSON object a line; -: standard input")
    command.add_argument("--rate", type=_positive, default=20.0, help="requests a second (default: %(default)g)")
    command.add_argument("--most", type=_share, default=0.001, metavar="PERCENT",
                         help="of the requests may differ (default: 0.1)")  # fmt: skip
    command.add_argument("--confidence", type=_confidence, default=0.95, metavar="PERCENT", help="default: 95")
    command.add_argument("--expect", action="append", default=[], metavar="REASON",
                         help="a reason code by which the systems are meant to differ; may be given again")  # fmt: skip
    command.add_argument("--concurrency", type=int, choices=range(1, 65), default=8, metavar="1-64",
                         help="payments that are asked about at once (default: %(default)s)")  # fmt: skip
    command.add_argument(
        "--reports", type=Path, default=Path("migration-reports"), help="folder (default: %(default)s)"
    )


def _run(options: argparse.Namespace) -> ExitCode:
    options.reports.mkdir(parents=True, exist_ok=True)
    for name in ("shadow.json", "shadow.html"):  # of an older run, which nobody shall take for this one's
        (options.reports / name).unlink(missing_ok=True)
    api = _api(options.env, options.concurrency)
    parity, began = Parity(options.expect), datetime.now(UTC)
    with _opened(options.requests) as lines, contextlib.suppress(KeyboardInterrupt):
        compare(lines, api, parity, rate=options.rate, concurrency=options.concurrency)
    judgement = parity.judged(options.most, options.confidence)
    say(f"{options.env.name}: {judgement.verdict}: {judgement}")
    for cause in parity.causes:
        say(f"  {cause.requests:,}  {cause.text}{'  (expected)' if cause.expected else ''}")
    for reason, number in parity.unknown.most_common():
        say(f"  {number:,}  unknown: {reason}")
    if judgement.verdict is Verdict.INCONCLUSIVE:
        say(f"{judgement.needed:,} requests without a difference would prove {100 * options.most:g} %")
    report = {
        "environment": options.env.name,
        "started": began.isoformat(timespec="seconds"),
        **asdict(judgement),
        "statement": str(judgement),
        "causes": [asdict(cause) for cause in parity.causes],
        "unknown_by_reason": dict(parity.unknown),
        "latency_ms": shadow_page.latencies(parity),
    }
    (options.reports / "shadow.html").write_text(shadow_page.page(report, parity))
    (options.reports / "shadow.json").write_text(json.dumps(report, indent=2) + "\n")
    say(f"Reports: {options.reports / 'shadow.html'}, shadow.json")
    return _EXIT_CODES[judgement.verdict]


def compare(lines: Iterator[str] | TextIO, api: Api, parity: Parity, *, rate: float, concurrency: int) -> None:
    """Ask ``api`` about each request of ``lines``, at most ``rate`` a second, and add it to ``parity``.

    Raises ``Unavailable`` when the API does not let this role ask. At Ctrl-C, what is under way is finished.
    """
    free, lock, refusals = threading.Semaphore(2 * concurrency), threading.Lock(), list[Unavailable]()

    def ask(recorded: Recorded) -> None:
        try:
            seen = decided(api, recorded)
            with lock:
                if isinstance(seen, str):
                    parity.unknown[seen] += 1
                else:
                    parity.add(recorded, *seen)
        except Unavailable as refused:
            refusals.append(refused)
        finally:
            free.release()

    due = told = time.monotonic()
    with ThreadPoolExecutor(concurrency, "shadow") as pool:
        for found in read(lines):
            if refusals:
                break
            if isinstance(found, Unreadable):
                with lock:
                    parity.unknown[f"unreadable line: {found.reason}"] += 1
                continue
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + 1 / rate, time.monotonic() - 1)  # a live system that paused is not caught up in a burst
            free.acquire()
            pool.submit(ask, found)
            if time.monotonic() - told > _PROGRESS_SECONDS:
                told = time.monotonic()
                say(f"{parity.requests:,} compared, {parity.differences:,} differ", sys.stderr)
    if refusals:
        raise refusals[0]


def decided(api: Api, recorded: Recorded) -> tuple[Decision, dict[str, float]] | str:
    """The candidate's decision, with the latency (ms) of each route; a text why it is not known.

    Raises ``Unavailable`` when the role may not ask.
    """
    replies, latencies = [], {}
    for route in ROUTES:
        reply, latencies[route] = _asked(api, route, recorded)
        if reply is None or reply.status == 429 or reply.status >= 500:
            return f"{route} gave no answer" if reply is None else f"{route} answered {reply.status}"
        if reply.status != 200:
            code = str((reply.body or {}).get("type", "")).rpartition(":")[2].replace("-", "_")
            if reply.status in (401, 403) and code not in ("caller_unknown", "merchant_not_active"):
                raise Unavailable(
                    f"{route} lets no role payment-shadow-… ask (status {reply.status}, {code or 'no reason'}): deploy "
                    "the environment with its setting `migration`"
                )
            return Decision("refused", frozenset({code or str(reply.status)})), latencies
        replies.append(reply.body)
    validation, fraud = replies
    refused = not validation["valid"]
    outcome = "declined" if refused else _OUTCOMES[fraud["decision"]]
    return Decision(outcome, frozenset((*validation["reasons"], *fraud["reasons"]))), latencies


def _asked(api: Api, route: str, recorded: Recorded) -> tuple[Reply | None, float]:
    """The answer and its latency (ms). A request without an answer of a function is sent twice: it changes nothing."""
    headers = {HEADER: recorded.merchant_id}
    reply: Reply | None = None
    for last in (False, True):
        began = time.perf_counter()
        with contextlib.suppress(HTTPError):
            reply = api.send("POST", route, recorded.request, headers)
        milliseconds = 1000 * (time.perf_counter() - began)
        if last or (reply is not None and reply.status != 429 and reply.status < 500):
            break
        time.sleep(_RETRY_SECONDS)
    return reply, milliseconds


def _api(environment: Environment, connections: int) -> SignedApi:
    session = aws.session(environment.region, environment.name)
    outputs = aws.PlatformOutputs.read(environment.stack_name, session)
    if "ShadowRoleArn" not in outputs.values:
        raise Unavailable(f"{environment.name} is not deployed with the setting `migration` (environments.py)")

    def renewed() -> dict[str, str]:
        granted = assumed(session, outputs["ShadowRoleArn"])
        expiry = datetime.fromtimestamp(time.time() + _SESSION_SECONDS, UTC)
        return {
            "access_key": granted.access_key, "secret_key": granted.secret_key, "token": str(granted.token),
            "expiry_time": expiry.isoformat(),
        }  # fmt: skip

    credentials = DeferredRefreshableCredentials(refresh_using=renewed, method="assume-role")
    return SignedApi(outputs["CandidateApiUrl"], credentials, connections=connections)


@contextlib.contextmanager
def _opened(name: str) -> Iterator[TextIO]:
    if name == "-":
        yield sys.stdin
        return
    try:
        with Path(name).open(encoding="utf-8", errors="replace") as file:
            yield file
    except OSError as error:
        raise Unavailable(f"{name} can't be read: {error.strerror}") from None


def _positive(text: str) -> float:
    return _number(text, 0.01, 1000)


def _share(text: str) -> float:
    return _number(text, 0.0001, 50) / 100


def _confidence(text: str) -> float:
    return _number(text, 50, 99.99) / 100


def _number(text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text} is out of range: from {least:g} to {most:g}")
    return value
