"""Lambda handler of ``POST /validate``."""

from functools import cache
from typing import Any

from lambdas.adapters import configuration
from lambdas.adapters.customers import PostgresCustomers
from lambdas.adapters.database import Database
from lambdas.api import metrics
from lambdas.api.endpoint import endpoint
from lambdas.api.initialisation import initialise
from lambdas.api.requests import Answer, Request
from lambdas.payments.customers import refusals
from lambdas.payments.payment import Payment
from lambdas.payments.processing import utc_now


@cache
def _customers() -> PostgresCustomers:
    return PostgresCustomers(Database(configuration.database_login))


@endpoint("validate")
def handler(request: Request, payment: Payment, context: Any) -> Answer:
    reasons = refusals(payment, _customers().find(payment.customer_id), utc_now())
    metrics.count("Validations", "Outcome", ["refused" if reasons else "valid"])
    return Answer(
        status=200,
        body={
            "valid": not reasons,
            "reasons": reasons,
            "card": {"brand": payment.card_number.brand, "last4": payment.card_number.last4},
            "request_id": request.request_id,
        },
    )


initialise(_customers, "secretsmanager")
