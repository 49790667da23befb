"""Lambda handler of the sweeper, which a schedule calls every few minutes."""

from functools import cache
from typing import Any

from lambdas.adapters import deadline
from lambdas.adapters.audit_log import S3AuditLog
from lambdas.adapters.pending import DynamoPending
from lambdas.adapters.tracing import tracer
from lambdas.adapters.velocity import DynamoVelocity
from lambdas.api import metrics
from lambdas.api.endpoint import logger
from lambdas.payments.sweeping import Sweeper

_LAST_START_MS = 15_000
"""No transaction is begun with less time left. One takes 12 seconds at most."""


@cache
def _sweeper() -> Sweeper:
    return Sweeper(DynamoPending(), S3AuditLog(), DynamoVelocity(), _report)


def _report(transaction_id: str, reason: str) -> None:
    logger.warning("can't be finished", transaction_id=transaction_id, reason=reason)


@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Returns how many payments and amendments it ``finished``, how many are ``left``, and the age of the oldest of
    these."""
    deadline.start()

    def may_go_on() -> bool:
        deadline.start()
        return bool(context.get_remaining_time_in_millis() > _LAST_START_MS)

    swept = _sweeper().sweep(may_go_on)
    metrics.sweep(len(swept.finished), swept.left, swept.oldest_seconds)
    logger.info("swept", finished=swept.finished, left=swept.left, oldest_seconds=swept.oldest_seconds)
    return {"finished": len(swept.finished), "left": swept.left, "oldest_seconds": swept.oldest_seconds}
