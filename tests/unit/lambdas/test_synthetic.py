"""Synthetic customers pay synthetic merchants only, real ones real merchants, and each payment tells which it is."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from lambdas.adapters import ledger
from lambdas.fraud_detection import handler as fraud_detection
from lambdas.payments.audit import Link, record
from lambdas.payments.examination import Examiner
from lambdas.payments.merchants import Merchant
from lambdas.processing import handler as processing
from lambdas.validation import handler as validation
from tests.unit.lambdas.stores import MERCHANT, MemorySecret, active_customer
from tests.unit.lambdas.test_fraud import RULES
from tests.unit.lambdas.test_idempotency_scope import CONTEXT, Platform
from tests.unit.lambdas.test_limits_hold import Shop

REAL, SYNTHETIC, ANY = (replace(MERCHANT, merchant_id=takes, takes=takes) for takes in ("real", "synthetic", "any"))
PAYERS = {"real": active_customer("r"), "synthetic": replace(active_customer("s"), synthetic=True), "unknown": None}


def shop_of(merchant: Merchant) -> Shop:
    """A merchant for whose customers the database looks nowhere but in itself: all of them are found."""
    shop = Shop()
    shop.directory.merchants["AIDASHOP"] = merchant
    shop.directory.customers |= PAYERS
    return shop


@pytest.mark.parametrize("payer", PAYERS)
@pytest.mark.parametrize("merchant", [REAL, SYNTHETIC, ANY], ids=lambda merchant: merchant.takes)
def test_only_customers_of_a_merchant_s_kind_may_pay_it(merchant: Merchant, payer: str) -> None:
    # Given a merchant, and a customer whom the database gives it, perhaps by a mistake of an administrator
    made = shop_of(merchant).pay(customer_id=payer)
    # Then the customer is unknown unless it is of the merchant's kind
    allowed = payer == merchant.takes or (merchant is ANY and payer != "unknown")
    assert made.outcome == ("approved" if allowed else "declined")
    assert made.reasons == (() if allowed else ("customer_unknown",))
    # And ledger and record tell which kind of payment it is
    is_synthetic = merchant is SYNTHETIC or (merchant is ANY and payer == "synthetic")
    assert made.synthetic is is_synthetic
    item = ledger.to_item(made)
    assert item["synthetic"] == {"BOOL": is_synthetic}
    assert ledger.from_item(item) == made
    assert json.loads(record(made, Link.first()).body)["synthetic"] is is_synthetic


def test_what_a_customer_may_not_pay_uses_up_nothing_of_its_limits() -> None:
    shop = shop_of(REAL)
    shop.pay(customer_id="synthetic")
    assert shop.ledger.states == {}


@pytest.mark.parametrize(("kind", "prefix"), [(REAL, ""), (SYNTHETIC, "Synthetic")], ids=["real", "synthetic"])
def test_synthetic_payments_have_metrics_of_their_own(
    kind: Merchant, prefix: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a merchant that takes payments of one kind
    platform = Platform(monkeypatch)
    directory, examiner_of = platform.bench.directory, MemorySecret().keyring()
    directory.merchants["AIDASHOP"] = kind
    directory.customers["c"] = replace(active_customer("c"), synthetic=kind is SYNTHETIC)
    examiner = Examiner(directory, platform.bench.ledger, lambda: RULES, examiner_of)
    for module in (validation, fraud_detection):
        monkeypatch.setattr(module, "_examiner", lambda: examiner)
    # When a payment is validated, assessed and made
    event = {"requestContext": {"elb": {}}, "httpMethod": "POST", "isBase64Encoded": False}
    body = {"customer_id": "c", "amount": "12.50", "currency": "USD", "card_number": "4111111111111111"}
    for module, path in ((validation, "/validate"), (fraud_detection, "/fraud-check"), (processing, "/process")):
        headers = {
            "content-type": ["application/json"], "x-caller": ["AIDASHOP"], "idempotency-key": ["key"],
            "x-caller-arn": ["arn:aws:iam::111111111111:user/shop"],
        }  # fmt: skip
        answer = module.handler(
            {**event, "path": path, "multiValueHeaders": headers, "body": json.dumps(body)},
            SimpleNamespace(**vars(CONTEXT)),
        )
        assert answer["statusCode"] < 300, answer
    # Then it is counted under the names of its kind only
    assert counted(capsys.readouterr().out) == {
        f"{prefix}Validations", f"{prefix}FraudDecisions", f"{prefix}Payments", f"{prefix}Amount",
    }  # fmt: skip


def counted(output: str) -> set[str]:
    """The names of the metrics in the functions' output, without those by version, which the release reads."""
    found: set[str] = set()
    for line in output.splitlines():
        document: dict[str, Any] = json.loads(line)
        if "FunctionVersion" in document:
            continue
        for group in document.get("_aws", {}).get("CloudWatchMetrics", []):
            found |= {metric["Name"] for metric in group["Metrics"]}
    return found
