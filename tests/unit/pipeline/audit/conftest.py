"""A platform with five payments and their seal, in place of AWS."""

import pytest

from lambdas.adapters import aws
from lambdas.sealing import handler
from pipeline.audit import __main__ as command
from tests.unit.pipeline.audit.fake_cloud import Cloud


@pytest.fixture
def unsealed(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    cloud = Cloud()
    monkeypatch.setattr(command, "session", lambda region: cloud)
    monkeypatch.setattr(aws, "patient_client", cloud.client)
    monkeypatch.setattr(handler, "utc_now", lambda: cloud.now)
    for name in ("AUDIT_BUCKET", "TRANSACTION_TABLE", "SIGNING_KEY_ARN"):
        monkeypatch.setenv(name, name)
    monkeypatch.setenv("ENVIRONMENT", "dev")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Payments")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "payment-sealing")
    for _ in range(5):
        cloud.pay()
    return cloud


@pytest.fixture
def cloud(unsealed: Cloud) -> Cloud:
    unsealed.seal()
    return unsealed
