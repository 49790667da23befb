"""Releases back to back, each with a fault, while customers pay: ``make soak MINUTES=60``.

In each round a candidate is deployed and shifted to, and a process of ours is killed or stopped, the disk is full, or
the controller's clock jumps. Then nobody does anything: the controller, the next one or the watchdog has to bring all
traffic to one version. At the end a release without a fault is promoted, each payment that a merchant was promised must
be in the ledger once, and the books are verified. Then the cloud itself is killed and started. Ends with 1 if anything
of that fails, or if a process, a port or a file is left. Writes reports/soak/soak.json. Needs no account. Ctrl-C ends
it.

FAULTS names some of the faults, with commas between them: FAULTS="disk full, the cloud stops". Without, there are all.
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
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from benchmarks._day import FINISHED, Day, Failed, claim
from benchmarks._faults import JUMPS, Fault, TooLate, Victims, chosen, faults
from benchmarks._payer import Payer
from benchmarks._platform import ROOT, Platform, deployed
from benchmarks._traces import Traces, lasting
from environments import DEV
from loadtest.machine import Machine

MINUTES, SEED = 3.0, 18
NONE = "none"
RATE = 20
"""Requests a second of the customers, beside the merchant's own payments."""
FAULT_AFTER_SECONDS = 6.0
"""The latest moment of a fault, after the release has begun, or after the fault before it."""
MOST_TRIES = 3
"""Of the release without a fault: a busy machine may slow its candidate, and going back is right then."""
STEADY_SECONDS = DEV.release.hold_seconds + 120
"""The longest time from a fault until all traffic is on one version: a step without a verdict may be held first."""
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
    others: float = 0.0
    """The share of this machine that other programs took in the busiest seconds."""
    failure: str = ""

    @property
    def counts(self) -> bool:
        """Not if the fault came when the release had ended."""
        return bool(self.met or self.failure or self.fault == NONE)


@dataclass(kw_only=True)
class Soak:
    """What happened. ``payments``: those that a merchant was promised; ``repeated``: those sent more than once;
    ``bad``: the bad requests that were refused."""

    minutes: float
    seed: int
    faults: str = ""
    """Those that were chosen; empty: all."""
    rounds: list[Round] = field(default_factory=list)
    payments: int = 0
    repeated: int = 0
    bad: int = 0
    restart_seconds: float = 0.0
    """Until the killed cloud ran again."""
    failures: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return not self.failures and not any(each.failure for each in self.rounds)


def soak(platform: Platform, rounds: Iterable[Sequence[Fault]], done: Soak) -> None:
    """Releases with the faults of ``rounds``, until the minutes of ``done`` have passed, then one without. What happens
    is added to ``done``."""
    began = datetime.now(UTC).date()
    platform.cloud.change("schedule_minute_seconds=5")  # so the watchdog looks often, as the bakes are short
    platform.environ["TMPDIR"] = str(_temporary(platform))
    day = Day(platform)
    payer = Payer(platform, done.seed)
    try:
        with payer:
            _releases(day, rounds, done)
    finally:
        done.payments, done.repeated, done.bad = len(payer.promised), payer.repeated, payer.bad
    done.failures += payer.failures()
    for date in sorted({began, datetime.now(UTC).date()}):
        books = day.run("python", "-m", "pipeline.audit", "verify", "--env", DEV.name, "--day", str(date))
        if books.code:
            done.failures.append(f"the books: {books.output.strip()}")
    done.failures += [f"the process {each} goes on" for each in lasting(platform.here)]
    done.failures += [f"the temporary file {each} is left" for each in _temporary(platform).iterdir()]


def _temporary(platform: Platform) -> Path:
    """For the commands' temporary files, so that those of other programs do not count."""
    folder = platform.here / "tmp"
    folder.mkdir(exist_ok=True)
    return folder


def _releases(day: Day, rounds: Iterable[Sequence[Fault]], done: Soak) -> None:
    chance, ends = random.Random(done.seed), time.monotonic() + 60 * done.minutes
    for each in itertools.takewhile(lambda _: time.monotonic() < ends, rounds):
        done.rounds.append(_round(day, each, chance))
        if not day.platform.cloud.is_running():
            lines = day.platform.cloud.log_path.read_text(errors="replace").splitlines()
            done.failures.append("\n  ".join(["the cloud does not run any more; its log ends with:", *lines[-15:]]))
            raise SystemExit(1)
    for _ in range(MOST_TRIES):
        done.rounds.append(_round(day, (), chance))
        if done.rounds[-1].end == "promoted":
            return
    done.failures.append("a release without a fault is not promoted")


def _round(day: Day, faults: Sequence[Fault], chance: random.Random) -> Round:
    done = Round(fault=", ".join(map(str, faults)) or NONE)
    print(f"\n{done.fault}", flush=True)
    try:
        _release(day, faults, chance, done)
    except (Failed, LookupError, ValueError, psutil.Error) as error:
        done.failure = str(error)[:500]
        print(f"  FAILED: {error}", flush=True)
    print(
        f"  met {done.met or 'no release'}; {done.end}; steady after {done.seconds:.1f} s; {done.lost} of {done.sent}"
        f" requests lost {done.reasons or ''}; other programs took {done.others:.0%} of this machine",
        flush=True,
    )
    return done


def _release(day: Day, faults: Sequence[Fault], chance: random.Random, done: Round) -> None:
    day.quiet()
    before, candidate = day.record().get("release_id"), day.deploy()
    jumps, arguments = day.platform.here / f"jump-{time.monotonic_ns()}", list[str]()
    if any(fault.jump for fault in faults):
        arguments = ["benchmarks._jumping_clock", str(jumps), str(chance.choice(JUMPS))]
    log, machine = day.platform.here / "controller.log", _machine(day)

    def ended() -> bool:
        machine.look()
        return controller.poll() is not None

    with ExitStack() as stack:
        customers = stack.enter_context(day.customers(done, RATE))
        words = (sys.executable, "-m", *arguments, "pipeline.release", "shift", "--env", DEV.name)
        controller = stack.enter_context(day.started(*words, log=log.name))
        day.wait(lambda: ended() or day.record().get("release_id") != before, "the release begins")
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
        day.wait(ended, "the controller ends", STEADY_SECONDS)
        day.wait(day.settled, "all traffic is on one version", STEADY_SECONDS)
        done.seconds = time.monotonic() - begun
    done.reasons, done.others = customers.report.get("reasons", {}), machine.shares()[1] or 0.0
    done.end = ENDS.get(controller.returncode, "")
    said = log.read_text(errors="replace")
    claim(bool(done.end), "the controller ends as documented", f"{controller.returncode}: {said[-300:]}")
    claim("Traceback" not in said, "the controller prints no traceback", said[-300:])
    claim(done.sent > 0, "customers pay meanwhile", "none sent a request")
    if not faults and controller.returncode == 0:
        day.all_on(candidate, "all customers are on the candidate")
    if not any(fault.noticed for fault in faults) and done.others <= DEV.gate.others_share:
        claim(not done.lost, "customers lose nothing", f"{done.lost} of {done.sent} requests: {done.reasons}")


def _machine(day: Day) -> Machine:
    endpoint = urlsplit(day.platform.cloud.endpoint)
    return Machine(str(endpoint.hostname), int(endpoint.port or 0))


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
    done.restart_seconds = time.monotonic() - began
    print(f"  it runs again after {done.restart_seconds:.1f} s", flush=True)
    if not platform.cloud.is_running():
        done.failures.append("the cloud does not start after a kill")


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        minutes, seed = float(os.environ.get("MINUTES") or MINUTES), int(os.environ.get("SEED") or SEED)
        some = chosen(names := os.environ.get("FAULTS", ""))
    except ValueError as error:
        raise SystemExit(f"MINUTES, SEED or FAULTS: {error}") from error
    done = Soak(minutes=minutes, seed=seed, faults=names)
    order = ((fault,) for fault in faults(random.Random(seed), some))
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
    """What happened, as docs/reliability.md has it. A fault that met no release does not count."""
    rounds = [each for each in done.rounds if each.counts]
    others = max((each.others for each in rounds), default=0.0)
    some = f'FAULTS="{done.faults}" ' if done.faults else ""
    yield f"\n`MINUTES={done.minutes:g} SEED={done.seed} {some}python -m benchmarks soak`"
    yield f"on {os.cpu_count()} processors, of which other programs took at most {others:.0%}."
    yield "\n| Fault | Times | The release ended as | Steady again after, at most | Requests lost |"
    yield "|---|---:|---|---:|---:|"
    for name in dict.fromkeys(each.fault for each in rounds):
        of = [each for each in rounds if each.fault == name]
        ends = ", ".join(sorted({f"FAILED: {each.failure}" if each.failure else each.end for each in of}))
        lost, sent = sum(each.lost for each in of), sum(each.sent for each in of)
        yield f"| {name} | {len(of)} | {ends} | {max(each.seconds for each in of):.0f} s | {lost} of {sent} |"
    faults = [each for each in rounds if each.fault != NONE]
    lost, sent = sum(each.lost for each in rounds), sum(each.sent for each in rounds)
    yield "\n| Held, survived, tried | |"
    yield "|---|---|"
    yield f"| Releases | {len(rounds)} |"
    yield f"| Customers' requests, {RATE} a second | {sent}, of which {lost} were lost |"
    yield f"| A merchant's payments | {done.payments} promised, {done.repeated} of them after repeats |"
    yield f"| Faults | {len(faults)} of {len({each.fault for each in faults})} kinds |"
    yield f"| Bad requests | {done.bad}, all refused |"
    yield f"| Kill of the cloud | it ran again after {done.restart_seconds:.0f} s |"
    yield f"\n{len(done.failures) + sum(bool(each.failure) for each in rounds)} failures"
    yield from done.failures
    if late := len(done.rounds) - len(rounds):
        yield f"{late} faults came when the release had ended, and do not count"


def _end(number: int, _: object) -> None:
    raise SystemExit(f"ended by {signal.Signals(number).name}")


if __name__ == "__main__":
    main()
