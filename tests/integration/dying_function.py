"""A function in a process that ends abruptly at its n-th step: ``dying_function.py N EVENT FOLDER``.

A write is a call that changes DynamoDB or S3. Odd steps end the process before a write is sent, even steps right after
its answer arrived. Prints the reached steps on standard error. Needs the variables of the deployed function.
"""

import importlib
import json
import os
import sys
from typing import Any

from lambdas.adapters import aws

WRITES = ("PutItem", "UpdateItem", "TransactWriteItems", "PutObject", "DeleteItem")
EXIT_CODE = 9


class Context:
    """A Lambda context with little time left, so that the idempotency lock expires soon after the process died."""

    aws_request_id = "00000000-0000-0000-0000-00000000dead"
    function_name = "payment-processing-dev"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:111111111111:function:payment-processing-dev"

    def get_remaining_time_in_millis(self) -> int:
        return 1_500


def main(die_at: int, event: dict[str, Any], folder: str) -> None:
    reached = 0

    def step(model: Any = None, **details: Any) -> None:
        nonlocal reached
        if model.name in WRITES:
            reached += 1
            print("reached", model.name, file=sys.stderr, flush=True)
            if reached == die_at:
                os._exit(EXIT_CODE)

    for service in ("dynamodb", "s3"):
        events = aws.client(service).meta.events
        events.register("before-call", step)
        events.register("after-call", step)
    handler = importlib.import_module(f"lambdas.{folder}.handler").handler
    print(handler(event, Context())["statusCode"])


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3])
