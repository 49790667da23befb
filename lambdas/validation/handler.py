"""Lambda handler of ``POST /validate``."""

from functools import cache
from typing import Any

from lambdas.adapters import configuration
from lambdas.adapters.database import Database
from lambdas.adapters.directory import PostgresDirectory
from lambdas.adapters.velocity import DynamoVelocity
from lambdas.api import metrics
from lambdas.api.endpoint import endpoint
from lambdas.api.initialisation import initialise
from lambdas.api.requests import Answer, Request
from lambdas.payments.callers import Caller
from lambdas.payments.examination import Examiner, utc_now
from lambdas.payments.payment import Payment


@cache
def _examiner() -> Examiner:
    directory = PostgresDirectory(Database(configuration.database_login))
    return Examiner(directory, DynamoVelocity(), configuration.fraud_rules, configuration.card_keys)


@endpoint("validate", takes_shadows=True)
def handler(request: Request, payment: Payment, caller: Caller, context: Any) -> Answer:
    facts = _examiner().look_up(payment, caller, utc_now())
    # Who tests cards learns only that this was noticed.
    reasons = tuple(sorted(facts.watched)) or facts.refused
    if caller.shadow_of is None:
        metrics.count("Validations", "Outcome", ["refused" if reasons else "valid"], synthetic=facts.synthetic)
    return Answer(
        status=200,
        body={
            "valid": not reasons,
            "reasons": reasons,
            "card": {"brand": payment.card_number.brand, "last4": payment.card_number.last4},
            "request_id": request.request_id,
        },
    )


initialise(_examiner, "dynamodb", "secretsmanager", "ssm")
