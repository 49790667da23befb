"""The certificate that API Gateway accepts from a load balancer, with and without ``insecureSkipVerification``."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from localcloud.emulator.private_integration import NotReachable, check_certificate
from pipeline.bootstrap.certificate import VALID, issue

HOST = "payments.dev.internal"
NOW = datetime.now(UTC)
PUBLIC = {"Type": "AMAZON_ISSUED", "SubjectAlternativeNames": ["pay.example.com", "*.example.org"]}


def private(*, made: datetime = NOW) -> dict[str, Any]:
    """ACM's record of a certificate for ``HOST`` as the bootstrap command makes it."""
    return {"Type": "IMPORTED", "_pem_body": issue(HOST, now=made).certificate.decode()}


def test_a_private_certificate_is_accepted_only_when_verification_is_skipped() -> None:
    check_certificate(private(), HOST, verified=False)
    with pytest.raises(NotReachable, match="no public authority"):
        check_certificate(private(), HOST, verified=True)


@pytest.mark.parametrize("host", ["pay.example.com", "pay.example.org"])
def test_a_public_certificate_is_accepted_both_ways(host: str) -> None:
    for verified in (True, False):
        check_certificate(PUBLIC, host, verified=verified)


@pytest.mark.parametrize("host", ["example.org", "a.b.example.org", "other.example.com"])
def test_the_host_name_is_checked_even_without_verification(host: str) -> None:
    with pytest.raises(NotReachable, match=f"not for {host}"):
        check_certificate(PUBLIC, host, verified=False)


@pytest.mark.parametrize("made", [NOW - VALID - timedelta(days=1), NOW + timedelta(days=2)], ids=["expired", "future"])
def test_the_dates_are_checked_even_without_verification(made: datetime) -> None:
    with pytest.raises(NotReachable, match="is valid from"):
        check_certificate(private(made=made), HOST, verified=False)
