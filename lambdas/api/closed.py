"""The stable version of an environment in which no release has been promoted yet: 503 for every request.

``lambdas.deployment.blue_alias`` publishes it. The first release replaces it.
"""

from typing import Any

from lambdas.api.problems import Problem
from lambdas.api.requests import Request, problem_answer


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    request = Request.of(event, context.aws_request_id)
    return problem_answer(Problem("closed"), request).to_event(request, 0.0)
