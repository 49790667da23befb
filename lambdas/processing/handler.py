"""Lambda handler of ``POST /process``."""

from functools import cache
from typing import Any

from lambdas.adapters import configuration
from lambdas.adapters.audit_log import S3AuditLog
from lambdas.adapters.database import Database
from lambdas.adapters.directory import PostgresDirectory
from lambdas.adapters.idempotency import Idempotency
from lambdas.adapters.ledger import DynamoLedger
from lambdas.adapters.velocity import DynamoVelocity
from lambdas.api import metrics
from lambdas.api.endpoint import endpoint
from lambdas.api.idempotency_key import idempotency_key
from lambdas.api.initialisation import initialise
from lambdas.api.problems import Problem
from lambdas.api.requests import Answer, Request
from lambdas.payments.callers import Caller
from lambdas.payments.errors import InFlight, KeyReused
from lambdas.payments.examination import Examiner, Keyring
from lambdas.payments.money import CURRENCIES, Money
from lambdas.payments.payment import Payment
from lambdas.payments.processing import Processor
from lambdas.payments.transactions import Transaction, idempotency_scope

_RETRY_IN_FLIGHT_SECONDS = 1


@cache
def _services() -> tuple[Idempotency, Processor, Keyring]:
    directory = PostgresDirectory(Database(configuration.database_login))
    examiner = Examiner(directory, DynamoVelocity(), configuration.fraud_rules, configuration.card_keys)
    return Idempotency(), Processor(examiner, DynamoLedger(), S3AuditLog()), examiner.card_keys


@endpoint("process")
def handler(request: Request, payment: Payment, caller: Caller, context: Any) -> Answer:
    key = idempotency_key(request, payment)
    idempotency, processor, keyring = _services()
    card_keys = keyring()
    scope = idempotency_scope(caller.principal, key, card_keys)

    def process() -> dict[str, Any]:
        transaction = processor.process(payment, caller, key, request.request_id)
        _measure(transaction)
        return _body(transaction)

    try:
        try:
            body = idempotency.run(process, scope, payment.fingerprint(card_keys.newest.key), context)
        except KeyReused:  # or the same payment, recorded under another version of the card keys
            body = _body(processor.repeat(payment, caller, key))
    except KeyReused:
        raise Problem("idempotency_key_reused") from None
    except InFlight:
        raise Problem("request_in_flight", retry_after=_RETRY_IN_FLIGHT_SECONDS) from None
    replayed = body["request_id"] != request.request_id
    return Answer(status=201, body=body, headers={"Idempotent-Replayed": "true"} if replayed else {})


def _body(transaction: Transaction) -> dict[str, Any]:
    return {
        "transaction_id": transaction.transaction_id,
        "status": transaction.outcome,
        "amount": str(Money(transaction.minor, CURRENCIES[transaction.currency])),
        "currency": transaction.currency,
        "card": {"brand": transaction.card.brand, "last4": transaction.card.last4},
        "reasons": transaction.reasons,
        "request_id": transaction.request_id,
    }


def _measure(transaction: Transaction) -> None:
    synthetic = bool(transaction.synthetic)
    metrics.count("Payments", "Outcome", [transaction.outcome], synthetic=synthetic)
    metrics.count("PaymentReasons", "Reason", transaction.reasons, synthetic=synthetic)
    metrics.by_version("Decided", *(["Approved"] if transaction.outcome == "approved" else []))
    decimals = CURRENCIES[transaction.currency].decimals
    metrics.amount(transaction.currency, transaction.minor / 10**decimals, synthetic=synthetic)


initialise(_services, "dynamodb", "s3", "secretsmanager", "ssm")
