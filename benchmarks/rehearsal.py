"""Plays a whole move on one machine, unattended: ``make rehearsal``.

An old system (PostgreSQL, a payment service, an exporter) serves clients and changes all the time. Its customers,
merchants and payments are loaded, followed, verified and compared in shadow; its clients are moved by the weights of
DNS records, once in vain and once for good; then both ledgers are held against each other. Ends with 1 if a claim does
not hold. Reports: reports/rehearsal/rehearsal.html and rehearsal.json. At most 8 minutes, and no account. Ctrl-C ends
it; both systems go with it.
"""

import json
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks._day import Failed
from benchmarks._move import Move
from benchmarks._move_cloud import allow_slow_answers, zone
from benchmarks._move_page import page
from benchmarks._move_steps import STEPS, count
from benchmarks._platform import ROOT, deployed
from tests.oldsystem.database import old_system

MOST_SECONDS = 480


@dataclass(kw_only=True)
class Step:
    """How a step went. ``begin``: seconds since the clients began; the deployment was before."""

    name: str
    begin: float
    seconds: float = 0.0
    found: str = ""
    failure: str = ""


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, _end)
    signal.alarm(MOST_SECONDS)
    begun, started = time.monotonic(), datetime.now(UTC)
    context = _Context()
    with (
        tempfile.TemporaryDirectory() as name,
        deployed(Path(name), context) as platform,
        old_system(Path(name) / "old") as old,
    ):
        deployment = time.monotonic() - begun
        print(f"both systems run after {deployment:.0f} s", flush=True)
        platform.cloud.change("schedule_minute_seconds=5")
        allow_slow_answers(platform)
        folder = Path(name) / "move"
        folder.mkdir()
        move = Move(platform, old, context.zone, folder)
        with move.at_work():
            steps = _played(move)
            payments = count(move) if not steps[-1].failure else {}
            if steps[-1].failure:
                for log in sorted(folder.glob("*.log")):
                    print(f"--- {log.name}\n{log.read_text()[-3000:]}", flush=True)
    signal.alarm(0)
    claims = _claims(payments, move)
    seconds = time.monotonic() - begun
    report = {
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "deployment_seconds": round(deployment, 1),
        "passed": bool(payments) and all(claims.values()),
        "claims": claims,
        "payments": payments,
        "faults": move.faults,
        "steps": [vars(step) for step in steps],
        "seen": vars(move.seen),
        "reached": [(round(each.at - move.began, 2), each.host) for each in move.clients.answered]
        if move.clients
        else [],
    }
    _written(report)
    for claimed, holds in claims.items():
        print(f"{'✓' if holds else '✘'} {claimed}")
    print(f"reports/rehearsal/rehearsal.html, rehearsal.json; {seconds:.0f} s in all", flush=True)
    if not report["passed"]:
        raise SystemExit(1)


class _Context:
    """Makes the zone before the stack, and remembers it."""

    zone = ""

    def __call__(self, client: Any) -> dict[str, str]:
        context = zone(client)
        self.zone = context["cutOver"].split(",")[0]
        return context


def _played(move: Move) -> list[Step]:
    """The steps up to the first that fails."""
    steps: list[Step] = []
    for play in STEPS:
        step = Step(name=(play.__doc__ or "").strip(), begin=round(move.now, 1))
        steps.append(step)
        print(f"\n{step.name}", flush=True)
        try:
            step.found = play(move)
            print(f"  {step.found}", flush=True)
        except (Failed, subprocess.TimeoutExpired, LookupError, ValueError, OSError) as error:
            step.failure = f"{type(error).__name__}: {error}"
            print(f"  FAILED: {step.failure}", flush=True)
        step.seconds = round(move.now - step.begin, 1)
        print(f"  {step.seconds:.0f} s", flush=True)
        if step.failure:
            break
    return steps


def _claims(payments: dict[str, Any], move: Move) -> dict[str, bool]:
    if not payments:
        return {"every step comes to its end": False}
    answered = payments["answered"]
    return {
        "every step comes to its end": True,
        f"0 of {answered} answered payments are lost": not payments["lost"],
        f"0 of {answered} payments stand twice": not payments["doubled"],
        "no payment failed, and none stands that was not answered": not (
            payments["failures"] or payments["never_answered"]
        ),
        "nothing broke beside the steps": not move.faults,
    }


def _written(report: dict[str, Any]) -> None:
    folder = ROOT / "reports/rehearsal"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rehearsal.json").write_text(json.dumps(report, indent=2) + "\n")
    (folder / "rehearsal.html").write_text(page(report))


def _end(number: int, _: object) -> None:
    raise SystemExit(f"ended by {signal.Signals(number).name}; it never takes longer than {MOST_SECONDS} s")


if __name__ == "__main__":
    main()
