"""TLS for one local cloud: a new certificate authority at each start, and the server's certificate.

The authority's private key stays in memory and signs one certificate. A client that trusts the authority therefore
trusts this one server only.
"""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

import certificates
from localcloud.files import write_private

VALID = timedelta(days=90)


def issue(folder: Path, environment_name: str, region: str) -> None:
    """Write ``ca.pem``, ``server.pem`` and ``server.key`` for 127.0.0.1 and localhost into ``folder``."""
    names = [
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.DNSName("localhost"),
        # Clients that are told to connect to 127.0.0.1 but speak to an API by its own name may check that name.
        x509.DNSName(f"*.execute-api.{region}.amazonaws.com"),
    ]
    issued = certificates.issue(
        "localhost",
        names,
        authority=f"Local cloud {environment_name}",
        make_key=certificates.elliptic_key,
        now=datetime.now(UTC),
        valid=VALID,
    )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(folder / "ca.pem", issued.chain)
    write_private(folder / "server.pem", issued.certificate)
    write_private(folder / "server.key", issued.private_key)
