"""Access to a deployed API: its address in the stack's outputs, credentials, and a first request to each route."""

import time

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


def platform_url(environment: Environment, output: str) -> str:
    """The URL in the outputs of the environment's stack. Raises ``GateError``."""
    try:
        return aws.PlatformOutputs.read(environment.stack_name, aws.session(environment.region))[output]
    except aws.PlatformNotDeployed as error:
        raise GateError(ExitCode.NOT_DEPLOYED, str(error)) from error
    except (ClientError, NoCredentialsError) as error:
        raise GateError(ExitCode.REFUSED, f"AWS refuses to describe {environment.stack_name}: {error}") from error
    except BotoCoreError as error:
        raise GateError(ExitCode.UNREACHABLE, f"AWS can't be asked for {environment.stack_name}: {error}") from error


def first_answers(plan: LoadPlan) -> dict[str, float]:
    """Send one request to each route before the load begins: the latency (ms) of each route's very first answer.

    All routes at once, because each first answer waits for the start of a function. Raises ``GateError`` when nothing
    answers or the credentials are refused: no load is needed to find that.
    """
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

    def first_answer(index: int, request: PaymentRequest) -> tuple[float, PaymentOutcome]:
        begin = time.perf_counter()
        outcome = client.send(request, f"{plan.run_id}-first-{index}")
        return (time.perf_counter() - begin) * 1000, outcome

    try:
        asked = {route: gevent.spawn(first_answer, *first) for route, first in firsts.items()}
        answers = {route: each.get() for route, each in asked.items()}
    finally:
        client.close()
    for route, (_, outcome) in answers.items():
        if outcome.status in (401, 403):
            raise GateError(ExitCode.REFUSED, f"{plan.url}{route} refuses the credentials: {outcome.detail}")
        if outcome.fault and outcome.fault.kind is FaultKind.NO_CONNECTION:
            raise GateError(ExitCode.UNREACHABLE, f"{plan.url} can't be reached: {outcome.fault.text}")
    return {route: milliseconds for route, (milliseconds, _) in answers.items()}
