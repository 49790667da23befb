"""Lambda handler of ``POST /fraud-check``."""

from functools import cache
from typing import Any

from lambdas.adapters import configuration
from lambdas.adapters.database import Database
from lambdas.adapters.directory import PostgresDirectory
from lambdas.adapters.velocity import DynamoVelocity
from lambdas.api import metrics
from lambdas.api.endpoint import endpoint, logger
from lambdas.api.initialisation import initialise
from lambdas.api.requests import Answer, Request
from lambdas.payments.callers import Caller
from lambdas.payments.examination import Examiner, assessment, utc_now
from lambdas.payments.payment import Payment


@cache
def _examiner() -> Examiner:
    directory = PostgresDirectory(Database(configuration.database_login))
    return Examiner(directory, DynamoVelocity(), configuration.fraud_rules, configuration.card_keys)


@endpoint("fraud-check", takes_shadows=True)
def handler(request: Request, payment: Payment, caller: Caller, context: Any) -> Answer:
    examiner = _examiner()
    facts = examiner.look_up(payment, caller, utc_now())
    logger.append_keys(rules=facts.rules.version)
    found = assessment(facts, examiner.activity(facts))
    if caller.shadow_of is None:
        metrics.count("FraudDecisions", "Decision", [found.decision], synthetic=facts.synthetic)
        metrics.count("FraudReasons", "Reason", found.reasons, synthetic=facts.synthetic)
    return Answer(
        status=200,
        body={
            "decision": found.decision,
            "score": found.score,
            "reasons": found.reasons,
            "request_id": request.request_id,
        },
    )


initialise(_examiner, "dynamodb", "secretsmanager", "ssm")
