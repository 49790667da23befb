"""Steady synthetic traffic on the production stage while a command runs.

    python -m loadtest.traffic --env dev -- python -m pipeline.release shift --env dev

A shift needs traffic by which the versions are compared, and a count of the requests that were lost. This sends signed
payments of synthetic customers at a low, fixed rate while the command runs. It counts the requests that were sent, lost
and answered wrongly, and the function versions that answered, and writes traffic.json into reports/<env>/.

Losses have the load gate's error budget. When they prove that it is overspent, a few requests go to the candidate's
stage. If the candidate loses more of them than the production stage does, the command is told (SIGUSR1): a shift then
rolls back, unless it is promoting already. If not, the trouble hits both versions, or production is all the candidate's
(SIGUSR2): a shift at 100 % then steps back. Commands that do not know the signals end.

Before its first release an environment answers 503 to all. Then nothing is sent until the command has opened it. A
single route that is closed, because its function is new, gets no requests.

Exit codes: the command's own; 10 if the command succeeded but the budget is overspent (the command's changes stay); 2
for a wrong command line; the load gate's code if the traffic could not start (then the command was not run). Ctrl-C,
termination and a closed terminal go to the command, and this program waits for its end.
"""

import locust  # noqa: F401  # isort: skip  First: it makes the standard library cooperative before anything uses it.

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Any

import gevent

from loadtest.access import closed_routes, platform_output
from loadtest.engine import LoadPlan
from loadtest.generator import Generator
from loadtest.losses import LossBudget
from loadtest.options import Workforce, add_target_options, number, positive_integer
from loadtest.probe import Counts, Fault, at_fault, probe
from loadtest.result import GateError, timestamp
from loadtest.samples import Samples
from pipeline.output import discard_unwritten_output, say

POLL_SECONDS = 0.1
CLOSED_POLL_SECONDS = 2.0
"""Between two questions whether the stage is open."""


class ExitCode(IntEnum):
    """This program's own codes. Otherwise it ends with the code of the command, or with the load gate's if the traffic
    could not start. Neither uses ``LOST``."""

    USAGE = 2
    LOST = 10
    NOT_RUN = 127
    """The command could not be run. A shell uses the same code."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.traffic", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_target_options(parser)
    parser.add_argument("--candidate-url", help="the candidate's stage (default: the stack's, unless --url is given)")
    parser.add_argument("--rate", type=number(0, 1_000, above=True), help="requests a second")
    parser.add_argument("--seed", type=positive_integer, help="same seed, same payments (default: another each time)")
    parser.add_argument(
        "--most-seconds",
        type=number(0, 86_400, above=True),
        help="send no longer (default: as long as a shift of the environment may take)",
    )
    parser.add_argument("--reports", type=Path, help="folder of the report (default: reports/<env>)")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="what runs meanwhile")
    arguments = parser.parse_args(argv)
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        parser.error("no command given: put it after --")
    folder: Path = arguments.reports or Path("reports") / arguments.env.name
    code = _traffic(arguments, command, folder)
    discard_unwritten_output()
    return code


def _traffic(arguments: argparse.Namespace, command: list[str], folder: Path) -> int:
    settings = replace(arguments.env.gate, seed=arguments.seed or arguments.env.gate.seed)
    budget = LossBudget(settings)
    try:
        url = arguments.url or platform_output(arguments.env, "ApiGatewayUrl")
        rate = arguments.rate or arguments.env.release.traffic_rate
        plan = LoadPlan.of(settings, url, signed=not arguments.unsigned, rate=rate)
        candidate = arguments.candidate_url
        if candidate is None and arguments.url is None:
            candidate = platform_output(arguments.env, "CandidateApiUrl")
        ask_candidate = None if candidate is None else partial(probe, replace(plan, url=candidate))
        closed = closed_routes(plan, wake_up_seconds=settings.wake_up_seconds)
    except GateError as trouble:
        say(f"traffic {arguments.env.name}: not started, nor was the command: {trouble}", sys.stderr)
        return trouble.code

    most_seconds = arguments.most_seconds or arguments.env.release.most_seconds
    open_routes = [(route, share) for route, share in plan.mix if route not in closed]
    if open_routes and closed:
        say(f"  {', '.join(closed)} closed until a first release: no requests are sent there")
        plan = replace(plan, mix=open_routes)
    started, generator = timestamp(), Generator(plan, Workforce())
    try:
        traffic = _Traffic(generator, plan, most_seconds, closed=[] if open_routes else closed)
        while traffic.started and generator.elapsed < 0:  # the command must not start before the traffic
            gevent.sleep(POLL_SECONDS)
        code, overspent_meanwhile = _run_command(command, traffic, budget, ask_candidate)
        sent = generator.finish(settings.timeout_seconds) if traffic.started else 0
    finally:
        generator.close()
    report = _report(generator.samples, sent) | {
        "environment": arguments.env.name,
        "url": url,
        "started": started,
        "rate": plan.rate,
        "seed": plan.seed,
        "command": command,
        "command_exit_code": code,
    }
    bad = report["lost"] + report["wrong"]
    overspent = overspent_meanwhile or bad >= budget.fewest(sent)
    report["budget"] = {"share": budget.share, "confidence": settings.confidence, "overspent": overspent}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "traffic.json").write_text(json.dumps(report, indent=2) + "\n")
    except OSError as error:  # the command's exit code matters more than the report
        say(f"  traffic.json not written: {error}")
    say(
        f"  traffic {arguments.env.name}: {report['sent']} sent, {report['lost']} lost, {report['wrong']} wrong; "
        f"answered by {report['versions'] or 'nobody'}"
    )
    if overspent:
        _tell_of_losses(report, budget, code, folder)
        return code or ExitCode.LOST
    return code


class _Traffic:
    """The traffic of ``plan`` by ``generator``, for ``most_seconds``. It begins as soon as none of the routes in
    ``closed`` is closed any more."""

    def __init__(self, generator: Generator, plan: LoadPlan, most_seconds: float, *, closed: Sequence[str]) -> None:
        self.generator, self._plan, self._most_seconds, self._closed = generator, plan, most_seconds, [*closed]
        self.started, self._ask_at = False, 0.0
        if closed:
            say("  production is closed until a first release: requests are sent as soon as it is open")
        else:
            self._start()

    def _start(self) -> None:
        self.started = True
        self.generator.start()
        self.generator.end_at(self._most_seconds)

    def counts(self) -> Counts:
        """Failed requests and right answers until now."""
        while not self.started and time.monotonic() >= self._ask_at:
            if self._is_open(self._closed[0]):
                self._closed.pop(0)
            else:
                self._ask_at = time.monotonic() + CLOSED_POLL_SECONDS
            if not self._closed:
                self._start()
        return self.generator.samples.counts()

    def _is_open(self, route: str) -> bool:
        """Asks one route once, which also starts its function."""
        try:
            return not closed_routes(replace(self._plan, mix=[(route, 1)]), wake_up_seconds=0)
        except GateError:  # the command goes on, and is not to be left alone
            return False


def _tell_of_losses(report: dict[str, Any], budget: LossBudget, code: int, folder: Path) -> None:
    """Say that ``budget`` is overspent. A command that failed has said the conclusion; this is a detail of it."""
    bad = report["lost"] + report["wrong"]
    what = " or ".join(word for kind, word in (("lost", "lost"), ("wrong", "answered wrongly")) if report[kind])
    most, *others = sorted(report["reasons"].items(), key=lambda reason: -reason[1])
    say(
        f"{'  ' if code else ''}{bad} of {report['sent']} requests {'was' if bad == 1 else 'were'} {what} while the "
        f"command ran, more than the budget of {budget.share:.2%}; it ended with {code}, and what it did stands: "
        f"{most[0]} ({most[1]}){', and others' * bool(others)}: see {folder / 'traffic.json'}"
    )


def _run_command(
    command: list[str],
    traffic: _Traffic,
    budget: LossBudget,
    ask_candidate: Callable[[], Counts] | None,
) -> tuple[int, bool]:
    """Run ``command`` to its end. Returns its exit code, as a shell would, and whether ``budget`` was overspent
    meanwhile. When the time of ``traffic`` is over, the command goes on. The command has a process group of its own, so
    that it gets a Ctrl-C once."""
    try:
        child = subprocess.Popen(command, process_group=0)
    except OSError as error:
        say(f"can't run {command[0]}: {error.strerror}", sys.stderr)
        return ExitCode.NOT_RUN, False
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal_number is signal.SIGHUP and signal.getsignal(signal_number) is signal.SIG_IGN:
            continue  # nohup: the command ignores it too
        gevent.signal_handler(signal_number, child.send_signal, signal_number)
    overspent, fault = False, Fault.OVER
    while (code := child.poll()) is None:
        gevent.sleep(POLL_SECONDS)
        bad, right = traffic.counts()
        if fault is Fault.CANDIDATE or not budget.is_overspent_meanwhile(bad, bad + right):
            continue
        overspent = True
        fault = at_fault(ask_candidate, traffic.counts) if ask_candidate else Fault.CANDIDATE
        if fault is not Fault.OVER and child.poll() is None:
            whose = "" if fault is Fault.CANDIDATE else ", and the candidate's own stage no more than others"
            say(f"  {bad} of {bad + right} requests were lost or answered wrongly{whose}: the command is told")
            child.send_signal(signal.SIGUSR1 if fault is Fault.CANDIDATE else signal.SIGUSR2)
    return (code if code >= 0 else 128 - code), overspent


def _report(samples: Samples, sent: int) -> dict[str, Any]:
    """The counts. A request without an answer, or with a server's error, is lost; any other unexpected one is wrong."""
    reasons = {f"{route}: {fault.text}": len(series) for (route, fault), series in samples.errors.items()}
    lost = sum(len(series) for (_, fault), series in samples.errors.items() if fault.kind.is_loss)
    answered = sum(len(series) for series in samples.answers.values())
    wrong = sum(reasons.values()) - lost
    unanswered = sent - answered - lost - wrong
    return {
        "sent": sent,
        "right": answered,
        "lost": lost + unanswered,
        "wrong": wrong,
        "reconnects": samples.reconnects,
        "reasons": reasons | ({"no answer before the end": unanswered} if unanswered else {}),
        "versions": samples.versions_by_route(),
    }


if __name__ == "__main__":
    sys.exit(main())
