"""A platform with five payments, in place of AWS."""

import boto3
import pytest

from tests.unit.pipeline.audit.fake_cloud import Cloud


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    cloud = Cloud()
    monkeypatch.setattr(boto3, "Session", lambda: cloud)
    for _ in range(5):
        cloud.pay()
    return cloud
