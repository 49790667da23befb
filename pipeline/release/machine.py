"""The decision: a release's record and what is observed give its next record. Pure, so that tests can try everything.

The record says what traffic should be (``Release.traffic``); the controller writes it down first and then makes the
calls. A phase ends only when the traffic that it asks for has been read back. So a crash between any two instructions
leaves a record of the intended state, and the next controller observes the traffic and continues.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from names import Function
from pipeline.release.analysis import AnalysisRun, AnalysisVerdict, Finding, Limits, judge
from pipeline.release.ports import OperatorRequest, RequestCommand
from pipeline.release.record import EventKind, Phase, Release
from pipeline.release.samples import Samples, total
from pipeline.release.traffic import Traffic, Versions, contains, steady

PATIENCE_SECONDS = 30.0
"""Calls may fail for so long before a release goes back: control planes have such moments, and meanwhile nothing moves
forward."""
ROUNDS_UNEXPLAINED = 2
"""Lambda and ELB may answer a read with an older state. So many reads in a row are no such answer."""
_FIRST = "the first release: there is no stable version to compare with, so alarms and lost requests judge"


@dataclass(frozen=True, kw_only=True)
class Observation:
    """The readings of one round. ``None``: not read, or the call failed."""

    now: float
    traffic: Traffic | None = None
    deployed: Versions | None = None
    """The versions of the aliases green."""
    alarms: Sequence[str] | None = None
    samples: tuple[Samples, Samples] | None = None
    """The requests of stable and candidate since the bake began, if ``wants_samples`` asked for them."""
    request: OperatorRequest | None = None
    unexplained: str = ""
    """Why something is not as the record says: ``moved_by_others``, or a thing that is missing."""
    unexplained_rounds: int = 0
    """Rounds in a row, this one included, in which something was unexplained."""
    failures: int = 0
    """Rounds in a row in which a call failed, this one included."""
    failing_seconds: float = 0.0
    """The time from the first of them to the last."""
    last_failure: str = ""
    interrupted: bool = False
    loses_requests: bool = False
    """The traffic around the command has lost more requests than its error budget allows, by the candidate's fault."""
    lost_everywhere_at: float = 0.0
    """When it did last, with no difference between the candidate and all."""


def advance(release: Release, seen: Observation) -> Release:
    """The next record; the same object when nothing changes."""
    release = _respect_deployment(release, seen.traffic)
    match release.phase:
        case Phase.ROLLING_BACK:
            release = rejected_by(release, seen.now, seen.request) if _aborts(seen.request, release) else release
            return _finish(release, seen, Phase.ROLLED_BACK, "traffic is back on the stable version, read back")
        case Phase.PROMOTING:
            return _promoting(release, seen)
        case Phase.PENDING | Phase.SHIFTING | Phase.BAKING | Phase.PAUSED:
            if back := _abort(release, seen) or _reason_to_roll_back(release, seen):
                return back
            if seen.unexplained_rounds:
                return release  # look again before anything is concluded from it
            return _undone_at_once(release, seen) or _asked(release, seen) or _forward(release, seen)
        case Phase.PROMOTED | Phase.ROLLED_BACK:
            return release


def wants_samples(release: Release, now: float) -> bool:
    """Whether it is time to compare the candidate with stable. A pause is watched too."""
    if release.phase not in (Phase.BAKING, Phase.PAUSED) or release.skips_bakes:
        return False
    last = max((run.at for run in release.analysis_runs), default=0.0)
    first_since = any(last < end <= now for end in (release.bake_ends, release.hold_ends))
    # Each look waits for a quarter more data, because each may give a false alarm.
    wait = max(release.plan.analysis_seconds, (last - release.since) / 4)
    return first_since or now - max(last, release.since) >= wait


def take_over(release: Release, now: float) -> Release:
    """``release`` as a new controller continues it. A bake begins again, because no controller watched it."""
    return release.to(release.phase, now, f"taken over in phase {release.phase}")


def roll_back(
    release: Release, now: float, cause: str, *, rejected: bool = False, defect: str | None = None
) -> Release:
    """``release`` on its way back to the stable version."""
    text = f"rolling back: {cause}"
    return release.to(Phase.ROLLING_BACK, now, text, cause=cause, rejected=rejected, defect=defect)


def _respect_deployment(release: Release, traffic: Traffic | None) -> Release:
    """An undo points alias green at an earlier version. A deployment may move that alias meanwhile: then its version
    stays there."""
    if release.green_after is None or traffic is None or traffic.green is None:
        return release
    ours = (release.green_after, release.candidate[Function.PROCESSING])
    return release if traffic.green in ours else replace(release, green_after=None)


def rejected_by(release: Release, now: float, request: OperatorRequest) -> Release:
    """``release``, which goes back or is back for another reason, after ``request`` to abort it."""
    text = f"abort, {request.by}: the candidate is rejected"
    return _obeyed(replace(release, rejected=True).note(now, text), request)


def _reason_to_roll_back(release: Release, seen: Observation) -> Release | None:
    if seen.interrupted:
        return roll_back(release, seen.now, "interrupted (Ctrl-C, SIGTERM or a closed terminal)")
    if ringing := [alarm for alarm in seen.alarms or () if alarm not in release.ignored_alarms]:
        return roll_back(release, seen.now, f"alarm: {', '.join(ringing)}", rejected=True)
    # An undo leaves the version that loses them.
    if seen.loses_requests and not release.undoes:
        cause = "clients lost more requests than the error budget allows: see traffic.json"
        return roll_back(release, seen.now, cause, rejected=release.phase is not Phase.PENDING)
    if _fails_too_long(release, seen):
        return roll_back(release, seen.now, f"{seen.failures} failures in a row, the last: {seen.last_failure}")
    if seen.unexplained_rounds >= ROUNDS_UNEXPLAINED:
        return roll_back(release, seen.now, seen.unexplained)
    if seen.now >= release.deadline:
        return roll_back(release, seen.now, f"not promoted within {release.plan.deadline_seconds:g} s")
    return None


def _fails_too_long(release: Release, seen: Observation) -> bool:
    return seen.failures >= release.plan.failures_allowed and seen.failing_seconds >= PATIENCE_SECONDS


def moved_by_others(release: Release, traffic: Traffic | None, deployed: Versions | None) -> str | None:
    """The change that a person or a deployment made during the release, as a sentence; ``None`` if there is none."""
    if release.phase is Phase.PROMOTING:
        # A promotion starts at green 100 and never passes this state.
        back = traffic is not None and traffic.is_steady and traffic.satisfies(steady(release.stable))
        return "someone else moved all traffic back to stable" if back and not release.undoes else None
    if release.leaves_bad_version or release.finished:
        return None
    if _undoes_already(release, traffic):
        return None
    # An undo's candidate was not deployed.
    if not release.undoes and deployed is not None:
        for function in release.candidate:
            if deployed[function] != release.candidate[function]:
                return f"a deployment replaced the candidate by version {deployed[function]} of {function}"
    if traffic is None:
        return None
    settled = release.phase in (Phase.BAKING, Phase.PAUSED) and not traffic.satisfies(release.traffic)
    # A first release, and one that skips bakes, goes straight to its last step: before its first call, traffic is
    # rightly steady.
    moved = release.phase is Phase.SHIFTING and release.step > 0 and not (release.skips_bakes or release.is_first)
    undone = moved and traffic.is_steady
    return "someone else moved traffic during the release" if settled or undone else None


def _undone_at_once(release: Release, seen: Observation) -> Release | None:
    """An undo borrows alias green. When a deployment takes it back, the undo ends at once by alias blue, because any
    other way would lead back to the version that it leaves."""
    if not _undoes_already(release, seen.traffic):
        return None
    text = "a deployment came: the aliases blue go to the earlier version at once"
    return release.to(Phase.PROMOTING, seen.now, text, green_after=None)


def _undoes_already(release: Release, traffic: Traffic | None) -> bool:
    """Whether a deployment came during an undo: it took alias green, or put all traffic on the earlier version."""
    if not release.undoes or traffic is None:
        return False
    return release.green_after is None or (traffic.is_steady and contains(traffic.stable, release.candidate))


def _asked(release: Release, seen: Observation) -> Release | None:
    """The release after an operator's new request; ``None`` without one. An abort has been obeyed before."""
    request = seen.request
    if request is None or not _is_new(request, release):
        return None
    if request.command in (RequestCommand.PAUSE, RequestCommand.PROMOTE) and release.phase in (
        Phase.PENDING,
        Phase.SHIFTING,
    ):
        return None  # obeyed in a later round, when the weights are set
    if request.command == RequestCommand.PROMOTE_NOW and not release.undoes and seen.alarms is None:
        return None  # in a later round, when it is known that no alarm rings
    return _obeyed(_after(request, release, seen), request)


def _after(request: OperatorRequest, release: Release, seen: Observation) -> Release:
    match request.command, release.phase:
        case RequestCommand.PROMOTE_NOW, _ if release.undoes:
            return release.to(Phase.PROMOTING, seen.now, f"at once, {request.by}")
        case RequestCommand.PROMOTE_NOW, _:
            last = len(release.plan.weights) - 1
            return release.to(Phase.SHIFTING, seen.now, f"promoting now, {request.by}", step=last, skips_bakes=True)
        case RequestCommand.PROMOTE, Phase.BAKING | Phase.PAUSED:
            what = "approved" if release.events[-1].kind is EventKind.APPROVAL else "bake ended"
            return _next_step(release, seen, f"{what}, {request.by}")
        case RequestCommand.PAUSE, Phase.BAKING | Phase.PAUSED:
            seconds = release.plan.pause_seconds if request.seconds is None else request.seconds
            text = f"paused, {request.by}; rolled back after {seconds:g} s without `resume`, and by alarms"
            return release.to(Phase.PAUSED, seen.now, text, paused_until=seen.now + seconds)
        case RequestCommand.RESUME, Phase.PAUSED:
            return release.to(Phase.SHIFTING, seen.now, f"resumed, {request.by}; the bake begins again")
        case command, phase:
            return release.note(seen.now, f"{command} ignored in phase {phase}", kind=EventKind.IGNORED)


def _obeyed(release: Release, request: OperatorRequest) -> Release:
    """``release``, whose last event is the answer to ``request``."""
    *before, last = release.events
    last = replace(last, request_id=request.request_id, asked_by=request.asked_by, reason=request.reason)
    return replace(release, handled=request.request_id, events=(*before, last))


def _is_new(request: OperatorRequest, release: Release) -> bool:
    return request.release_id == release.release_id and request.request_id != release.handled


def _aborts(request: OperatorRequest | None, release: Release) -> TypeGuard[OperatorRequest]:
    return request is not None and request.command == RequestCommand.ABORT and _is_new(request, release)


def _abort(release: Release, seen: Observation) -> Release | None:
    if not _aborts(seen.request, release):
        return None
    return _obeyed(roll_back(release, seen.now, f"abort, {seen.request.by}", rejected=True), seen.request)


def _forward(release: Release, seen: Observation) -> Release:
    match release.phase:
        case Phase.PENDING:
            step = len(release.plan.weights) - 1 if release.skips_bakes or release.is_first else 0
            text = f"shifting {release.plan.weights[step]} % to the candidate"
            text += ": the first release opens the environment" if release.is_first else ""
            return release.to(Phase.SHIFTING, seen.now, text, step=step)
        case Phase.SHIFTING if _as_recorded(release, seen):
            text = f"{release.weight} % on the candidate, read back; baking"
            return release.to(Phase.BAKING, seen.now, text, notify=False)
        case Phase.PAUSED if seen.now >= release.pause_ends:
            return roll_back(release, seen.now, "paused for all its time, and nobody resumed it")
        case Phase.BAKING if release.skips_bakes and (seen.alarms is not None or release.undoes):
            return _next_step(release, seen, "not baked")
        case Phase.BAKING if _suffers_alone(release, seen):
            cause = "clients lose more requests than the error budget allows"
            back = roll_back if release.is_first else _step_back
            return back(release, seen.now, cause)
        case Phase.BAKING if seen.samples is not None:
            return _analysed(release, seen, *seen.samples)
        case Phase.PAUSED if seen.samples is not None:
            return _watched(release, seen, *seen.samples)
        case _:
            return release


def _analysed(release: Release, seen: Observation, stable: Samples, candidate: Samples) -> Release:
    release, run = _judged(release, seen.now, stable, candidate)
    waits = release.events[-1].kind
    late = run.verdict is AnalysisVerdict.INCONCLUSIVE and seen.now >= release.hold_ends
    late = late and waits is not EventKind.APPROVAL
    if release.weight == 100 and not release.stepped_back and (late or run.verdict is AnalysisVerdict.FAIL):
        return _step_back(release, seen.now, run.reasons)
    if run.verdict is AnalysisVerdict.FAIL:
        return _failed(release, seen.now, run)
    if late:
        cause = f"inconclusive until the deadline: {run.reasons}"
        return _pause(release, seen.now, cause) if _pauses(release, run) else roll_back(release, seen.now, cause)
    if seen.now < release.bake_ends:
        return release
    if run.verdict is AnalysisVerdict.PASS and seen.alarms is not None and seen.traffic is not None:
        if not release.plan.needs_approval(release.weight):
            return _next_step(release, seen, f"healthy ({run.reasons})")
        text = f"{release.weight} % healthy ({run.reasons}); waits for approval: `promote` goes on"
        return release if waits is EventKind.APPROVAL else release.note(seen.now, text, kind=EventKind.APPROVAL)
    if waits in (EventKind.HOLD, EventKind.APPROVAL):
        return release
    text = f"holding up to {release.plan.hold_seconds:.0f} s: {run.reasons}"
    return release.note(seen.now, text, kind=EventKind.HOLD)


def _watched(release: Release, seen: Observation, stable: Samples, candidate: Samples) -> Release:
    """A paused release after an analysis. A pause that a failure led to goes on."""
    release, run = _judged(release, seen.now, stable, candidate)
    failed = run.verdict is AnalysisVerdict.FAIL
    return _failed(release, seen.now, run) if failed and not _pauses(release, run) else release


def _judged(release: Release, now: float, stable: Samples, candidate: Samples) -> tuple[Release, AnalysisRun]:
    alone, limits = release.weight == 100, release.plan.limits_of(release.weight)
    before = _last_stable(release) if alone else None
    findings: tuple[Finding, ...]
    if release.is_first:
        findings = (Finding(verdict=AnalysisVerdict.PASS, text=_FIRST),)
    elif alone and before is None:
        findings = _without_stable(candidate, limits)
    else:
        look = 1 + sum(summary.at >= release.since and summary.has_data for summary in release.analysis_summaries)
        metrics = release.plan.metrics
        stable, comparable = _comparable(release, before or stable), _comparable(release, candidate)
        findings = judge(stable, comparable, limits, metrics=metrics, look=look, same_minutes=not alone)
    run = AnalysisRun(at=now, weight=release.weight, stable=stable, candidate=candidate, findings=findings)
    return release.analysed(run), run


def _comparable(release: Release, samples: Samples) -> Samples:
    """``samples`` without those of functions whose stable version is closed: its 503 is quick, and no error of its."""
    return {function: sample for function, sample in samples.items() if function not in release.opens}


def _failed(release: Release, now: float, run: AnalysisRun) -> Release:
    cause = f"analysis: {run.reasons}"
    return _pause(release, now, cause) if _pauses(release, run) else roll_back(release, now, cause, rejected=True)


def _pauses(release: Release, run: AnalysisRun) -> bool:
    """Whether the plan lets a person decide on this verdict."""
    failed = run.verdict is AnalysisVerdict.FAIL
    return (release.plan.on_failure if failed else release.plan.on_inconclusive) == "pause"


def _pause(release: Release, now: float, cause: str) -> Release:
    seconds = release.plan.pause_seconds
    text = f"paused for a person: {cause}; rolled back after {seconds:g} s without `resume` or `promote`, and by alarms"
    return release.to(Phase.PAUSED, now, text, paused_until=now + seconds)


def _suffers_alone(release: Release, seen: Observation) -> bool:
    """Whether clients lose requests at 100 %, where nothing tells whose fault it is."""
    return release.weight == 100 and not release.stepped_back and seen.lost_everywhere_at >= release.since


def _step_back(release: Release, now: float, reasons: str) -> Release:
    """``release`` at the step before, once. At 100 % there is no stable to compare with: a trouble of the environment,
    such as a fail-over of the database, looks like one of the candidate. At the step before it hits both."""
    step = release.step - 1
    weight = release.plan.weights[step]
    text = f"back to {weight} % to compare with stable, because at 100 % there is none: {reasons}"
    return release.to(Phase.SHIFTING, now, text, step=step, stepped_back=True)


def _last_stable(release: Release) -> Samples | None:
    """Stable as it was at the last step with enough data: at 100 % it has no traffic."""
    enough = release.plan.limits.minimum_per_route
    runs = (run for run in reversed(release.analysis_runs) if run.weight < release.weight)
    before = (_comparable(release, run.stable) for run in runs)
    return next((stable for stable in before if all(s.requests >= enough for s in stable.values())), None)


def _without_stable(candidate: Samples, limits: Limits) -> tuple[Finding, ...]:
    """The judgement at 100 % when an operator ended the bakes before there were data of stable: there will be none any
    more, so alarms alone compare. The candidate must have served enough requests without one."""
    requests = total(candidate.values()).requests
    enough = AnalysisVerdict.PASS if requests >= limits.minimum_requests else AnalysisVerdict.INCONCLUSIVE
    text = f"{requests} requests of the {limits.minimum_requests} that a verdict needs; stable has no data, because "
    return (Finding(verdict=enough, text=f"{text}`promote` ended its bakes: the alarms judge"),)


def _next_step(release: Release, seen: Observation, why: str) -> Release:
    step = release.step + 1
    if step < len(release.plan.weights):
        text = f"{release.weight} % {why}; shifting {release.plan.weights[step]} %"
        return release.to(Phase.SHIFTING, seen.now, text, step=step)
    return release.to(Phase.PROMOTING, seen.now, f"{release.weight} % {why}; blue becomes the candidate")


def _promoting(release: Release, seen: Observation) -> Release:
    """All traffic is on the candidate already. An interruption is ignored, because the promotion takes about a second;
    an operator's abort is obeyed. Failing calls do not lead an undo back to the version that it leaves."""
    if back := _abort(release, seen):
        return back
    if _as_recorded(release, seen):
        return _finish(release, seen, Phase.PROMOTED, "blue is the candidate, weights are blue 100 again, read back")
    if release.undoes:
        return release
    if _fails_too_long(release, seen):
        return roll_back(release, seen.now, f"the promotion failed {seen.failures} times: {seen.last_failure}")
    if seen.unexplained_rounds >= ROUNDS_UNEXPLAINED:
        return roll_back(release, seen.now, seen.unexplained)
    return release


def _finish(release: Release, seen: Observation, phase: Phase, text: str) -> Release:
    return release.to(phase, seen.now, text) if _as_recorded(release, seen) else release


def _as_recorded(release: Release, seen: Observation) -> bool:
    return seen.traffic is not None and seen.traffic.satisfies(release.traffic)
