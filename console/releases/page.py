"""The page of an environment's releases."""

from collections.abc import Iterator, Mapping
from typing import Any

from console import text
from console.actions import Actions
from console.reading import Reading
from console.releases.commands import offered
from console.releases.reading import Standing
from names import Function
from pipeline.release import charts
from pipeline.release.guards import previous_stable
from pipeline.release.record import Phase
from pipeline.release.report import rows, worst_first
from pipeline.release.samples import Samples
from pipeline.release.state import State
from pipeline.release.status import figures, marks, tree
from pipeline.release.traffic import Versions
from pipeline.release.view import name


def view(
    environment: str, reading: Reading[Standing], actions: Actions, *, measured: bool = False
) -> Mapping[str, Any]:
    """The values of ``release_live.html``. ``measured``: whether a load gate measures the environment now."""
    shown: dict[str, Any] = {
        "environment": environment,
        "reading": reading,
        "measured": measured,
        "standing": reading.value,
        "recorded_actions": [each for each in actions.latest() if each.target == f"release of {environment}"],
        "phase_badge": _badge,
        "samples": lambda run: ((version, cells) for version, *cells in rows(run)),
        "by_verdict": worst_first,
        "name": name,
    }
    standing = reading.value
    if standing is None:
        return shown
    state, release = standing.state, standing.state.last
    return shown | {
        "doing": _doing(state),
        "until": state.at + state.seconds_left if state.seconds_left is not None else None,
        "sides": list(_sides(state)),
        "commands": offered(standing),
        "steps": list(marks(release)) if release else [],
        "charts": charts.draw(release) if release else [],
    }


def facts(standing: Standing | None) -> list[str]:
    """What a person who confirms a command has to see, line by line: how the environment stands, and the way back."""
    if standing is None:
        return []
    promoted = previous_stable(standing.state.traffic.stable, standing.history)
    before = [f"stable before: {name(promoted.stable)}"] if promoted and not standing.state.under_way else []
    return [text.line(each) for each in (*tree(standing.state), *before)]


def _badge(phase: Phase) -> str:
    return {Phase.PROMOTED: "pass", Phase.ROLLED_BACK: "fail", Phase.ROLLING_BACK: "fail", Phase.PAUSED: "warn"}.get(
        phase, "neutral"
    )


def _doing(state: State) -> str:
    """What happens now. The seconds that are left stand beside it: they change all the time."""
    release = state.last
    if release is None:
        return "Traffic has never been shifted here. The first promotion makes its version stable."
    if release.finished:
        return f"The last one, {release.release_id}: {release.cause or release.events[-1].text}"
    where = f"Step {release.step + 1} of {len(release.plan.weights)}, {release.weight} %"
    if state.driver is None:
        return f"{where}: nobody drives this release. `shift` goes on, `abort` takes it back"
    waits = {
        "resume": "paused; if nobody resumes it, it is rolled back in",
        "bake": "baking, for another",
        "analysis": "baked, and waits for a verdict; without one it ends in",
        "approval": "done, and waits for a person to promote it",
    }
    return f"{where}: {waits.get(state.waits_for or '', release.events[-1].text)}"


def _sides(state: State) -> Iterator[tuple[str, str, list[tuple[str, float | None]], str]]:
    """Stable and candidate: label, versions, share of each route, health in one line."""
    stable, deployed = state.traffic.stable, state.deployed
    health: tuple[Samples | None, Samples | None] = state.health or (None, None)
    yield "stable", name(stable), _shares(state, stable), _health(health[0])
    if deployed is None:
        yield "candidate", "unknown", [], ""
    elif deployed == stable:
        yield "candidate", "none", [], "What is deployed is stable."
    else:
        yield "candidate", name(deployed), _shares(state, deployed), _health(health[1])


def _shares(state: State, versions: Versions) -> list[tuple[str, float | None]]:
    shares: list[tuple[str, float | None]] = []
    for function in Function:
        if function in versions:
            percent = state.percent(function)
            shares.append((function.path, None if percent is None else percent.get(versions[function], 0.0)))
    return shares


def _health(samples: Samples | None) -> str:
    return "Health unknown." if samples is None else figures(samples)
