"""The load gate: may this candidate take traffic?

    python -m loadtest.gate --env dev

It loads the candidate's API with signed, realistic payments at a fixed rate, and proves for each route that the 99th
percentile of the latency is within the limit, or that it is not. Requests are sent on time even if the system is slow,
and latency counts from the time when a request was due, so a stall shows in full. Errors have a budget of their own and
are in no percentile. Reports: gate.json, gate.junit.xml, gate.md and gate.html in reports/<env>/.

Exit codes:
  0   pass          every route is proven to be within the limit
  1   fail          a route is proven to be over the limit or its error budget
  2   usage         the command line makes no sense
  3   inconclusive  the time was up before anything was proven
  4   invalid       the rate was not reached, or the generator or this machine was too busy to judge
  5   unreachable   nothing answers at the API's address
  6   refused       the API refuses the credentials
  7   not deployed  the environment's stack or its output is missing
  8   broken route  every request to a route failed
  9   generator     a part of the load generator died, or the gate itself failed
  130 interrupted   by Ctrl-C or a termination signal
Only 0 is a pass.
"""

import locust  # noqa: F401  # isort: skip  First: it makes the standard library cooperative before anything uses it.

import argparse
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from environments import Environment, GateSettings
from loadtest import reports
from loadtest.access import first_answers, platform_output
from loadtest.baseline import promoted_gates
from loadtest.engine import LoadPlan
from loadtest.generator import Generator
from loadtest.judge import RunMeasurements, conclude
from loadtest.machine import Machine, machine_class
from loadtest.options import add_gate_options, add_target_options, add_workforce_options, gate_settings, workforce
from loadtest.p99 import RouteJudgement
from loadtest.reports.progress import progress_file
from loadtest.reports.terminal import print_summary
from loadtest.result import ExitCode, GateError, Result, Subject, timestamp
from loadtest.run import Progress, run
from loadtest.target import Target
from pipeline import aws
from pipeline.output import moves_cursor, say

MOST_SECONDS_TO_CALM = 120.0
"""The longest wait for a calm machine, before a busy one is measured again."""


def main(argv: list[str] | None = None) -> int:
    arguments, settings = _parse(argv)
    environment: str = arguments.env.name
    folder: Path = arguments.reports or Path("reports") / environment
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        reports.write_trouble(environment, None, folder)
        result, locust_page = _examine(arguments, settings, folder)
        reports.write(result, locust_page, folder)
        print_summary(result)
        say(f"  reports: {folder}/")
        # Workers on other machines end with their run.
        if result.machine_was_busy and not (arguments.no_repeat or arguments.again or arguments.workforce.remote):
            _measure_again(result, settings, sys.argv[1:] if argv is None else argv)
    except GateError as trouble:
        return _no_verdict(environment, trouble, folder)
    except KeyboardInterrupt:
        return _no_verdict(environment, GateError(ExitCode.INTERRUPTED, "interrupted before the verdict"), folder)
    except OSError as error:  # a full disk, or a folder of reports that can't be written
        return _no_verdict(environment, GateError(ExitCode.GENERATOR_DIED, f"the gate itself failed: {error}"), folder)
    except Exception as error:  # Python would exit with 1, which means a slow route
        traceback.print_exc()
        return _no_verdict(environment, GateError(ExitCode.GENERATOR_DIED, f"the gate itself failed: {error}"), folder)
    return result.exit_code


def _measure_again(result: Result, settings: GateSettings, argv: Sequence[str]) -> NoReturn:
    """Measure in a new process, because locust keeps the state of a run in the modules of this one."""
    say("this machine was busy, which proves nothing about the candidate: measuring once more as soon as it is calm")
    target = Target.parse(result.subject.url)
    machine = Machine(target.connect_host, target.connect_port)
    machine.wait_for_calm(settings.others_share, most_seconds=MOST_SECONDS_TO_CALM)
    os.execv(sys.executable, [sys.executable, "-m", "loadtest.gate", *argv, "--again"])  # noqa: S606


def _no_verdict(environment: str, trouble: GateError, folder: Path) -> int:
    say(f"load gate {environment}: no verdict: {trouble}", sys.stderr)
    with contextlib.suppress(OSError):  # perhaps the folder was the cause
        reports.write_trouble(environment, trouble, folder)
    return trouble.code


def _parse(argv: list[str] | None) -> tuple[argparse.Namespace, GateSettings]:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.gate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_target_options(parser)
    parser.add_argument("--reports", type=Path, help="folder of the reports (default: reports/<env>)")
    parser.add_argument(
        "--no-repeat", action="store_true", help="do not measure once more when other programs kept this machine busy"
    )
    parser.add_argument("--again", action="store_true", help=argparse.SUPPRESS)  # the second run, if there are two
    add_gate_options(parser)
    add_workforce_options(parser)
    arguments = parser.parse_args(argv)
    try:
        arguments.workforce = workforce(arguments)
        return arguments, gate_settings(arguments)
    except ValueError as error:
        parser.error(str(error))


def _examine(arguments: argparse.Namespace, settings: GateSettings, folder: Path) -> tuple[Result, str]:
    """Load the candidate and judge it. Returns the result and locust's own report. Raises ``GateError``."""
    url: str = arguments.url or platform_output(arguments.env, "CandidateApiUrl")
    promoted = "the API was named by --url" if arguments.url else _promoted(arguments.env)
    plan = LoadPlan.of(settings, url, signed=not arguments.unsigned, ramp=settings.warm_up_seconds / 2)
    first_ms = first_answers(plan, wake_up_seconds=settings.wake_up_seconds)

    started = timestamp()
    generator = Generator(plan, arguments.workforce)
    try:
        target = Target.parse(url)
        machine = Machine(target.connect_host, target.connect_port)
        with progress_file(arguments.env.name, folder) as write:
            moment = run(generator, settings, _progress(write, machine))
        machine_share, others_share = machine.shares()
    finally:
        generator.close()
    subject = Subject(
        environment=arguments.env.name,
        url=url,
        run_id=plan.run_id,
        started=started,
        workers=generator.worker_count,
    )
    measured = RunMeasurements(
        samples=generator.samples,
        health=generator.health,
        machine_cpu_share=machine_share,
        others_cpu_share=others_share,
        expected=generator.count_before(moment.end),
        first_ms=first_ms,
        seed=plan.seed,
        machine=machine_class(target.connect_host),
        promoted=promoted,
        again=arguments.again,
    )
    return conclude(measured, settings, moment, subject), generator.locust_page()


def _promoted(environment: Environment) -> Sequence[Mapping[str, Any]] | str:
    """What the gate measured of the last promoted releases, or why that is not known."""
    session = aws.session(environment.region, environment.name)
    table = platform_output(environment, "ReleaseTableName")
    return promoted_gates(session, table, environment.name)


def _progress(write: Progress, machine: Machine) -> Progress:
    """Show the state of the run, and ``write`` it: one renewed line on a terminal, elsewhere one every five seconds.
    ``machine`` looks while answers are judged."""
    console = Console()
    told = -1

    def tell(measured: float, planned: float, routes: list[RouteJudgement]) -> None:
        nonlocal told
        if measured:
            machine.look()
        write(measured, planned, routes)
        standing = [
            f"{route.route} p99 {route.p99_ms or 0:.0f} ms of {route.samples}"
            + (f", {route.errors} errors" if route.errors else "")
            for route in routes
        ]
        text = f"measured {measured:3.0f} of {planned:g} s   {'   '.join(standing)}"
        if not measured:
            text = f"warming up; then {planned:g} s are measured"
        if moves_cursor():
            console.print(text.ljust(console.width)[: console.width - 1], end="\r", markup=False, highlight=False)
        elif int(measured // 5) > told:
            told = int(measured // 5)
            say(text)

    return tell


if __name__ == "__main__":
    sys.exit(main())
