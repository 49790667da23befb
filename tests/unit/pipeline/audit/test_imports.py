"""Imported payments, held by the command against the records of their imports, and these by seals."""

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.lambdas.imported import DAY, Platform, payments
from tests.unit.lambdas.test_processing import START
from tests.unit.pipeline.audit.fake_cloud import Cloud, verify

ON = START.date().isoformat()
"""The day of the import."""


@pytest.fixture
def importing(unsealed: Cloud) -> tuple[Cloud, Platform]:
    """A platform that has imported three payments of an earlier day, and sealed what it did."""
    platform = Platform()
    platform.now = START
    platform.audit_log = unsealed.bench.audit_log
    unsealed.forge = lambda items: items.update(platform.history.items)
    platform.load(*payments(3))
    unsealed.seal()
    return unsealed, platform


def test_the_day_of_the_payments_and_that_of_the_import_are_whole(
    importing: tuple[Cloud, Platform], capsys: pytest.CaptureFixture[str]
) -> None:
    cloud, _ = importing
    assert [verify(cloud, day=DAY), verify(cloud, day=ON)] == [0, 0]
    said = capsys.readouterr().out
    assert "3 payments were imported; the records of their imports hold them" in said
    assert "7 records in 2 chains" in said  # five payments, the part and the end of the import


def test_a_forged_payment_is_named(importing: tuple[Cloud, Platform], capsys: pytest.CaptureFixture[str]) -> None:
    cloud, platform = importing
    id = list(platform.history.items)[1]
    platform.history.items[id] |= {"minor": {"N": "1"}}
    assert verify(cloud, "--json", day=DAY) == 1
    assert f"#{id}" in capsys.readouterr().out


def test_payments_that_are_removed_with_all_records_of_their_import_are_missed_by_the_seal(
    importing: tuple[Cloud, Platform], capsys: pytest.CaptureFixture[str]
) -> None:
    cloud, platform = importing
    platform.history.items.clear()
    for key in [key for key in cloud.objects if key.startswith("imports/")]:
        del cloud.objects[key]
    assert verify(cloud, day=ON) == 1
    assert "is missing: the seal" in capsys.readouterr().out


def test_an_import_that_nobody_ends_is_told_after_a_quarter_of_an_hour(
    unsealed: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given an import that has recorded a part, and lost its function before a payment was written
    cloud, platform = unsealed, Platform()
    platform.now = START
    platform.audit_log = cloud.bench.audit_log
    platform.load(*payments(3), end=False)
    missing: dict[str, Any] = platform.history.items
    cloud.forge = lambda items: items.update(dict(list(missing.items())[:1]))
    cloud.seal()
    assert verify(cloud, day=DAY) == 0
    cloud.now = START + timedelta(minutes=16)
    assert verify(cloud, day=DAY) == 5
    assert "or their import is under way" in capsys.readouterr().out
