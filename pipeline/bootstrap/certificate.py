"""The certificate of the private load balancer: a generated one, or the user's own.

A generated certificate is signed by an authority whose key exists only during this run, so nobody can sign another
certificate with it. API Gateway is configured to accept an authority that is not public. It still checks the dates, the
host name and the chain up to a root. The private key goes from memory to ACM, and no file holds it.
"""

import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from mypy_boto3_acm import ACMClient

VALID = timedelta(days=397)
RENEW_BEFORE = timedelta(days=60)


class UnusableCertificate(Exception):
    """The user's own certificate cannot be used. The message says why."""


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate with its chain and its key, PEM-encoded."""

    certificate: bytes
    chain: bytes
    private_key: bytes


def issue(host_name: str, *, now: datetime) -> Issued:
    """Generate a certificate for ``host_name``, valid for ``VALID`` from ``now``."""
    root_key, key = _key(), _key()
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{host_name} authority")])
    root = (
        _builder(root_name, root_name, root_key, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host_name)])
    certificate = (
        _builder(name, root_name, root_key, now, public_key=key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host_name)]), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return Issued(
        certificate=certificate.public_bytes(pem),
        chain=root.public_bytes(pem),
        private_key=key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
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


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    issuer_key: rsa.RSAPrivateKey,
    now: datetime,
    *,
    public_key: rsa.RSAPublicKey | None = None,
) -> x509.CertificateBuilder:
    start = now.astimezone(UTC) - timedelta(minutes=5)
    key = public_key or issuer_key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_encipherment=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
