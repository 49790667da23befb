"""The charts of a release: the candidate's weight, and latency and errors of both versions, over the same time."""

from collections.abc import Callable
from itertools import chain

from pipeline.release.analysis import AnalysisSummary
from pipeline.release.record import Phase, Release
from reporting import charts
from reporting.charts import Axis, Chart, Scale, Shape

ROLLED_BACK = (Phase.ROLLING_BACK, Phase.ROLLED_BACK)
Pair = tuple[float | None, float | None]
"""The lines of stable and candidate."""


def draw(release: Release) -> list[Chart]:
    """Weight, latency and errors. Their time axis counts from the start of the release."""
    begin = release.events[0].at
    time = charts.horizontal(0.0, max(release.events[-1].at - begin, 1.0), Scale.TIME)
    events = [
        *chain.from_iterable(
            charts.upright(
                time, event.at - begin, "rollback" if event.phase in ROLLED_BACK else "event", tooltip=event.text
            )
            for event in release.events
        )
    ]
    return [
        _weight(release, time, events),
        _versions(release, time, events, lambda run: run.p90, "Latency p90", "ms"),
        _versions(release, time, events, lambda run: run.errors, "Errors", "%"),
    ]


def _weight(release: Release, time: Axis, events: list[Shape]) -> Chart:
    """The weight that the record asks for. It is read back before a bake."""
    begin, percent = release.events[0].at, charts.vertical(100.0)
    weights = [
        (event.at - begin, 0 if event.phase in (Phase.PENDING, *ROLLED_BACK) else event.weight)
        for event in release.events
    ]
    steps = [(0.0, 0.0), *weights, (time.high, weights[-1][1])]
    return charts.chart(
        time,
        percent,
        [*events, *charts.staircase(time, percent, steps, "candidate")],
        title="Weight of the candidate over time",
        description=f"It rises to {max(weight for _, weight in weights)} % and ends at {weights[-1][1]} %.",
        x_unit=time.time_unit,
        y_unit="%",
    )


def _versions(
    release: Release, time: Axis, events: list[Shape], of: Callable[[AnalysisSummary], Pair], title: str, unit: str
) -> Chart:
    begin = release.events[0].at
    # At 100 % stable answers nothing: the analysis compares with the step before.
    stable = [(run.at - begin, of(run)[0]) for run in release.analysis_summaries if run.weight < 100]
    candidate = [(run.at - begin, of(run)[1]) for run in release.analysis_summaries]
    highest = {
        name: max((value for _, value in points if value is not None), default=None)
        for name, points in (("stable", stable), ("candidate", candidate))
    }
    y = charts.vertical(charts.rounded_up(max((value for value in highest.values() if value is not None), default=0.0)))
    # The dashed line comes last, so that both lines are visible where they are equal.
    shapes = [*charts.line(time, y, candidate, "candidate"), *charts.line(time, y, stable, "stable")]
    values = ", ".join(
        f"{name} {'no data' if value is None else f'{value:g} {unit}'}" for name, value in highest.items()
    )
    return charts.chart(
        time,
        y,
        [*events, *(shapes or [charts.remark("no data")])],
        title=f"{title} of both versions over time",
        description=f"Highest values: {values}.",
        x_unit=time.time_unit,
        y_unit=unit,
    )
