"""Renew the root certificates of Amazon RDS from the bundles that AWS publishes, one for each partition (Aurora user
guide, "Using SSL/TLS to encrypt a connection to a DB cluster").

A downloaded bundle is believed when its hash is known. Else each of its certificates is believed when the fingerprint
is known. ``rds-root-fingerprints.toml`` holds both.
"""

import hashlib
import re
import tomllib
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from pipeline.bootstrap.rds_roots import FILE, regions

KNOWN = Path(__file__).with_name("rds-root-fingerprints.toml")

_GLOBAL = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
_OTHER_PARTITIONS = {
    "us-gov-": "https://truststore.pki.us-gov-west-1.rds.amazonaws.com/global/global-bundle.pem",
    "cn-": "https://rds-truststore.s3.cn-north-1.amazonaws.com.cn/global/global-bundle.pem",
}
_ROOT = re.compile(r"Amazon RDS [a-z]+(-[a-z]+)+-\d Root CA (RSA2048|RSA4096|ECC384) G\d+")
"""A common name. Those of previews do not match."""
_TIMEOUT_SECONDS = 30


class UnverifiedRoots(Exception):
    """A bundle holds no known certificate. The message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """The result of a renewal: the regions whose roots are new in the file, and the roots that were refused."""

    added: list[str]
    refused: list[str]
    """A sentence each."""


def bundle_urls(wanted: set[str]) -> list[str]:
    """Where AWS publishes the roots of the commercial regions, and those of the other partitions in ``wanted``."""
    others = [url for prefix, url in _OTHER_PARTITIONS.items() if any(each.startswith(prefix) for each in wanted)]
    return [_GLOBAL, *others]


def download(url: str) -> bytes:
    """Raises ``OSError``."""
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310  # the URLs above
        return bytes(answer.read())


def renew(bundles: list[bytes], *, now: datetime, file: Path = FILE) -> Renewal:
    """Add the roots in ``bundles`` (PEM) to ``file``. Its own stay, except expired ones.

    Raises ``UnverifiedRoots`` when no root can be believed, and leaves the file as it is.
    """
    before, known = regions(file), tomllib.loads(KNOWN.read_text())
    trusted = {_name(each): each for each in _roots(file.read_bytes())}
    believed = {_fingerprint(each) for each in trusted.values()} | set(known["certificates"].values())
    refused, accepted = [], 0
    for bundle in bundles:
        whole = hashlib.sha256(bundle).hexdigest() in known["bundles"].values()
        for root in _roots(bundle):
            if whole or _fingerprint(root) in believed:
                trusted[_name(root)] = root
                accepted += 1
            else:
                refused.append(f"{_name(root)}: its SHA-256 fingerprint {_fingerprint(root)} is not in {KNOWN.name}")
    if not accepted:
        raise UnverifiedRoots("no root certificate of Amazon RDS could be verified. " + "; ".join(refused))
    valid = {name: each for name, each in trusted.items() if each.not_valid_after_utc > now.astimezone(UTC)}
    head = file.read_text().partition("# ")[0]
    sections = (f"# {name}\n{_pem(valid[name])}" for name in sorted(valid))
    file.write_text(head + "".join(sections))
    return Renewal(added=sorted(regions(file) - before), refused=refused)


def _roots(bundle: bytes) -> Iterator[x509.Certificate]:
    """The self-signed certificates of regions. Raises ``UnverifiedRoots`` for something else than PEM."""
    try:
        certificates = x509.load_pem_x509_certificates(bundle)
    except ValueError as error:
        raise UnverifiedRoots(f"what came is no bundle of certificates ({error}): is a proxy in between?") from error
    for each in certificates:
        if each.subject == each.issuer and _ROOT.fullmatch(_name(each)):
            yield each


def _name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()
