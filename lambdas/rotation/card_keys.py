"""Rotates the keys of card fingerprints: adds a version, and drops those that nothing needs any more.

Functions that have not read the new version yet go on with the one before (``lambdas/payments/card_keys.py``).
"""

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from lambdas.payments.card_keys import CardKeys
from lambdas.rotation import steps

_LONGEST_PENDING_SECONDS = 3600
"""A version counts from its creation, so it must become current soon after it."""


def handler(event: Mapping[str, str], context: Any) -> None:
    """``event`` and errors: see ``steps.run``. Also raises ``ValueError`` for a secret that is unusable."""
    steps.run(event, {"createSecret": _create, "setSecret": _set, "testSecret": _test})


def _create(arn: str, token: str) -> None:
    def rotated() -> str:
        current = CardKeys.parse(steps.text(arn, steps.CURRENT))
        return current.rotated(secrets.token_hex(32), int(time.time())).to_json()

    steps.create_once(arn, token, rotated)


def _set(arn: str, token: str) -> None:
    """Nothing else holds the keys."""


def _test(arn: str, token: str) -> None:
    current = CardKeys.parse(steps.text(arn, steps.CURRENT))
    pending = CardKeys.parse(steps.text(arn, steps.PENDING, token))
    if not pending.follows(current):
        raise ValueError(f"the pending version of {arn} changes or takes back a key of the current one")
    if pending.newest == current.newest:
        return  # Secrets Manager tries a new schedule with a copy of the current version
    if pending.newest.since < time.time() - _LONGEST_PENDING_SECONDS:
        raise ValueError(
            f"the pending version of {arn} is over an hour old: remove its stage {steps.PENDING}, and rotate again"
        )
    kept = [each.number for each in pending.versions]
    dropped = [each.number for each in current.versions if each.number not in kept]
    print(json.dumps({"message": "card keys are rotated", "kept": kept, "dropped": dropped}))
