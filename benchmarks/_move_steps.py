"""The steps of a rehearsal. Each says in a line what it found, and raises ``Failed`` for a claim that does not hold."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from benchmarks._day import claim
from benchmarks._move import Move
from benchmarks._move_cloud import NEW, OLD
from environments import DEV
from migration.ledgers import old_system as ledger_there
from migration.ledgers import platform as ledger_here

SHADOW_RATE = 15
"""Decisions that are compared in a second."""
ENV = ("--env", DEV.name)
CUT_OVER = ("migration", "cutover")


def load(move: Move) -> str:
    """Load customers, merchants and the history"""
    move.export()
    given = move.run("migration", "load", *ENV)
    return given.stdout.strip().splitlines()[-1]


def follow(move: Move) -> str:
    """Apply what changed meanwhile"""
    return move.run("migration", "follow", *ENV).stdout.strip().splitlines()[-1]


def verify(move: Move) -> str:
    """Compare both sides, while both change"""
    given = move.run("migration", "verify", *ENV, "--lag", str(move.scale.lag_seconds))
    return "; ".join(line for line in given.stdout.splitlines() if not line.startswith(" "))


def shadow(move: Move) -> str:
    """Compare decisions in shadow, live"""
    words = (
        "migration",
        "shadow",
        *ENV,
        "--most",
        f"{move.scale.most_percent:g}",
        "--rate",
        str(SHADOW_RATE),
        "--reports",
        str(move.folder),
        "-",
    )
    with move.beside("shadow.log", words, subprocess.PIPE) as process, move.record.open() as record:
        assert process.stdin is not None
        fed = 0
        while fed < move.scale.compared:
            if line := record.readline():
                process.stdin.write(line)
                fed += 1
                if fed % 20 == 0:
                    process.stdin.flush()
                    _note_parity(move)
            else:
                time.sleep(0.2)
        process.stdin.close()
        code = process.wait(60)
    report = json.loads((move.folder / "shadow.json").read_text())
    move.seen.parity.append((move.now, report["requests"], report["differences"]))
    causes = ", ".join(f"{each['requests']} {each['text']}" for each in report["causes"])
    claim(code == 0, "parity passes", f"{report['statement']} {causes} {report['unknown_by_reason']}")
    return str(report["statement"])


def _note_parity(move: Move) -> None:
    """What the command tells of itself: ``150 compared, 0 differ``."""
    for line in reversed((move.folder / "shadow.log").read_text().splitlines()):
        words = line.replace(",", "").split()
        if words[1:2] == ["compared"]:
            move.seen.parity.append((move.now, int(words[0]), int(words[2])))
            return


def failed_try(move: Move) -> str:
    """Cut over, and abort at 25 %"""
    assert move.clients is not None
    move.run(*CUT_OVER, "prepare", *ENV)
    move.run("pipeline.release", "freeze", *ENV, "--reason", "cut-over")
    begun = time.time()
    with move.beside("shift.log", (*CUT_OVER, "shift", *ENV)) as shift:
        for weight in (1, 5):
            move.until_baking(weight)
            move.run(*CUT_OVER, "promote", *ENV)
        move.until_baking(25)
        clients = move.clients
        move.wait(lambda: clients.since(begun)[NEW] > 0, "clients reach the platform")
        asked = time.monotonic()
        move.run(*CUT_OVER, "abort", *ENV, "--reason", "a rehearsal of the way back")
        code = shift.wait(60)
    claim(move.weight() == 0, "the name leads to the old system alone", f"{move.weight():g} % lead here")
    back = time.monotonic() - asked
    time.sleep(1.5)
    since = time.time()
    time.sleep(2)
    claim({*clients.since(since)} == {OLD}, "all clients are back", dict(clients.since(since)))
    claim(not clients.failures, "no payment fails on the way", clients.failures[:3])
    paid = clients.since(begun)
    return f"back in {back:.1f} s; {paid[NEW]} payments were taken here, {paid[OLD]} there; shift ended with {code}"


def cut_over(move: Move) -> str:
    """Cut over to 100 %"""
    assert move.clients is not None
    with move.beside("retry.log", (*CUT_OVER, "retry", *ENV)) as retry:
        code = retry.wait(290)
    claim(code == 0, "all traffic moves", (move.folder / "retry.log").read_text()[-1500:])
    claim(move.weight() == 100, "the name leads here alone", f"{move.weight():g} %")
    time.sleep(1.5)
    since = time.time()
    time.sleep(3)
    claim({*move.clients.since(since)} == {NEW}, "all clients are here", dict(move.clients.since(since)))
    release = move.cut_over()
    claim("reconcile: " in json.dumps(release), "the checks gave the approval", release["events"])
    gate = next(
        (event["text"] for event in release["events"] if "reconcile: " in event["text"]), "approved by the checks"
    )
    return f"100 %; {gate}"


def reconcile(move: Move) -> str:
    """Stop the old system, and hold both ledgers against each other"""
    move.stop_the_old_system()
    move.run("migration", "follow", *ENV)
    verified = move.run("migration", "verify", *ENV, "--lag", "5")
    claim("differs" not in verified.stdout, "both sides are alike", verified.stdout)
    payments = 0
    for day in days(move):
        given = move.run("migration", "reconcile", *ENV, "--day", day.isoformat(), "--wait", "5", "--json")
        payments += json.loads(given.stdout)["payments"]
    return f"{payments} payments of {len(days(move))} days stand the same in both ledgers that must have them"


def days(move: Move) -> list[date]:
    """The days (UTC) on which clients paid."""
    first, last = (datetime.fromtimestamp(at, UTC).date() for at in (time.time() - move.now, time.time()))
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def count(move: Move) -> dict[str, Any]:
    """Look for each answered payment in both ledgers, by the number that its merchant gave it."""
    assert move.clients is not None
    platform, booked = move.platform, Counter[str]()
    connection = move.old.connect()
    there = ledger_there(connection)
    here = ledger_here(platform.client("s3"), platform.client("dynamodb"), platform.outputs)
    for day in days(move):
        for own in (there(day).own, here(day).own):
            booked.update(each.reference for each in own.values() if each.reference.startswith("rehearsal-"))
    connection.close()
    answered = [each.reference for each in move.clients.answered]
    return {
        "answered": len(answered),
        "by_host": dict(Counter(each.host for each in move.clients.answered)),
        "failures": move.clients.failures,
        "booked": booked.total(),
        "lost": sorted(each for each in answered if not booked[each]),
        "doubled": sorted(each for each, times in booked.items() if times > 1),
        "never_answered": sorted(booked.keys() - {*answered}),
    }


STEPS: tuple[Callable[[Move], str], ...] = (load, follow, verify, shadow, failed_try, cut_over, reconcile)
