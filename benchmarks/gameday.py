"""A game day: breaks a local cloud in five ways, and mends it as the runbooks say: ``make gameday``.

Each exercise gives the commands that stand on its page, under load, and checks that what the page promises comes true.
Prints how long each took and how many requests were lost, also as reports/gameday/gameday.json. Ends with 1 if a
promise did not come true. It takes five minutes, and needs no account. Ctrl-C ends it; the cloud goes with it.
"""

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks._day import Day, Failed, claim
from benchmarks._pages import page_of_cause
from benchmarks._platform import ROOT, deployed
from environments import DEV

MOST_SECONDS = 1500
BROKEN_RATE, BACK_SECONDS, MOST_HURT = 100, 20, 200
"""The goal for a candidate that answers nothing but errors: at so many requests a second, all traffic is back in so
many seconds, and fewer requests than that are lost."""


@dataclass(kw_only=True)
class Exercise:
    """How it went. ``seconds``: from the fault until customers were well; for a fault that they do not notice, until it
    was mended."""

    broken: str
    runbook: str = ""
    seconds: float = 0.0
    sent: int = 0
    lost: int = 0
    failure: str = ""


def a_broken_candidate(day: Day, done: Exercise) -> None:
    """The candidate answers nothing but errors, and goes back by itself"""
    stable = day.traffic().stable
    day.deploy(broken=True)
    shift = ("python", "-m", "pipeline.release", "shift", "--env", DEV.name)
    with day.under_load("broken", BROKEN_RATE, *shift) as process:
        code = process.wait(120)
    report, release = day.report("broken"), day.release()
    done.sent, done.lost = report["sent"], report["lost"] + report["wrong"]
    print(f"  not answered well: {report['reasons']}", flush=True)
    begun = next(event["at"] for event in release["events"] if event["phase"] == "shifting")
    done.seconds = release["events"][-1]["at"] - begun
    for event in release["events"]:
        print(f"  {event['at'] - begun:+6.1f} s  {event['text']}", flush=True)
    done.runbook = page = page_of_cause(release["cause"])

    claim(code == 1, "it ends with exit code 1", code)
    claim(release["rejected"], "the candidate is rejected")
    claim(day.give(page, "pipeline.release status").code == 0, "status can be read")
    day.all_on(stable, "all customers are on the stable version")
    verified = day.give("requests-lost", "loadtest.traffic")
    claim(verified.code == 0, "steady traffic loses nothing", verified.output)
    claim(done.seconds <= BACK_SECONDS, f"all traffic is back within {BACK_SECONDS} s", f"{done.seconds:.1f} s")
    claim(done.lost < MOST_HURT, f"fewer than {MOST_HURT} requests are lost", done.lost)


def nobody_drives(day: Day, done: Exercise) -> None:
    """The controller is killed at 50 %"""
    day.quiet()
    stable = day.traffic().stable
    day.deploy()
    done.runbook = page = "nobody-drives"
    with day.customers(done) as customers:
        with day.controller("shift") as controller:
            for weight in DEV.release.weights[: DEV.release.weights.index(50)]:
                day.until_baking(weight)
                day.run("python", "-m", "pipeline.release", "promote", "--env", DEV.name)
            day.until_baking(50)
            controller.kill()
        begun = time.monotonic()
        claim(not day.traffic().is_steady, "customers are divided")
        aborted = day.give(page, "pipeline.release abort")
        done.seconds = time.monotonic() - begun
        day.all_on(stable, "all customers are on the stable version")
    claim(aborted.code == 0, "abort takes the release over, and ends with 0", aborted.output)
    claim(day.release()["rejected"], "the candidate is rejected")
    claim(day.give(page, "pipeline.release status").code == 0, "status can be read")
    customers.lost_nothing()


def drift(day: Day, done: Exercise) -> None:
    """Somebody gives the candidate 40 % of the load balancer's traffic by hand"""
    day.quiet()
    stable = day.traffic().stable
    done.runbook = page = "drift"
    with day.customers(done) as customers:
        day.move_weights_by_hand(40)
        begun = time.monotonic()
        refused = day.run("python", "-m", "pipeline.release", "shift", "--env", DEV.name)
        claim(refused.code == 5 and "drift" in refused.output, "shift is refused, because of drift", refused.output)
        repaired = day.give(page, "pipeline.release rollback")
        done.seconds = time.monotonic() - begun
        day.all_on(stable, "all customers are on one version")
    claim(repaired.code == 0 and "all traffic is on" in repaired.output, "rollback ends with 0", repaired.output)
    claim(day.give(page, "pipeline.release status").code == 0, "status can be read")
    customers.lost_nothing()


def a_bad_version_is_promoted(day: Day, done: Exercise) -> None:
    """A version that answers nothing but errors is promoted without a bake"""
    day.quiet()
    stable = day.traffic().stable
    done.runbook, bad = "bad-version-promoted", day.deploy(broken=True)
    with day.customers(done):
        promoted = day.run("python", "-m", "pipeline.release", "promote", "--now", "--env", DEV.name)
        begun = time.monotonic()
        claim(promoted.code == 0, "a hot fix is promoted at once", promoted.output)
        day.all_on(bad, "all customers are on the bad version")
        undone = day.give(done.runbook, "pipeline.release undo --now")
        done.seconds = time.monotonic() - begun
        day.all_on(stable, "all customers are on the former version")
    claim(undone.code == 0 and "is stable" in undone.output, "undo ends with 0", undone.output)
    claim(day.give(done.runbook, "pipeline.release status").code == 0, "status can be read")
    verified = day.give("requests-lost", "loadtest.traffic")
    claim(verified.code == 0, "steady traffic loses nothing", verified.output)


def a_record_is_unreadable(day: Day, done: Exercise) -> None:
    """Somebody edits the record of the last release"""
    day.quiet()
    stable = day.traffic().stable
    day.deploy()
    done.runbook = page = "record-unreadable"
    with day.customers(done) as customers:
        day.damage_last_record()
        begun = time.monotonic()
        refused = day.run("python", "-m", "pipeline.release", "shift", "--env", DEV.name)
        claim(refused.code == 9 and "cannot be read" in refused.output, "shift ends with code 9", refused.output)
        claim(day.give(page, "pipeline.release status").code == 9, "status says so, and shows the traffic")
        repaired = day.give(page, "pipeline.release rollback")
        done.seconds = time.monotonic() - begun
        day.all_on(stable, "traffic stays where it is")
    claim(repaired.code == 0, "rollback ends with 0", repaired.output)
    dry = day.give(page, "pipeline.release shift --dry-run")
    claim(dry.code == 0, "a dry run is no longer refused for the record", dry.output)
    customers.lost_nothing()


EXERCISES: tuple[Callable[[Day, Exercise], None], ...] = (
    a_broken_candidate,
    nobody_drives,
    drift,
    a_bad_version_is_promoted,
    a_record_is_unreadable,
)


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, _end)
    signal.alarm(MOST_SECONDS)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, deployed(Path(folder)) as platform:
        print(f"platform deployed in {time.monotonic() - begun:.0f} s", flush=True)
        exercises = [_done(exercise, Day(platform)) for exercise in EXERCISES]
    signal.alarm(0)
    report = ROOT / "reports/gameday/gameday.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps([asdict(exercise) for exercise in exercises], indent=2) + "\n")
    print("\n| Runbook | What broke | Seconds | Requests lost | |\n|---|---|---:|---:|---|")
    for each in exercises:
        outcome = f"FAILED: {each.failure}" if each.failure else "as the page says"
        print(f"| {each.runbook} | {each.broken} | {each.seconds:.1f} | {each.lost} of {each.sent} | {outcome} |")
    print(f"\n{report.relative_to(ROOT)}; {time.monotonic() - begun:.0f} s in all")
    if any(each.failure for each in exercises):
        raise SystemExit(1)


def _done(exercise: Callable[[Day, Exercise], None], day: Day) -> Exercise:
    done = Exercise(broken=(exercise.__doc__ or "").splitlines()[0])
    print(f"\n{done.broken}", flush=True)
    try:
        exercise(day, done)
    except (Failed, LookupError) as error:
        done.failure = str(error).splitlines()[0][:200]
        print(f"  FAILED: {error}", flush=True)
        day.run("python", "-m", "pipeline.release", "rollback", "--force", "--env", DEV.name)
    return done


def _end(number: int, _: object) -> None:
    raise SystemExit(f"ended by {signal.Signals(number).name}; it never takes longer than {MOST_SECONDS} s")


if __name__ == "__main__":
    os.umask(0o022)
    main()
