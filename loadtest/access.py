"""Access to a deployed API: its address in the stack's outputs, credentials, and a first request to each route."""

import time

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from environments import Environment
from loadtest.client import PaymentClient
from loadtest.engine import LoadPlan
from loadtest.faults import FaultKind
from loadtest.result import ExitCode, GateError
from loadtest.scenario import Scenario
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

    Raises ``GateError`` when nothing answers or the credentials are refused: no load is needed to find that.
    """
    try:
        target = Target.parse(plan.url)
        signer = signer_for(target.host) if plan.signed else None
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
            outcome = client.send(request, f"{plan.run_id}-first-{index}")
            first_ms[request.route] = (time.perf_counter() - begin) * 1000
            if outcome.status in (401, 403):
                raise GateError(
                    ExitCode.REFUSED, f"{plan.url}{request.route} refuses the credentials: {outcome.detail}"
                )
            if outcome.fault and outcome.fault.kind is FaultKind.NO_CONNECTION:
                raise GateError(ExitCode.UNREACHABLE, f"{plan.url} can't be reached: {outcome.fault.text}")
    finally:
        client.close()
    return first_ms
