"""The terminal summary."""

import sys

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadtest.p99 import GateVerdict
from loadtest.reports.markdown import ms
from loadtest.result import Result

LOG_WIDTH = 1000

_STYLES = {
    GateVerdict.PASS: "bold green",
    GateVerdict.FAIL: "bold red",
    GateVerdict.INCONCLUSIVE: "bold yellow",
    GateVerdict.INVALID: "bold magenta",
}


def summary(result: Result) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("route", "verdict"):
        table.add_column(heading, no_wrap=True)
    for heading in ("answers", "p50", "p99", "p99 ≤", "limit", "max ms", "over", "errors", "CPU p50", "CPU p99"):
        table.add_column(heading, justify="right", no_wrap=True)
    for route in result.routes:
        table.add_row(
            route.route,
            Text(str(route.verdict), style=_STYLES[route.verdict]),
            f"{route.samples:,}",
            ms(route.p50_ms),
            ms(route.p99_ms),
            ms(route.p99_upper_ms),
            f"{route.limit_ms:g}",
            ms(route.max_ms),
            f"{route.over_limit} ({max(route.allowed_over, 0)})",
            str(route.errors),
            ms(result.processor[route.route].p50_ms),
            ms(result.processor[route.route].p99_ms),
        )
    generator = result.generator
    return Group(
        table,
        Text(
            f"{generator.achieved_rate:.1f} of {generator.target_rate:g} requests/s; generator: CPU "
            f"{generator.cpu_share:.0%} of a core, event loop late by {generator.lag_p99_ms:.1f} ms (p99); "
            f"the same payments again: --seed {result.seed}",
            style="dim",
        ),
        Text(_conclusion(result), style=_STYLES[result.verdict]),
        *(Text(f"  {reason}") for reason in result.reasons),
    )


def _conclusion(result: Result) -> str:
    """The line that a promotion shows: the latencies of a pass, else the gravest reason."""
    before = {route: result.comparison.routes[route].before_ms for route in result.comparison.slower}
    measured = ", ".join(
        f"{route.route} {ms(route.p99_ms)} ms"
        + (f" (SLOWER: {ms(before[route.route])} before)" if route.route in before else "")
        for route in result.routes
    )
    why = f"p99 {measured}" if result.verdict is GateVerdict.PASS else next(iter(result.reasons), "no reason given")
    return f"load gate {result.subject.environment}: {result.verdict}; {why}"


def print_summary(result: Result) -> None:
    # A log has no width of its own; rich would take 80 columns and fold the table.
    Console(width=None if sys.stdout.isatty() else LOG_WIDTH).print(summary(result))
