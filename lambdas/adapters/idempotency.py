"""One run per idempotency key at a time, by Powertools on the table ``IDEMPOTENCY_TABLE``."""

import os
from collections.abc import Callable
from typing import Any

from lambdas.adapters import aws
from lambdas.payments.errors import InFlight, KeyReused, Unavailable

_KEPT_SECONDS = 48 * 3600


class Idempotency:
    """Stores the answer for each principal's key. The record is locked until Lambda's time limit of the run."""

    def __init__(self) -> None:
        from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig

        self._config = IdempotencyConfig(
            event_key_jmespath="scope",
            payload_validation_jmespath="payment",
            raise_on_no_idempotency_key=True,
            expires_after_seconds=_KEPT_SECONDS,
            hash_function="sha256",
        )
        self._store = DynamoDBPersistenceLayer(os.environ["IDEMPOTENCY_TABLE"], boto3_client=aws.client("dynamodb"))

    def run(
        self, function: Callable[[], dict[str, Any]], scope: list[str], payment: str, context: Any
    ) -> dict[str, Any]:
        """The answer of ``function``, or the stored answer of the first run with this ``scope``.

        ``payment`` is a keyed digest of the request. Raises ``KeyReused`` when that of the first run was another one,
        ``InFlight`` or ``Unavailable``. Errors of ``function`` pass through, and free the scope again.
        """
        from aws_lambda_powertools.utilities.idempotency import exceptions, idempotent_function

        self._config.register_lambda_context(context)

        def once(*, request: dict[str, Any]) -> dict[str, Any]:
            return function()

        once = idempotent_function(
            once, data_keyword_argument="request", persistence_store=self._store, config=self._config,
            key_prefix="process",
        )  # fmt: skip
        try:
            return once(request={"scope": scope, "payment": payment})
        except exceptions.IdempotencyValidationError:
            raise KeyReused from None
        except (exceptions.IdempotencyAlreadyInProgressError, exceptions.IdempotencyInconsistentStateError):
            raise InFlight from None
        except exceptions.IdempotencyPersistenceLayerError as error:
            raise Unavailable("idempotency records") from error
