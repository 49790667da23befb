"""Certificates that this repository makes itself: a server's, signed by an authority that nobody can use again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
EARLIER = timedelta(minutes=5)
"""How long before its making a certificate is valid, because clocks differ."""


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A server's certificate with its chain (the authority's certificate) and its key, PEM-encoded."""

    certificate: bytes
    chain: bytes
    private_key: bytes


def rsa_key() -> rsa.RSAPrivateKey:
    """A key that every AWS service takes."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def elliptic_key() -> ec.EllipticCurvePrivateKey:
    """A key that is made in no time."""
    return ec.generate_private_key(ec.SECP256R1())


def issue(
    common_name: str,
    names: Sequence[x509.GeneralName],
    *,
    authority: str,
    make_key: Callable[[], PrivateKey],
    now: datetime,
    valid: timedelta,
) -> Issued:
    """Make a certificate for the server ``names``, and the ``authority`` that signs it.

    Both are valid for ``valid`` from ``now``. The authority's key is written nowhere, so it signs nothing else.
    """
    root_key, key = make_key(), make_key()
    root_name, start = _name(authority), now.astimezone(UTC) - EARLIER

    def begin(subject: x509.Name, subject_key: PrivateKey, *, is_authority: bool) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(root_name)
            .public_key(subject_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + valid)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject_key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
            .add_extension(
                x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None), critical=True
            )
            .add_extension(_usage(subject_key, signs_certificates=is_authority), critical=True)
        )

    root = begin(root_name, root_key, is_authority=True).sign(root_key, hashes.SHA256())
    certificate = (
        begin(_name(common_name), key, is_authority=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return Issued(
        certificate=certificate.public_bytes(pem),
        chain=root.public_bytes(pem),
        private_key=key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(key: PrivateKey, *, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        # Only RSA keys encipher others (RFC 8813).
        key_encipherment=not signs_certificates and isinstance(key, rsa.RSAPrivateKey),
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
