"""Releases back to back, each with a fault, while customers pay: ``make soak MINUTES=60``.

In each round a candidate is deployed and shifted to, and a process of ours is killed or stopped, the disk is full, or
the controller's clock jumps. Then nobody does anything: the controller, the next one or the watchdog has to bring all
traffic to one version. At the end a release without a fault is promoted, each payment that a merchant was promised is
looked up, and the books are verified. Then the cloud itself is killed and started. Ends with 1 if anything of that
fails, or if a process, a port or a file is left. Writes reports/soak/soak.json. Needs no account. Ctrl-C ends it.
"""

import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from benchmarks._day import FINISHED, Day, Failed, claim
from benchmarks._faults import JUMPS, Fault, TooLate, Victims, faults
from benchmarks._payer import Payer
from benchmarks._platform import ROOT, Platform, deployed
from benchmarks._traces import Traces, processes
from environments import DEV

MINUTES, SEED = 3.0, 18
NONE = "none"
RATE = 20
"""Requests a second of the customers, beside the merchant's own payments."""
FAULT_AFTER_SECONDS = 6.0
"""The latest moment of a fault, after the release has begun, or after the fault before it."""
MOST_TRIES = 3
"""Of the release without a fault: a busy machine may slow its candidate, and going back is right then."""
STEADY_SECONDS = 240
"""The longest time from a fault until all traffic is on one version."""
ENDS = {0: "promoted", 1: "rolled back", 4: "lost its lease", 5: "refused", 3: "cloud unreachable", -9: "killed"}
"""How a controller may end that met a fault."""


@dataclass(kw_only=True)
class Round:
    """One release. ``met``: what it was doing when the fault came; none if it had ended. ``seconds``: from the end of
    the fault until all traffic was on one version."""

    fault: str
    met: str = ""
    end: str = ""
    seconds: float = 0.0
    sent: int = 0
    lost: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    failure: str = ""


@dataclass(kw_only=True)
class Soak:
    """What happened. ``payments``: those that a merchant was promised; ``repeated``: those sent more than once."""

    minutes: float
    seed: int
    rounds: list[Round] = field(default_factory=list)
    payments: int = 0
    repeated: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return not self.failures and not any(each.failure for each in self.rounds)


def soak(platform: Platform, rounds: Iterable[Sequence[Fault]], done: Soak) -> None:
    """Releases with the faults of ``rounds``, until the minutes of ``done`` have passed, then one without. What happens
    is added to ``done``."""
    chance, day, ends = random.Random(done.seed), Day(platform), time.monotonic() + 60 * done.minutes
    platform.cloud.change("schedule_minute_seconds=5")  # so the watchdog looks often, as the bakes are short
    with Payer(platform, done.seed) as payer:
        for each in itertools.takewhile(lambda _: time.monotonic() < ends, rounds):
            done.rounds.append(_round(day, each, chance))
            if not platform.cloud.is_running():
                raise SystemExit(f"{done.rounds[-1].fault}: the cloud does not run any more: {platform.cloud.log_path}")
        for _ in range(MOST_TRIES):
            done.rounds.append(_round(day, (), chance))
            if done.rounds[-1].end == "promoted":
                break
        else:
            done.failures.append("a release without a fault is not promoted")
    done.payments, done.repeated = len(payer.promised), payer.repeated
    done.failures += [f"no answer to the payment {key}" for key in payer.unanswered]
    done.failures += [f"two payments of the key {key}" for key in payer.twice]
    done.failures += [f"the payment {id} is lost" for id in payer.missing()]
    books = day.run("python", "-m", "pipeline.audit", "verify", "--env", DEV.name)
    if books.code:
        done.failures.append(f"the books: {books.output.strip()}")
    done.failures += [f"the process {each} goes on" for each in processes(platform.here)]


def _round(day: Day, faults: Sequence[Fault], chance: random.Random) -> Round:
    done = Round(fault=", ".join(map(str, faults)) or NONE)
    print(f"\n{done.fault}", flush=True)
    try:
        _release(day, faults, chance, done)
    except (Failed, LookupError, ValueError, psutil.Error) as error:
        done.failure = str(error)[:500]
        print(f"  FAILED: {error}", flush=True)
    print(
        f"  met {done.met or 'nobody'}; {done.end}; steady after {done.seconds:.1f} s; {done.lost} of {done.sent}"
        f" requests lost {done.reasons or ''}",
        flush=True,
    )
    return done


def _release(day: Day, faults: Sequence[Fault], chance: random.Random, done: Round) -> None:
    day.quiet()
    before, candidate = day.record().get("release_id"), day.deploy()
    jumps, arguments = day.platform.here / f"jump-{time.monotonic_ns()}", list[str]()
    if any(fault.jump for fault in faults):
        arguments = ["benchmarks._jumping_clock", str(jumps), str(chance.choice(JUMPS))]
    with ExitStack() as stack:
        customers = stack.enter_context(day.customers(done, RATE))
        words = (sys.executable, "-m", *arguments, "pipeline.release", "shift", "--env", DEV.name)
        controller = stack.enter_context(day.started(*words))
        day.wait(
            lambda: day.record().get("release_id") != before or controller.poll() is not None, "the release begins"
        )
        victims = Victims(day.platform.cloud, controller.pid, customers.pid)
        for fault in faults:
            time.sleep(chance.uniform(0, FAULT_AFTER_SECONDS))
            met = _moment(day)
            try:
                if fault.jump:
                    jumps.touch()
                fault.act(victims, chance, fault.seconds)
                done.met = met
            except TooLate:
                print(f"  too late for: {fault}", flush=True)
        begun = time.monotonic()
        if faults and not victims.loads():  # customers of other machines go on
            customers = stack.enter_context(day.customers(done, RATE))
        day.wait(lambda: controller.poll() is not None, "the controller ends", STEADY_SECONDS)
        day.wait(day.settled, "all traffic is on one version", STEADY_SECONDS)
        done.seconds = time.monotonic() - begun
    done.reasons = customers.report.get("reasons", {})
    done.end = ENDS.get(controller.returncode, "")
    claim(bool(done.end), "the controller ends as documented", controller.returncode)
    if not faults and controller.returncode == 0:
        day.all_on(candidate, "all customers are on the candidate")


def _moment(day: Day) -> str:
    """What the release under way does; empty if it has ended."""
    release = day.record()
    if not release or release["phase"] in FINISHED:
        return ""
    return f"{release['phase']} at {release['plan']['weights'][release['step']]} %"


def _survives_a_kill(platform: Platform, done: Soak) -> None:
    """The cloud is killed with all that it holds. It starts again, and needs no clean-up."""
    print("\nkill -9 of the cloud", flush=True)
    Victims(platform.cloud, 0, 0).emulator()[0].kill()
    began = time.monotonic()
    platform.cloud.start(account=DEV.account, region=DEV.region)
    print(f"  it runs again after {time.monotonic() - began:.1f} s", flush=True)
    if not platform.cloud.is_running():
        done.failures.append("the cloud does not start after a kill")


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    done = Soak(minutes=float(os.environ.get("MINUTES") or MINUTES), seed=int(os.environ.get("SEED") or SEED))
    order = ((fault,) for fault in faults(random.Random(done.seed)))
    try:
        with tempfile.TemporaryDirectory() as name, deployed(Path(name)) as platform:
            traces = Traces(Path(name))
            traces.look()
            soak(platform, order, done)
            traces.look()
            _survives_a_kill(platform, done)
            traces.look()
        done.failures += traces.left()
    finally:  # what was seen until an interrupt, too
        report = ROOT / "reports/soak/soak.json"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(json.dumps(asdict(done), indent=2) + "\n")
        print("\n".join(table(done)))
    if not done.whole:
        raise SystemExit(1)


def table(done: Soak) -> Iterator[str]:
    """What happened, fault by fault, as docs/reliability.md has it. A fault that met no release does not count."""
    yield "\n| Fault | Times | The release ended as | Steady again after, at most | Requests lost |"
    yield "|---|---:|---|---:|---:|"
    rounds = [each for each in done.rounds if each.met or each.failure or each.fault == NONE]
    for name in dict.fromkeys(each.fault for each in rounds):
        of = [each for each in rounds if each.fault == name]
        ends = ", ".join(sorted({f"FAILED: {each.failure}" if each.failure else each.end for each in of}))
        lost, sent = sum(each.lost for each in of), sum(each.sent for each in of)
        yield f"| {name} | {len(of)} | {ends} | {max(each.seconds for each in of):.0f} s | {lost} of {sent} |"
    yield f"\n{done.payments} payments promised, {done.repeated} of them after repeats; {len(done.failures)} failures"
    yield from done.failures


def _end(number: int, _: object) -> None:
    raise SystemExit(f"ended by {signal.Signals(number).name}")


if __name__ == "__main__":
    main()
