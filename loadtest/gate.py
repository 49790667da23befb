"""The load gate: may this candidate take traffic?

    python -m loadtest.gate --env dev

It loads the candidate's API with signed, realistic payments at a fixed rate, and proves for each route that the 99th
percentile of the latency is within the limit, or that it is not. Requests are sent on time whatever the system does,
and latency counts from when a request was due, so a stall shows in full. Errors have a budget of their own and are no
part of any percentile. Reports: gate.json, gate.junit.xml, gate.md and gate.html in reports/<env>/.

Exit codes:
  0   pass          every route is proven to be within the limit
  1   fail          a route is proven to be over the limit or its error budget
  2   usage         the command line makes no sense
  3   inconclusive  the time was up before anything was proven
  4   invalid       the rate was not reached, or the generator was too busy to judge
  5   unreachable   nothing answers at the API's address
  6   refused       the API refuses the credentials
  7   not deployed  the environment's stack or its output is missing
  8   broken route  every request to a route failed
  9   generator     a part of the load generator died
  130 interrupted   by Ctrl-C or a termination signal
Only 0 is a pass.
"""

import locust  # noqa: F401  # isort: skip  First: it makes the standard library cooperative before anything uses it.

import argparse
import signal
import sys
import time
import uuid
from pathlib import Path

import gevent
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from rich.console import Console

from loadtest import reports
from loadtest.client import PaymentClient
from loadtest.engine import NoCredentials, Plan, signer_for
from loadtest.generator import Generator
from loadtest.judge import conclude, timestamp
from loadtest.options import add_gate_options, add_target_options, gate_settings
from loadtest.reports.terminal import print_summary
from loadtest.result import ExitCode, GateError, Result
from loadtest.run import Progress, run
from loadtest.scenario import Scenario
from loadtest.target import BadTarget, Target
from loadtest.verdict import RouteJudgement
from pipeline import aws
from pipeline.environments import Environment, GateSettings


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.gate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_target_options(parser)
    add_gate_options(parser)
    parser.add_argument("--reports", type=Path, help="folder of the reports (default: reports/<env>)")
    arguments = parser.parse_args(argv)
    try:
        settings = gate_settings(arguments)
    except ValueError as error:
        parser.error(str(error))

    environment: str = arguments.env.name
    folder: Path = arguments.reports or Path("reports") / environment
    reports.write_trouble(environment, None, folder)
    try:
        result = _gate(arguments, settings)
    except GateError as trouble:
        reports.write_trouble(environment, trouble, folder)
        print(f"load gate {environment}: no verdict: {trouble}", file=sys.stderr)
        return trouble.code
    reports.write(result, folder)
    print_summary(result)
    print(f"reports: {folder}/")
    return result.exit_code


def _gate(arguments: argparse.Namespace, settings: GateSettings) -> Result:
    url = arguments.url or platform_url(arguments.env, "CandidateApiUrl")
    plan = Plan(
        run_id=uuid.uuid4().hex,
        urls=[url],
        rate=settings.rate,
        seed=settings.seed,
        mix=list(settings.mix),
        concurrency=settings.concurrency,
        timeout=settings.timeout_seconds,
        signed=not arguments.unsigned,
    )
    started = timestamp()
    first_ms = probe(url, plan)
    generator = Generator(plan)
    main_greenlet = gevent.getcurrent()
    interrupted = GateError(ExitCode.INTERRUPTED, "interrupted before the verdict")
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, main_greenlet.throw, interrupted)
    try:
        moment = run(generator, settings, _progress())
    finally:
        generator.close()
    return conclude(
        generator.samples,
        generator.health,
        settings,
        moment,
        environment=arguments.env.name,
        url=url,
        run_id=plan.run_id,
        started=started,
        first_ms=first_ms,
    )


def platform_url(environment: Environment, output: str) -> str:
    """The URL in the outputs of the environment's stack. Raises ``GateError``."""
    try:
        return aws.PlatformOutputs.read(environment.stack_name, aws.session())[output]
    except aws.PlatformNotDeployed as error:
        raise GateError(ExitCode.NOT_DEPLOYED, str(error)) from error
    except (ClientError, NoCredentialsError) as error:
        raise GateError(ExitCode.REFUSED, f"AWS refuses to describe {environment.stack_name}: {error}") from error
    except BotoCoreError as error:
        raise GateError(ExitCode.UNREACHABLE, f"AWS can't be asked for {environment.stack_name}: {error}") from error


def probe(url: str, plan: Plan) -> dict[str, float]:
    """Send one request to each route before the load begins: the latency (ms) of each route's first answer.

    Raises ``GateError`` when nothing answers or the credentials are refused: no load is needed to find that.
    """
    try:
        target = Target.parse(url)
        signer = signer_for(target) if plan.signed else None
    except BadTarget as error:
        raise GateError(ExitCode.USAGE, str(error)) from error
    except NoCredentials as error:
        raise GateError(ExitCode.REFUSED, str(error)) from error
    client = PaymentClient(target, signer, concurrency=1, timeout=plan.timeout)
    scenario, first_ms = Scenario(plan.mix, plan.seed), dict[str, float]()
    try:
        for index in range(sum(share for _, share in plan.mix)):
            request = scenario.request(index)
            if request.route in first_ms:
                continue
            begin = time.perf_counter()
            outcome = client.send(request, f"{plan.run_id}-probe-{index}")
            first_ms[request.route] = (time.perf_counter() - begin) * 1000
            if outcome.status in (401, 403):
                raise GateError(ExitCode.REFUSED, f"{url}{request.route} refuses the credentials: {outcome.detail}")
            if outcome.fault and outcome.fault.startswith("connection"):
                raise GateError(ExitCode.UNREACHABLE, f"{url} can't be reached: {outcome.fault}")
    finally:
        client.close()
    return first_ms


def _progress() -> Progress:
    """A line on the terminal that says how the run stands; without a terminal, one line every ten seconds."""
    console = Console()
    told = -1

    def tell(measured: float, planned: float, routes: list[RouteJudgement]) -> None:
        nonlocal told
        text = f"measured {measured:4.0f} of {planned:g} s  " + "  ".join(
            f"{r.route} p99 {r.p99_ms or 0:.0f} ms, {r.samples} answers, {r.errors} errors" for r in routes
        )
        if console.is_terminal:
            console.print(text, end="\r", overflow="crop", no_wrap=True)
        elif int(measured // 10) > told:
            told = int(measured // 10)
            print(text, flush=True)

    return tell


if __name__ == "__main__":
    sys.exit(main())
