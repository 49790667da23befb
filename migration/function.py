"""Calls the function of the migration, which works on a slice at a time."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.config import Config

from environments import Environment
from migration.outcome import Unavailable
from pipeline import aws
from pipeline.output import say

Answer = dict[str, Any]
Event = Mapping[str, Any]

_ANSWER_SECONDS = 905
"""The function may take 15 minutes."""
_BUSY_SECONDS = 2.0
"""Asked every five seconds, the function would be found busy each time where minutes have five: the schedule has just
called it, as in the rehearsal."""
_MOST_BUSY = 450
"""A slice takes 10 minutes at most. One that holds the lock for longer has a fault."""


class MigrationFunction:
    """The function of ``environment``. Raises ``Unavailable`` when it fails, and ``PlatformNotDeployed``."""

    def __init__(self, environment: Environment) -> None:
        session = aws.session(environment.region, environment.name)
        outputs = aws.PlatformOutputs.read(environment.stack_name, session)
        if "MigrationFunctionName" not in outputs.values:
            raise Unavailable(
                f"{environment.name} has no migration: deploy it with the setting `migration` (docs/migration.md)"
            )
        self._name = outputs["MigrationFunctionName"]
        # A call that was cut off goes on in AWS: a retry would only find it busy.
        limits = Config(read_timeout=_ANSWER_SECONDS, retries={"total_max_attempts": 1})
        self._lambda = session.client("lambda", config=limits)

    def call(self, event: Event) -> Answer:
        """One call. While another call moves rows, it waits: the schedule of the changes calls each minute."""
        for busy in range(_MOST_BUSY + 1):
            answer = self._answer(event)
            if answer.get("state") != "busy":
                return answer
            if busy == 0:
                say("another call of the function works: waiting for it", sys.stderr)
            time.sleep(_BUSY_SECONDS)
        raise Unavailable(f"{self._name} is busy for {_MOST_BUSY * _BUSY_SECONDS / 60:.0f} minutes: see its log")

    def calls(self, event: Event) -> Iterator[Answer]:
        """Call until there is nothing more to do at once."""
        while True:
            answer = self.call(event)
            yield answer
            if answer["state"] in ("idle", "waiting"):
                return
            event = {name: value for name, value in event.items() if name not in ("again", "columns")}

    def _answer(self, event: Event) -> Answer:
        answer = self._lambda.invoke(FunctionName=self._name, Payload=json.dumps(event).encode())
        body = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            said = body.get("errorMessage", body) if isinstance(body, dict) else body
            raise Unavailable(f"{self._name} failed: {said}. Its log: /aws/lambda/{self._name}")
        return body if isinstance(body, dict) else {}
