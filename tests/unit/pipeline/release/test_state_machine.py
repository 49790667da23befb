"""Random commands, crashes, failing calls, alarms, deployments and meddling hands: the promises hold all the same."""

import random
from collections.abc import Callable
from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from environments import APPROVALS, CLIENT_ERRORS, StepSettings
from names import Function
from pipeline.release.commands import Commands
from pipeline.release.outcome import ExitCode, Outcome
from pipeline.release.plan import Plan
from pipeline.release.ports import LeaseHeld, LeaseLost, Unavailable
from pipeline.release.record import Phase, Release
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import MOVES, PROCESSING, Behaviour, refused
from tests.unit.pipeline.release.test_crash import WRITES, Killed

PLAN = Plan(weights=(25, 100), bake_seconds=10, hold_seconds=20)
PLANS = [
    PLAN,
    replace(PLAN, steps=(StepSettings(weight=25, approval=True, bake_seconds=20),), deadline_seconds=300),
    replace(PLAN, on_failure="pause", on_inconclusive="pause", pause_seconds=300, metrics=(CLIENT_ERRORS, APPROVALS)),
]
MOST_FAILURES = 40
"""Then AWS recovers: a rollback that is refused for ever never ends, and should not."""

COMMANDS: dict[str, Callable[[Commands], Outcome]] = {
    "shift": Commands.shift,
    "retry": Commands.retry,
    "undo": Commands.undo,
    "undo now": lambda commands: commands.undo(now=True),
    "promote": Commands.promote,
    "promote now": lambda commands: commands.promote(now=True),
    "resume": Commands.resume,
    "abort": Commands.abort,
    "rollback": Commands.rollback,
    "rollback force": lambda commands: commands.rollback(force=True),
    "undo now to 1": lambda commands: commands.undo(now=True, to=dict.fromkeys(Function, "1")),
    "freeze": Commands.freeze,
    "unfreeze": Commands.unfreeze,
}
BEHAVIOURS = [Behaviour(), Behaviour(), Behaviour(errors=0.5), Behaviour(milliseconds=700),
              Behaviour(server_errors=1000), Behaviour(client_errors=1.0)]  # fmt: skip
MEANWHILE = ["nothing", "nothing", "alarm", "signal", "losses", "losses of both", "pause", "abort", "promote",
             "promote-now", "deploy", "meddle", "second controller", "stalled"]  # fmt: skip


TROUBLES = ["none", "crash", "hang", "late move", "few failures", "many failures", "unforeseen"]


class Unforeseen(Exception):
    """An exception that no port documents."""


class Releases(RuleBasedStateMachine):
    made_of = Bench
    """The environment that the commands work on."""

    @initialize(plan=st.sampled_from(PLANS))
    def given_a_platform(self, plan: Plan) -> None:
        self.bench = self.made_of(stable="1", candidate="2", plan=plan)
        self.aws, self.clock = self.bench.aws, self.bench.clock
        self.aws.on_change = self.traffic_changed
        self.version = 2
        self.controllers = 0
        self.meddled = False
        self.dethroned = False
        self.moved = False
        self.late_calls = 0
        self.named: set[str] = set()
        """Versions that a person has named to go to. While the table is away, traffic gets there without a record."""
        self.broken: list[AssertionError] = []

    # What is promised

    def traffic_changed(self) -> None:
        """At every instant, after each single call that moves anything. Kept: the controller survives exceptions."""
        try:
            self.promises_about_traffic()
        except AssertionError as broken:
            self.broken.append(broken)

    @invariant()
    def no_promise_was_broken_at_any_instant(self) -> None:
        for broken in self.broken:
            raise broken

    def promises_about_traffic(self) -> None:
        assert sum(self.aws.weights.values()) > 0
        self.moved = True
        if self.dethroned and self.holder() != self.running:
            self.late_calls -= 1
            assert self.late_calls >= 0, "a controller that lost its lease moved traffic"
            return  # the call in which it hung
        record = self.record()
        if not record or self.meddled:
            return
        expected = {*record.stable.values(), *record.candidate.values(), *self.named}
        moved_by_deployment = {self.aws.aliases[PROCESSING, "green"][0]}
        for share in self.aws.shares().values():
            assert set(share) <= expected | moved_by_deployment
            assert 0.999 < sum(share.values()) < 1.001

    @invariant()
    def no_traffic_for_a_rejected_candidate(self) -> None:
        record = self.record()
        if record and record.phase is Phase.ROLLED_BACK and record.rejected and not self.meddled:
            gone = set(record.candidate.values()) - set(record.stable.values())
            assert not any(gone & set(share) for share in self.aws.shares().values())

    def record(self) -> Release | None:
        """The last record, read past all disturbances."""
        keys = sorted(key for key in self.aws.table if key < "lease")
        return Release.from_json(self.aws.table[keys[-1]]["document"]["S"]) if keys else None

    def holder(self) -> str | None:
        """The holder of the lease, or the last holder that did not give it up."""
        holder: str | None = self.aws.table.get("lease", {}).get("holder", {}).get("S")
        return holder

    # What happens

    @rule(behaviour=st.sampled_from(BEHAVIOURS))
    def a_deployment(self, behaviour: Behaviour) -> None:
        self.version += 1
        self.aws.behaviour[str(self.version)] = behaviour
        self.aws.deploy(str(self.version))

    @rule(rate=st.sampled_from([0.0, 1.0, 3.0, 10.0]))
    def traffic_becomes(self, rate: float) -> None:
        self.aws.requests_per_second = rate

    @rule(green=st.integers(0, 100))
    def someone_moves_the_weights(self, green: int) -> None:
        self.meddled = True
        self.aws.weights = {"blue": 100 - green, "green": green}

    @rule(
        name=st.sampled_from(["shift", "shift", "shift", *sorted(COMMANDS)]),
        fresh=st.none() | st.sampled_from(BEHAVIOURS),
        trouble=st.sampled_from(TROUBLES),
        at=st.integers(1, 60),
        event=st.sampled_from(MEANWHILE),
        delay=st.integers(1, 40),
    )
    def a_command(self, name: str, fresh: Behaviour | None, trouble: str, at: int, event: str, delay: int) -> None:
        """``at``: the write at which it crashes, or the write or move before which it hangs for longer than its lease,
        while another controller ends the release; else the seed of its failures."""
        if fresh:
            self.a_deployment(fresh)
        self.named |= {"1"} if name == "undo now to 1" else set()
        before = self.record()
        self.controllers += 1
        self.running = f"{name} {self.controllers}"
        self.clock.interrupted = self.clock.loses_requests = False
        self.aws.alarms["api-errors"] = "OK"
        self.clock.after(delay, lambda: self.meanwhile(event))
        self.clock.after(400, lambda: self.ask("resume"))
        self.moved = False
        self.aws.disturb = self.disturbance(trouble, at)
        try:
            outcome = COMMANDS[name](self.bench.controller(self.running, reason="a test"))
        except (Killed, Unavailable, LeaseHeld):
            return
        except Unforeseen:
            record = self.record()
            divided_before = self.meddled and not record  # nobody but a hand had moved it, and rollback may be repeated
            # Without the records, traffic comes first. The record that could not be told is ended by the next command.
            is_back = name == "rollback force" and self.aws.weights == {"blue": 100, "green": 0}
            ended = is_back or (record and record.finished)
            assert not self.moved or divided_before or ended, "a defect left traffic divided"
            return
        except LeaseLost:
            record = self.record()
            assert event == "stalled" or trouble in ("hang", "late move"), "nobody else took the lease"
            if trouble in ("none", "hang", "late move") and record and record.finished and not self.meddled:
                serving = record.candidate if record.phase is Phase.PROMOTED else record.stable
                assert self.aws.weights == {"blue": 100, "green": 0}, "a late call was left as it is"
                assert self.aws.stable() == list(serving.values())
            return
        finally:
            self.aws.disturb = lambda operation, when: None
            self.clock.forget()
            self.dethroned = False
            self.late_calls = 0
        self.check(name, outcome, before)

    def check(self, name: str, outcome: Outcome, before: Release | None) -> None:
        """A command that drove the release to its end leaves the steady state, on the version that it names.

        ``HELD`` is one that was interrupted while it waited for another controller (here: for a dead one's lease).
        ``UNCONFIRMED`` is one that moved only the parts that it could read, and says so; ``teardown`` ends it.
        """
        if outcome.code in (ExitCode.REFUSED, ExitCode.HELD) or self.meddled or "freeze" in name:
            self.meddled &= not (name.startswith("rollback") and outcome.code is ExitCode.DONE)
            return
        if outcome.code is ExitCode.UNCONFIRMED:
            assert name in ("rollback force", "undo now to 1"), "only these go on when a part can't be read"
            return
        assert self.aws.weights == {"blue": 100, "green": 0}
        record = self.record()
        if outcome.release is None or record is None or record.release_id != outcome.release.release_id:
            return
        serving = outcome.release.candidate if outcome.release.phase is Phase.PROMOTED else outcome.release.stable
        assert all(self.bench.all_on(version) for version in set(serving.values()))
        if name == "shift" and before and before.phase is Phase.ROLLED_BACK and before.rejected:
            assert outcome.release.candidate != before.candidate, "a rejected candidate was shifted again unasked"

    def meanwhile(self, event: str) -> None:
        match event:
            case "alarm":
                self.aws.alarms["api-errors"] = "ALARM"
            case "signal":
                self.clock.interrupt()
            case "losses":
                self.clock.loses_requests = True
            case "losses of both":
                self.clock.lost_everywhere_at = self.clock.time
            case "pause" | "abort" | "promote" | "promote-now":
                self.ask(event)
            case "deploy":
                self.a_deployment(Behaviour())
            case "meddle":
                self.aws.weights = {"blue": 33, "green": 67}
            case "second controller":
                self.without_faults(self.a_second_controller_is_refused)
            case "stalled":
                self.clock.time += 100
                self.without_faults(self.a_second_controller_takes_over)

    def a_second_controller_is_refused(self) -> None:
        lease = self.aws.table.get("lease")
        if lease and float(lease["expires_at"]["N"]) >= self.clock.time:
            try:
                self.bench.controller("second").world.records.acquire()
            except LeaseHeld:
                return
            raise AssertionError("two controllers at once")

    def a_second_controller_takes_over(self) -> None:
        self.clock.forget()
        self.clock.after(400, lambda: self.ask("resume"))
        holder = self.holder()
        self.bench.controller("second").rollback()
        self.dethroned = self.dethroned or holder == self.running

    def ask(self, command: str) -> None:
        if self.record():
            self.without_faults(lambda: self.bench.ask(command))

    def without_faults(self, action: Callable[[], None]) -> None:
        disturb, self.aws.disturb = self.aws.disturb, lambda operation, when: None
        try:
            action()
        finally:
            self.aws.disturb = disturb

    def disturbance(self, trouble: str, at: int) -> Callable[[str, str], None]:
        chance, writes, failures, dead, hung = random.Random(at), 0, 0, False, False
        failing = {"few failures": 0.05, "many failures": 0.4, "unforeseen": 0.02}.get(trouble, 0.0)

        def disturb(operation: str, when: str) -> None:
            nonlocal writes, failures, dead, hung
            writes += operation in (MOVES if trouble == "late move" else WRITES) and when == "before"
            dead = dead or (trouble == "crash" and 2 * writes + (when == "after") > at)
            if dead:
                raise Killed
            if not hung and (trouble, writes) in (("hang", at), ("late move", at % 12)):
                hung = True
                self.clock.time += 100
                self.without_faults(self.a_second_controller_takes_over)
                self.late_calls = int(operation in MOVES)
            if failures < MOST_FAILURES and chance.random() < failing:
                failures += 1
                raise Unforeseen if trouble == "unforeseen" else refused(operation)

        return disturb

    def teardown(self) -> None:
        """After all troubles, one command without faults brings everything in order."""
        if not hasattr(self, "bench"):
            return
        self.clock.interrupted = self.clock.loses_requests = False
        self.aws.alarms = dict.fromkeys(self.aws.alarms, "OK")
        self.clock.after(400, lambda: self.ask("resume"))
        outcome = self.bench.controller("the last").rollback()

        assert outcome.code in (ExitCode.DONE, ExitCode.REFUSED), outcome.text
        assert self.aws.weights == {"blue": 100, "green": 0}
        assert all(len(share) == 1 for share in self.aws.shares().values())
        record = self.record()
        assert record is None or record.finished


TestReleases = Releases.TestCase
TestReleases.settings = settings(max_examples=200, stateful_step_count=15, suppress_health_check=list(HealthCheck))
