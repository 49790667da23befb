"""An environment on one screen: versions with their traffic and health, the step, and the reason for waiting."""

from collections.abc import Iterator

from names import Function
from pipeline.release.record import Phase, Release
from pipeline.release.samples import Samples, total
from pipeline.release.state import State
from pipeline.release.traffic import Versions
from pipeline.release.view import branch, name, when

TRIED = (Phase.SHIFTING, Phase.BAKING, Phase.PAUSED)


def tree(state: State) -> list[str]:
    """What is. The past has its time beside it."""
    last = state.last
    if state.under_way:
        title = f"{state.under_way.phase}, release {state.under_way.release_id}"
    elif last:
        title = f"no release is under way; the last one, {last.release_id}, was {last.phase}"
    else:
        title = "not all is known" if state.failures else "no release yet"
    return branch(f"{state.environment}: {title}", [*_traffic(state), *_health(state), *_release(state)])


def _traffic(state: State) -> Iterator[str]:
    stable, deployed = state.traffic.stable, state.deployed
    yield f"stable     {name(stable):12}  {_shares(state, stable)}"
    if state.closure:
        yield f"closed     {state.closure}"
    if deployed is None:
        yield "candidate  unknown"
    elif deployed == stable:
        yield "candidate  none: what is deployed is stable"
    else:
        yield f"candidate  {name(deployed):12}  {_shares(state, deployed)}"
    if others := list(_others(state)):
        yield f"others     {'  '.join(others)}"
    yield f"listener   {state.traffic.listener or 'unknown'}"
    if drift := state.drift:
        yield f"drift      {drift.removeprefix('drift: ')}"
    yield f"alarms     {'unknown' if state.ringing is None else ', '.join(state.ringing) or 'all quiet'}"
    if state.freeze and state.freeze.frozen:
        yield f"frozen     by {state.freeze.by} since {when(state.freeze.at)}: {state.freeze.reason}"
    yield from (f"unknown    {failure}" for failure in state.failures)


def _shares(state: State, versions: Versions) -> str:
    percents = ((function, state.percent(function)) for function in versions)
    return "  ".join(
        f"{function.path} unknown" if percent is None else f"{function.path} {percent.get(versions[function], 0):g} %"
        for function, percent in percents
    )


def _others(state: State) -> Iterator[str]:
    """Requests that neither version answers."""
    for function in Function:
        percent = state.percent(function)
        if percent == {}:
            yield f"{function.path}: nobody answers, because all weights are 0"
        known = (state.traffic.stable.get(function), (state.deployed or {}).get(function))
        for who, share in (percent or {}).items():
            if who not in known:
                yield f"{function.path} {share:g} % {'version ' if who.isdecimal() else ''}{who}"


def _health(state: State) -> Iterator[str]:
    """Of the last minutes: an older analysis would go on showing what is over."""
    if state.health is None:
        yield "health     unknown"
        return
    stable, candidate = state.health
    yield f"health     stable: {figures(stable)}"
    if not state.traffic.is_steady:
        yield f"           candidate: {figures(candidate)}"


def figures(samples: Samples) -> str:
    """Requests, errors and latencies in one line."""
    sample = total(samples.values())
    if not sample.requests:
        return "no requests in the last minutes that CloudWatch has"
    quantiles = [(sample.quantile(share), label) for share, label in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))]
    latency = "  ".join(f"{label} {value:.0f} ms" for value, label in quantiles if value is not None)
    return f"{sample.errors} of {sample.requests} requests failed lately  {latency}"


def _release(state: State) -> Iterator[str]:
    release = state.last
    if release is None:
        return
    if release.analysis_runs:
        run = release.analysis_runs[-1]
        yield f"verdict    {run.verdict} at {run.weight} %, {when(run.at)}: {run.reasons}"
    yield f"steps      {_steps(release)}"
    if release.finished:
        yield f"ended      {when(release.events[-1].at)}: {release.cause or release.events[-1].text}"
    elif state.driver:
        yield f"driven by  {state.driver.holder}, since {when(state.driver.since)}"
        yield f"now        {_doing(state, release)}"
    else:
        before = f" ({state.lease.holder} did until {when(state.lease.until)})" if state.lease else ""
        yield f"now        nobody drives this{before}: run `shift` (goes on) or `abort`"


def _steps(release: Release) -> str:
    signs = {"passed": "✔", "under way": "▶", "ended here": "✘", "to come": "·"}
    return "  ".join(f"{signs[mark]} {weight} %" for mark, weight in marks(release))


def marks(release: Release) -> Iterator[tuple[str, int]]:
    """Each step with its mark: passed, under way, ended here, or to come."""
    tried = {event.weight for event in release.events if event.phase in TRIED}
    promoted = release.phase in (Phase.PROMOTED, Phase.PROMOTING)
    goes_back = release.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)

    def mark(step: int, weight: int) -> str:
        if weight not in tried or (step > release.step and not promoted):
            return "to come"
        if step < release.step or promoted:
            return "passed"
        return "ended here" if goes_back else "under way"

    yield from ((mark(step, weight), weight) for step, weight in enumerate(release.plan.weights))


def _doing(state: State, release: Release) -> str:
    left = f"{state.seconds_left or 0:.0f} s to go"
    match state.waits_for:
        case "resume":
            return f"paused, {left}, then rolled back: `resume` goes on"
        case "bake":
            return f"baking, {left}"
        case "analysis" if not release.skips_bakes:
            reaction = "paused for a person" if release.plan.on_inconclusive == "pause" else "rolled back"
            return f"baked, and waits for a verdict; without one it is {reaction} in {state.seconds_left or 0:.0f} s"
        case _:
            return release.events[-1].text
