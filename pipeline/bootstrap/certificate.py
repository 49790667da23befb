"""The certificate of the private load balancer: a generated one, or the user's own.

A generated certificate is signed by an authority whose key exists only during this run, so nobody can sign another
certificate with it. API Gateway is configured to accept an authority that is not public. It still checks the dates, the
host name and the chain up to a root. The private key goes from memory to ACM, and no file holds it.
"""

import functools
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

import certificates
from certificates import Issued

if TYPE_CHECKING:
    from mypy_boto3_acm import ACMClient

VALID = timedelta(days=397)
RENEW_BEFORE = timedelta(days=60)


class UnusableCertificate(Exception):
    """The user's own certificate cannot be used. The message says why."""


def issue(host_name: str, *, now: datetime) -> Issued:
    """Make a certificate for ``host_name``, valid for ``VALID`` from ``now``."""
    return certificates.issue(
        host_name,
        [x509.DNSName(host_name)],
        authority=f"{host_name} authority",
        make_key=certificates.rsa_key,
        now=now,
        valid=VALID,
    )


def ensure(acm: "ACMClient", *, host_name: str, known_arn: str | None, now: datetime) -> tuple[str, str]:
    """Ensure that ACM holds a generated certificate for ``host_name`` that is valid for ``RENEW_BEFORE`` or longer.

    ``known_arn`` is the ARN from an earlier run; a renewed certificate keeps it. Returns the ARN and the action taken.
    """
    held = _held(acm, known_arn)
    ours = held is not None and _host_name(held) == host_name
    if known_arn and held and ours and held.not_valid_after_utc - now > RENEW_BEFORE:
        return known_arn, f"kept, valid until {held.not_valid_after_utc:%Y-%m-%d}"
    made = issue(host_name, now=now)
    put = functools.partial(
        acm.import_certificate,
        Certificate=made.certificate,
        CertificateChain=made.chain,
        PrivateKey=made.private_key,
    )
    until = f"valid until {now + VALID:%Y-%m-%d}"
    if known_arn and ours:
        return put(CertificateArn=known_arn)["CertificateArn"], f"renewed, {until}"
    return put()["CertificateArn"], f"made and imported, {until}"


def check(acm: "ACMClient", *, arn: str, host_name: str, now: datetime) -> str:
    """Check that the user's own certificate ``arn`` is valid for ``host_name``. Returns a description of it.

    Raises ``UnusableCertificate``.
    """
    try:
        found = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    except acm.exceptions.ResourceNotFoundException as error:
        raise UnusableCertificate(f"ACM of this account and region has no certificate {arn}") from error
    names = [found.get("DomainName", ""), *found.get("SubjectAlternativeNames", [])]
    if not any(_matches(name, host_name) for name in names):
        raise UnusableCertificate(f"{arn} is for {', '.join(sorted(set(names)))}, not for {host_name}")
    if found["Status"] != "ISSUED":
        raise UnusableCertificate(f"{arn} is {found['Status']}, not ISSUED")
    if found["NotAfter"] <= now:
        raise UnusableCertificate(f"{arn} expired on {found['NotAfter']:%Y-%m-%d}")
    return f"yours, valid until {found['NotAfter']:%Y-%m-%d}"


def _held(acm: "ACMClient", arn: str | None) -> x509.Certificate | None:
    if arn is None:
        return None
    try:
        return x509.load_pem_x509_certificate(acm.get_certificate(CertificateArn=arn)["Certificate"].encode())
    except acm.exceptions.ResourceNotFoundException:
        return None


def _host_name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _matches(pattern: str, host_name: str) -> bool:
    return pattern == host_name or (pattern.startswith("*.") and pattern[2:] == host_name.partition(".")[2])
