"""How people read releases: lines of text, the same for the terminal, messages and reports."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from environments import MetricSettings, Reaction, StepSettings
from names import CUT_OVER, Function
from pipeline.release.plan import Plan
from pipeline.release.record import Phase, Release
from pipeline.release.traffic import Traffic, Versions, moves, shifted


def name(versions: Versions) -> str:
    """A set of versions: one number when all are the same."""
    if not versions:
        return "unknown"
    if len(set(versions.values())) == 1:
        return f"version {next(iter(versions.values()))}"
    return ", ".join(f"{function} {version}" for function, version in versions.items())


def command(environment: str, words: str) -> str:
    """The command with these ``words``, a command's name and its options, on the records of ``environment``."""
    platform, _, what = environment.partition("/")
    program = "python -m migration cutover" if what == CUT_OVER else "python -m pipeline.release"
    name, *options = words.split()
    return " ".join([program, name, "--env", platform, *options])


def parts_lines(parts: Traffic, failures: Sequence[Exception]) -> Iterator[str]:
    """Each part of the traffic, also what is unknown, and why."""
    yield f"listener: {parts.listener or 'unknown'}"
    for function in Function:
        alias = parts.blue.get(function)
        yield f"{function} alias blue: {alias or 'unknown'}"
    yield from (f"unknown: {failure}" for failure in failures)


def when(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def describe(release: Release) -> Iterator[str]:
    """A release's story, line by line."""
    yield f"release {release.release_id} of {release.environment}: {release.phase}"
    yield f"{name(release.stable)} → {name(release.candidate)}, commit {release.commit or 'unknown'}"
    for event in release.events:
        yield f"{when(event.at)}  {event.weight:3d} %  {event.text}"


def plan_lines(environment: str, plan: Plan, windows: Sequence[str], freeze: Sequence[str]) -> list[str]:
    """The plan on one screen."""
    limits = plan.limits
    bakes = sum(map(plan.bake_of, plan.weights))
    return branch(
        f"{environment}: {' → '.join(map(str, plan.weights))} %",
        [
            f"bake          {plan.bake_seconds:g} s at each step, looked at every {plan.poll_seconds:g} s; "
            f"at least {bakes:g} s in all",
            *map(_step_line, plan.steps),
            f"analysis      from {plan.analysis_seconds:g} s on, candidate against stable over the same minutes",
            f"errors        fail when proven to be {limits.error_margin:.1%} more than stable's (Fisher's exact test)",
            f"slow tail     fails when proven to be {limits.slow_margin:.2%} of requests more than stable's",
            f"latency       fails when proven to have a chance over {limits.effect} to be slower (rank test), with "
            f"{limits.latency_margin_ms:g} ms at the p90 or a p99 over {limits.limit_ms:g} ms",
            f"significance  {limits.significance:g} for all looks of a step at one of these; a difference with "
            f"p < {limits.suspicion:g} is held",
            f"enough data   {limits.minimum_requests} requests of the candidate, {limits.minimum_per_route} a route",
            *map(_metric_line, plan.metrics),
            f"failed        {_reaction(plan.on_failure)}",
            f"inconclusive  held up to {plan.hold_seconds:g} s, then {_reaction(plan.on_inconclusive)}",
            "deadline      "
            + ("none" if plan.deadline_seconds is None else f"{plan.deadline_seconds:g} s, then rolled back"),
            f"pause         up to {plan.pause_seconds:g} s unless `pause --for` says else, then rolled back",
            f"failing calls {plan.failures_allowed} rounds in a row and 30 s, then rolled back",
            f"windows       {'; '.join(windows) + ' UTC' if windows else 'always open'}",
            f"freeze alarms {', '.join(freeze) or 'none'}",
        ],
    )


def _step_line(step: StepSettings) -> str:
    facts = {
        "bake {:g} s": step.bake_seconds,
        "{:g} requests are enough": step.minimum_requests,
        "{:.1%} more errors": step.error_margin,
        "then held until `promote`": step.approval or None,
    }
    return f"at {step.weight:3} %      {', '.join(t.format(value) for t, value in facts.items() if value is not None)}"


def _metric_line(metric: MetricSettings) -> str:
    whole = "of both versions together, held" if metric.of == "whole" else "than stable's"
    bound = f"from {metric.margin:.2%} {'fewer' if metric.better == 'more' else 'more'} {whole}"
    return f"own metric    {metric.name}: {bound}{', observed only' if metric.mode == 'observe' else ''}"


def _reaction(reaction: Reaction) -> str:
    return "rolled back" if reaction == "roll back" else "paused for a person"


def preview_lines(release: Release, traffic: Traffic) -> Iterator[str]:
    """The calls that ``release`` would make from ``traffic`` on, if all goes well."""
    if release.phase is Phase.ROLLING_BACK:
        stages = [("rollback", release.traffic)]
    else:
        at_once = release.skips_bakes or release.is_first
        weights = release.plan.weights[-1:] if at_once else release.plan.weights
        stages = [(f"{weight} %", shifted(release.stable, release.candidate, weight)) for weight in weights]
        stages.append(("promote", release.to(Phase.PROMOTED, release.since, "").traffic))
    for label, wanted in stages:
        for chain in moves(traffic, wanted):
            yield from (f"{label:>9}  {move}" for move in chain)
        traffic = Traffic(listener=wanted.listener, blue=wanted.blue, green=wanted.green or traffic.green)


def history_lines(releases: Sequence[Release]) -> list[str]:
    """One line for each release, newest first."""
    return [
        f"{release.release_id}  {release.phase:12}  {'undo' if release.undoes else 'shift':5}  "
        f"{name(release.stable)} → {name(release.candidate)}  {(release.commit or '')[:10]:10}  "
        f"{release.cause or release.events[-1].text}"
        for release in releases
    ] or ["no release yet"]


def summary(release: Release) -> dict[str, Any]:
    """The same as a line of ``history_lines`` for programs."""
    return {
        "release_id": release.release_id,
        "phase": release.phase,
        "undoes": release.undoes,
        "stable": release.stable,
        "candidate": release.candidate,
        "commit": release.commit,
        "started_by": release.started_by,
        "started": release.events[0].at,
        "ended": release.events[-1].at if release.finished else None,
        "cause": release.cause,
        "rejected": release.rejected,
    }


def branch(root: str, branches: Sequence[str]) -> list[str]:
    """A tree of one level."""
    return [root, *(f"├─ {line}" for line in branches[:-1]), f"└─ {branches[-1]}"]
