"""The command-line options that the gate and the traffic share, over the environment's own settings."""

import argparse
import math
import os
from dataclasses import dataclass, replace

from environments import GateSettings
from loadtest.p99 import samples_needed
from names import Function
from pipeline.arguments import environment_name


@dataclass(frozen=True, kw_only=True)
class Workforce:
    """The generator: ``processes`` of this machine and ``remote`` locust workers, which connect to ``bind``:``port``.

    One process and no remote workers: this process itself. Port 0: any free one.
    """

    processes: int = 1
    remote: int = 0
    bind: str = "127.0.0.1"
    port: int = 0

    @property
    def is_alone(self) -> bool:
        return self.processes == 1 and self.remote == 0


def add_target_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--env", type=environment_name, required=True, metavar="NAME", help="dev, staging, prod or other"
    )
    parser.add_argument("--url", help="load this API instead of the one in the stack's outputs")
    parser.add_argument("--unsigned", action="store_true", help="send requests without an AWS signature")


def number(least: float, most: float = math.inf, *, above: bool = False) -> "type[float]":
    """A parser of finite numbers from ``least`` (with ``above``: over it) to ``most``."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not math.isfinite(value) or not least <= value <= most or (above and value == least):
            bounds = f"{'over' if above else 'from'} {least:g}" + (f" to {most:g}" if math.isfinite(most) else "")
            raise argparse.ArgumentTypeError(f"{text} is out of range: {bounds}")
        return value

    return parse  # type: ignore[return-value]


def positive_integer(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


_ROUTES = tuple(function.path for function in Function)


def mix(text: str) -> tuple[tuple[str, int], ...]:
    """``/validate=2,/process=1`` as routes and shares."""
    shares = []
    for part in text.split(","):
        route, _, share = part.partition("=")
        if route not in _ROUTES:
            raise argparse.ArgumentTypeError(f"unknown route {route!r}: choose from {', '.join(_ROUTES)}")
        shares.append((route, positive_integer(share)))
    if len({route for route, _ in shares}) < len(shares):
        raise argparse.ArgumentTypeError("a route is named twice")
    return tuple(shares)


def limit_factors(text: str) -> tuple[tuple[str, float], ...]:
    """``/transactions=1.5`` as routes and factors."""
    factors = []
    for part in text.split(","):
        route, _, factor = part.partition("=")
        if route not in _ROUTES:
            raise argparse.ArgumentTypeError(f"unknown route {route!r}: choose from {', '.join(_ROUTES)}")
        factors.append((route, float(number(0, 100, above=True)(factor))))
    return tuple(factors)


_GATE_OPTIONS = (
    ("--rate", "rate", number(0, 100_000, above=True), "requests a second over all routes, open model"),
    ("--duration", "duration_seconds", number(0, 86_400, above=True), "seconds measured before the first verdict"),
    ("--max-duration", "max_seconds", number(0, 86_400, above=True), "seconds measured at most, while undecided"),
    ("--warm-up", "warm_up_seconds", number(0, 3_600), "seconds before the measured time, reported on their own"),
    ("--limit", "limit_ms", number(0, 3_600_000, above=True), "milliseconds that each route's p99 may reach"),
    ("--limit-factors", "limit_factors", limit_factors, "limits of single routes, as multiples of --limit"),
    ("--confidence", "confidence", number(0.5, 0.999999), "how sure the verdict must be"),
    ("--error-budget", "error_budget", number(0, 0.5), "share of wrong answers allowed"),
    ("--others-share", "others_share", number(0, 1), "share of this machine that other programs may take"),
    ("--slower-share", "slower_share", number(0, 100), "share above the promoted release's p99 that is a warning"),
    ("--mix", "mix", mix, f"routes and their shares, as {','.join(f'{route}=1' for route in _ROUTES)}"),
    ("--seed", "seed", positive_integer, "same seed, same payments (default: another one for each run)"),
    ("--concurrency", "concurrency", positive_integer, "requests that may be under way at once in a process"),
    ("--wake-up", "wake_up_seconds", number(0, 3_600), "seconds to wait for a VPC link or function that is asleep"),
    ("--timeout", "timeout_seconds", number(0, 60, above=True), "seconds after which a missing answer is an error"),
)  # fmt: skip


def add_gate_options(parser: argparse.ArgumentParser) -> None:
    """One option per setting. The environment's settings are the defaults."""
    group = parser.add_argument_group("settings", "defaults: the environment's in environments.py")
    for flag, name, parse, text in _GATE_OPTIONS:
        group.add_argument(flag, dest=name, type=parse, help=text)


def add_workforce_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("load generator", "default: this process alone, enough for some 1,000 requests/s")
    group.add_argument("--processes", type=positive_integer, help="processes of this machine; see also --all-cores")
    group.add_argument("--all-cores", action="store_true", help="as many processes as this machine has cores")
    group.add_argument(
        "--remote-workers",
        type=positive_integer,
        default=0,
        metavar="N",
        help="wait for N more, started "
        "elsewhere by: locust -f loadtest/locustfile.py --worker --master-host HOST --master-port PORT",
    )
    group.add_argument(
        "--bind",
        default="127.0.0.1:5557",
        metavar="HOST:PORT",
        help="where they connect; there is no authentication: use a private network only (default: %(default)s)",
    )


def workforce(arguments: argparse.Namespace) -> Workforce:
    """The generator that the command line asks for. Raises ``ValueError``."""
    processes = (os.cpu_count() or 1) if arguments.all_cores else arguments.processes
    if processes is None:
        processes = 0 if arguments.remote_workers else 1
    host, _, port = arguments.bind.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"--bind {arguments.bind}: expected HOST:PORT")
    return Workforce(
        processes=processes,
        remote=arguments.remote_workers,
        bind=host,
        port=int(port) if arguments.remote_workers else 0,
    )


def gate_settings(arguments: argparse.Namespace) -> GateSettings:
    """The environment's settings with the changes of the command line. Raises ``ValueError`` if they are unusable."""
    given = {name: getattr(arguments, name) for _, name, _, _ in _GATE_OPTIONS if getattr(arguments, name) is not None}
    settings: GateSettings = replace(arguments.env.gate, **given)
    if settings.max_seconds < settings.duration_seconds:
        if "max_seconds" in given:
            raise ValueError("--max-duration is less than --duration")
        settings = replace(settings, max_seconds=settings.duration_seconds)
    smallest = min(share for _, share in settings.mix) / sum(share for _, share in settings.mix)
    most = int(settings.rate * smallest * settings.max_seconds)
    alpha = 1 - settings.confidence
    if most < samples_needed(alpha):
        raise ValueError(
            f"a p99 at {settings.confidence:.0%} confidence needs {samples_needed(alpha)} samples of each route; "
            f"{settings.rate:g} requests/s for {settings.max_seconds:g} s give the rarest one {most}: "
            "raise --rate or --max-duration"
        )
    return settings
