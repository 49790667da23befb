"""Lambda handler of ``POST /fraud-check``."""

from functools import cache
from typing import Any

from lambdas.adapters import configuration
from lambdas.adapters.customers import PostgresCustomers
from lambdas.adapters.database import Database
from lambdas.adapters.ledger import DynamoLedger
from lambdas.api import metrics
from lambdas.api.endpoint import endpoint
from lambdas.api.initialisation import initialise
from lambdas.api.requests import Answer, Request
from lambdas.payments.payment import Payment
from lambdas.payments.processing import Examiner, utc_now


@cache
def _examiner() -> Examiner:
    customers = PostgresCustomers(Database(configuration.database_login))
    return Examiner(customers, DynamoLedger(), configuration.fraud_rules, configuration.card_key)


@endpoint("fraud-check")
def handler(request: Request, payment: Payment, context: Any) -> Answer:
    assessment = _examiner().examine(payment, utc_now()).assessment
    metrics.count("FraudDecisions", "Decision", [assessment.decision])
    metrics.count("FraudReasons", "Reason", assessment.reasons)
    return Answer(
        status=200,
        body={
            "decision": assessment.decision,
            "score": assessment.score,
            "reasons": assessment.reasons,
            "request_id": request.request_id,
        },
    )


initialise(_examiner, "dynamodb", "secretsmanager", "ssm")
