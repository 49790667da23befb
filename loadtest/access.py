"""Access to a deployed API: its address in the stack's outputs, credentials, and a first request to each route."""

import sys
import time
from collections.abc import Mapping

import gevent
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from environments import Environment
from loadtest.client import PaymentClient, PaymentOutcome
from loadtest.engine import LoadPlan
from loadtest.faults import FaultKind
from loadtest.result import ExitCode, GateError
from loadtest.scenario import PaymentRequest, Scenario
from loadtest.signing import NoCredentials, signer_for
from loadtest.target import BadTarget, Target
from pipeline import aws
from pipeline.output import say

CLOSED = '"urn:problem-type:payments:closed"'
"""The type of the problem that the production stage answers with before a first release."""
ASK_AGAIN_SECONDS = 5.0
"""Between two requests to a route that is asleep."""


def platform_output(environment: Environment, output: str) -> str:
    """An output of the environment's stack. Raises ``GateError``."""
    try:
        return aws.PlatformOutputs.read(environment.stack_name, aws.session(environment.region, environment.name))[
            output
        ]
    except aws.OtherEnvironment as error:
        raise GateError(ExitCode.USAGE, str(error)) from error
    except aws.PlatformNotDeployed as error:
        raise GateError(ExitCode.NOT_DEPLOYED, str(error)) from error
    except (ClientError, NoCredentialsError) as error:
        raise GateError(ExitCode.REFUSED, f"AWS refuses to describe {environment.stack_name}: {error}") from error
    except BotoCoreError as error:
        raise GateError(ExitCode.UNREACHABLE, f"AWS can't be asked for {environment.stack_name}: {error}") from error


def first_answers(plan: LoadPlan, *, wake_up_seconds: float) -> dict[str, float]:
    """Send one request to each route before the load begins: the latency (ms) of each route's very first answer.

    All routes at once, because each first answer waits for the start of a function. Routes that are asleep are asked
    again for up to ``wake_up_seconds``. Raises ``GateError`` when nothing answers or the credentials are refused: no
    load is needed to find that.
    """
    return {route: milliseconds for route, (milliseconds, _) in _ask_each(plan, wake_up_seconds).items()}


def closed_routes(plan: LoadPlan, *, wake_up_seconds: float) -> list[str]:
    """Ask as ``first_answers`` does: the routes that answer that they are not open yet, as those of the production
    stage do before a first release. Each such answer is a server's error, which an alarm counts."""
    answers = _ask_each(plan, wake_up_seconds)
    return [route for route, (_, outcome) in answers.items() if outcome.status == 503 and CLOSED in outcome.detail]


def _ask_each(plan: LoadPlan, wake_up_seconds: float) -> dict[str, tuple[float, PaymentOutcome]]:
    """Latency (ms) and outcome of each route's first answer."""
    try:
        target = Target.parse(plan.url)
        signer = signer_for(target.host) if plan.signed else None
    except BadTarget as error:
        raise GateError(ExitCode.USAGE, str(error)) from error
    except NoCredentials as error:
        raise GateError(ExitCode.REFUSED, str(error)) from error
    firsts: dict[str, tuple[int, PaymentRequest]] = {}
    scenario = Scenario(plan.mix, plan.seed)
    for index in range(sum(share for _, share in plan.mix)):
        request = scenario.request(index)
        firsts.setdefault(request.route, (index, request))
    client = PaymentClient(target, signer, concurrency=len(firsts), timeout=plan.timeout)
    try:
        answers = _answers_when_awake(client, plan.run_id, firsts, 0 if target.is_local_cloud else wake_up_seconds)
    finally:
        client.close()
    for route, (_, outcome) in answers.items():
        if outcome.status in (401, 403):
            raise GateError(ExitCode.REFUSED, f"{plan.url}{route} refuses the credentials: {outcome.detail}")
        if outcome.fault and outcome.fault.kind is FaultKind.NO_CONNECTION:
            raise GateError(ExitCode.UNREACHABLE, f"{plan.url} can't be reached: {outcome.fault.text}")
    return answers


def _answers_when_awake(
    client: PaymentClient, run_id: str, firsts: Mapping[str, tuple[int, PaymentRequest]], wake_up_seconds: float
) -> dict[str, tuple[float, PaymentOutcome]]:
    """Latency (ms) and outcome of each route's first request that a function answered, or of the last one sent."""

    def ask(index: int, request: PaymentRequest) -> tuple[float, PaymentOutcome]:
        begin = time.perf_counter()
        outcome = client.send(request, f"{run_id}-first-{index}")
        return (time.perf_counter() - begin) * 1000, outcome

    deadline = time.monotonic() + wake_up_seconds
    answers: dict[str, tuple[float, PaymentOutcome]] = {}
    waiting = list(firsts)
    while True:
        asked = {route: gevent.spawn(ask, *firsts[route]) for route in waiting}
        answers |= {route: each.get() for route, each in asked.items()}
        waiting = [route for route in waiting if _is_asleep(answers[route][1])]
        left = deadline - time.monotonic()
        if not waiting or left <= 0:
            return answers
        say(
            f"{', '.join(waiting)}: no function has answered yet. A VPC link or a function may be asleep, and takes "
            f"minutes to wake up: asking for {left:.0f} s more",
            sys.stderr,
        )
        gevent.sleep(min(left, ASK_AGAIN_SECONDS))


def _is_asleep(outcome: PaymentOutcome) -> bool:
    """Whether API Gateway or the load balancer failed the request, and no function saw it.

    AWS deletes the network interfaces of a VPC link that has had no traffic for 60 days, and of a function in a VPC
    that has been idle for weeks. It restores them at the next request, which fails (API Gateway Developer Guide, "Set
    up VPC links V2"; AWS Lambda Developer Guide, "Giving Lambda functions access to resources in an Amazon VPC").
    """
    if outcome.fault is None or outcome.version:
        return False
    return outcome.fault.kind is FaultKind.TIMEOUT or outcome.status >= 500
