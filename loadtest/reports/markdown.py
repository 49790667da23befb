"""Markdown: the verdict and its reasoning, for a pull request or a run's summary."""

from loadtest.result import Result
from reporting.markdown import code, prose


def render(result: Result) -> str:
    lines = [
        f"# Load gate of {result.subject.environment}: {result.verdict}",
        "",
        *(f"- {prose(reason)}" for reason in result.reasons),
        "",
        "| route | verdict | samples | p50 ms | p99 ms | p99 between | limit ms | max ms | over limit (allowed) "
        "| errors | CPU p50 and p99 ms |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        *(
            f"| {r.route} | {r.verdict} | {r.samples} | {ms(r.p50_ms)} | {ms(r.p99_ms)} "
            f"| {ms(r.p99_lower_ms)} and {ms(r.p99_upper_ms)} | {r.limit_ms:g} | {ms(r.max_ms)} "
            f"| {r.over_limit} ({max(r.allowed_over, 0)}) | {r.errors} "
            f"| {ms(result.processor[r.route].p50_ms)} and {ms(result.processor[r.route].p99_ms)} |"
            for r in result.routes
        ),
        "",
        f"API {code(result.subject.url)}: {result.rate:g} requests/s asked, "
        f"{result.generator.achieved_rate:.1f} achieved, {result.measured_seconds:g} s measured "
        f"after {result.warm_up_seconds:g} s of warm-up. "
        f"p99 bounds: order statistics at {1 - result.alpha:.2%} confidence. "
        f"The same payments again: `--seed {result.seed}`.",
    ]
    return "\n".join(lines) + "\n"


def ms(value: float | None) -> str:
    """A latency (ms) with one decimal; a dash if it is not known."""
    return "-" if value is None else f"{value:.1f}"
