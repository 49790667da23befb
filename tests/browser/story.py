"""A day of promotions, as the pictures show it and the pages are looked at: one waits for a person, two went before."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from console.reading import Reading
from console.releases.reading import Standing
from loadtest.reports import html
from loadtest.reports.progress import FILE
from pipeline.evidence.bundle import pack
from pipeline.local.run import Run
from pipeline.local.state import State
from tests.browser.platforms import Platforms, standing
from tests.recorded import journal, record
from tests.unit.console.test_evidence import FACTS, FILES, keep, report
from tests.unit.loadtest.test_judge import run as load
from tests.unit.pipeline.release.bench import PLAN, Bench
from tests.unit.pipeline.release.fake_aws import Behaviour

judged = cache(load)
COMMIT = "28672441bc" + "5" * 30


def told(state: State) -> tuple[Run, Platforms]:
    """The promotion that waits, and the platforms."""
    runs = [
        record(state, revision="7d03a8ff02" + "0" * 30, subject="Ask for 3-D Secure from 250 on", ago=93_000),
        record(
            state, revision="a41bb90c6e" + "0" * 30, subject="Look up the customer's limits in one query",
            ends_at="Staging/LoadGate", status="failed", ago=9_000,
        ),
        record(
            state, revision=COMMIT, subject="Let a merchant give back a part of a payment",
            ends_at="Prod/PromoteToProd", status="waiting", ago=420,
        ),
    ]  # fmt: skip
    for run in runs:
        for environment in ("dev", "staging"):
            gate(run, environment, stall=2.0 if (run.status, environment) == ("failed", "staging") else 0.0)
            bundle(run, environment)
    report(runs[-1], [])
    journal(
        state, id="1", at=time.time() - 92_000, who="ann", command=["pipeline.local", "approve"], exit_code=0,
        target=f"promotion {runs[0].id}", reason="Seen with the merchants' desk", ended=time.time() - 91_900,
    )  # fmt: skip
    return runs[-1], Platforms(reading=release(), payments=payments())


def gate(run: Run, environment: str, *, stall: float) -> None:
    folder = run.folder / "reports" / environment
    folder.mkdir(parents=True, exist_ok=True)
    found = judged(latency=0.035, stall=stall)
    started = datetime.fromtimestamp(run.started + 60, UTC).isoformat()
    found = replace(found, subject=replace(found.subject, environment=environment, started=started))
    (folder / "gate.json").write_text(json.dumps(found.to_json()))
    (folder / "gate.html").write_text(html.page(found))


def loaded(run: Run, environment: str) -> None:
    """A gate that has measured for 12 of 30 seconds now."""
    folder = run.source / "reports" / environment
    folder.mkdir(parents=True, exist_ok=True)
    routes = [vars(route) | {"verdict": "inconclusive", "p99_upper_ms": None} for route in judged(latency=0.035).routes]
    state = {"environment": environment, "at": time.time(), "measured_seconds": 12.0, "planned_seconds": 30.0}
    (folder / FILE).write_text(json.dumps(state | {"routes": routes}))


def bundle(run: Run, environment: str) -> None:
    shift = "promoted: version 2 is stable"
    facts = FACTS | {"environment": environment, "commit": run.revision, "shift": shift, "approvals": []}
    files = FILES | {
        "reports/gate.json": json.dumps({"environment": environment, "verdict": "pass"}).encode(),
        "reports/outcome.json": json.dumps({"environment": environment, "text": shift, "exit_code": 0}).encode(),
    }
    keep(run, pack(facts, files, None), f"{environment}-{run.revision[:10]}.zip")


def release() -> Reading[Standing]:
    """In the third step, after a release that was promoted."""
    bench = Bench(stable="6", candidate="7", plan=replace(PLAN, bake_seconds=300, hold_seconds=600))
    bench.aws.requests_per_second = 20.0
    bench.aws.behaviour = {"7": Behaviour(milliseconds=14.0), "8": Behaviour(milliseconds=18.0)}
    found: list[Reading[Standing]] = []
    bench.clock.time = time.time() - 86_000
    bench.controller("the pipeline").shift()
    bench.aws.deploy("8")
    bench.clock.time = time.time() - 700
    bench.clock.after(700, lambda: found.append(standing(bench)))
    bench.controller("the pipeline").shift()
    return found[0]


def payments() -> list[Mapping[str, Any]]:
    """Newest first: three in review, and one that was approved after a review."""

    day = time.strftime("%Y-%m-%d", time.gmtime())

    def payment(number: int, status: str, **more: Any) -> Mapping[str, Any]:
        return {
            "transaction_id": f"txn_{number:x}" + "3f9ac0" * 5 + "d", "status": status,
            "created_at": f"{day}T0{number % 10}:1{number % 6}:07.318Z", "currency": "EUR", "customer_id": "cust-20418",
            "merchant_id": "mrc-0042", "card": {"brand": "visa", "last4": "1111"}, "settled": True, "history": [],
            **more,
        }  # fmt: skip

    decided = {"number": 1, "created_at": f"{day}T06:31:40.002Z", "kind": "approve", "party": "reviewer",
               "amount": "89.90", "status": "approved", "reason": "The customer was asked"}  # fmt: skip
    return [
        payment(9, "review", amount="1249.00", left="1249.00", reasons=["amount", "new_device"], score=71),
        payment(8, "review", amount="310.50", left="310.50", reasons=["velocity"], score=64, customer_id="cust-07733"),
        payment(7, "review", amount="742.10", left="742.10", reasons=["country"], score=61, customer_id="cust-11902"),
        payment(6, "approved", amount="89.90", left="89.90", reasons=["velocity"], score=62, history=[decided]),
    ]
