"""Lambda handler of the routes under ``/transactions``: look-ups, decisions, reversals."""

import os
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from lambdas.adapters import configuration
from lambdas.adapters.audit_log import S3AuditLog
from lambdas.adapters.database import Database
from lambdas.adapters.directory import PostgresDirectory
from lambdas.adapters.entries import DynamoEntries
from lambdas.adapters.velocity import DynamoVelocity
from lambdas.api import contract, metrics
from lambdas.api.endpoint import Route, handler_of, sender
from lambdas.api.idempotency_key import idempotency_key
from lambdas.api.initialisation import initialise
from lambdas.api.problems import Fault, Problem
from lambdas.api.requests import Answer, Request
from lambdas.api.search_parameters import cursor, search_of
from lambdas.payments.amending import Amender
from lambdas.payments.amendments import Kind, Wish
from lambdas.payments.card_text import holds_card_number
from lambdas.payments.examination import utc_now
from lambdas.payments.parties import Parties, Party
from lambdas.payments.search import SearchableEntries
from lambdas.transactions.views import amendment_view, history_view, view

_DECISION, _REVERSAL = "DecisionRequest", "ReversalRequest"


class Services(NamedTuple):
    """What the routes use."""

    parties: Parties
    amender: Amender
    entries: SearchableEntries


@cache
def _services() -> Services:
    entries = DynamoEntries()
    directory = PostgresDirectory(Database(configuration.database_login))
    return Services(
        Parties(directory, reviewers=os.environ["REVIEWER_ROLE_ARN"], operators=os.environ["OPERATOR_ROLE_ARN"]),
        Amender(
            entries,
            S3AuditLog(),
            DynamoVelocity(),
            four_eyes=os.environ["FOUR_EYES"] == "true",
            source_amends=os.environ.get("SOURCE_AMENDS") == "true",
        ),
        entries,
    )


def _search(request: Request, _: Mapping[str, str], context: Any) -> Answer:
    caller, services = sender(request), _services()
    merchant_id = services.parties.of(caller).merchant_id
    search = search_of(request.query, caller.principal, merchant_id, utc_now())
    page = services.entries.page(search)
    body: dict[str, Any] = {
        "transactions": [view(entry) for entry in page.entries],
        "from": search.begin,
        "to": search.end,
        "request_id": request.request_id,
    }
    if page.last is not None:
        body["cursor"] = cursor(search, page.last, request.query, caller.principal)
    return Answer(status=200, body=body)


def _get(request: Request, path: Mapping[str, str], context: Any) -> Answer:
    services = _services()
    party = services.parties.of(sender(request))
    entry = services.amender.find(path["transaction_id"], party.may_see)
    body = {**view(entry), "history": history_view(entry), "request_id": request.request_id}
    return Answer(status=200, body=body)


def _decide(request: Request, path: Mapping[str, str], context: Any) -> Answer:
    body = contract.check(request.json(), _DECISION)
    party = _services().parties.of(sender(request))
    party.check_may_decide()
    return _amended(request, path, party, body, Kind(body["decision"]), key="")


def _reverse(request: Request, path: Mapping[str, str], context: Any) -> Answer:
    body = contract.check(request.json(), _REVERSAL)
    key = idempotency_key(request)
    party = _services().parties.of(sender(request))
    party.check_may_reverse()
    return _amended(request, path, party, body, Kind(body["kind"]), key=key)


def _amended(
    request: Request, path: Mapping[str, str], party: Party, body: Mapping[str, Any], kind: Kind, *, key: str
) -> Answer:
    if holds_card_number(body["reason"]):
        raise Problem("card_number_misplaced", Fault("/reason", "card_number_misplaced", "Send no card number."))
    wish = Wish(
        kind=kind,
        reason=body["reason"],
        caller=party.caller,
        party=party.role,
        request_id=request.request_id,
        key=key,
        amount=body.get("amount"),
    )
    entry, made = _services().amender.amend(path["transaction_id"], wish, party.may_see)
    replayed = made.request_id != request.request_id
    if not replayed:
        metrics.count("Amendments", "Kind", [made.kind], synthetic=bool(entry.transaction.synthetic))
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    return Answer(status=201, body=amendment_view(entry, made), headers=headers)


handler = handler_of(
    Route("GET", "/transactions", _search),
    Route("GET", "/transactions/{transaction_id}", _get),
    Route("POST", "/transactions/{transaction_id}/decision", _decide),
    Route("POST", "/transactions/{transaction_id}/reversal", _reverse),
)

initialise(_services, "dynamodb", "s3", "secretsmanager", schemas=(_DECISION, _REVERSAL))
