"""The root certificates of Amazon RDS that the functions trust: ``lambdas/adapters/rds-root-certificates.pem``."""

import re
from pathlib import Path

FILE = Path(__file__).parents[2] / "lambdas/adapters/rds-root-certificates.pem"
COMMAND = "python -m pipeline.bootstrap --renew-roots"

_HEADER = re.compile(r"^# Amazon RDS (\S+) Root CA", re.MULTILINE)


def regions(file: Path = FILE) -> set[str]:
    """The regions whose root certificates are in ``file``."""
    return set(_HEADER.findall(file.read_text()))


def require(region: str, *, file: Path = FILE) -> None:
    """Raise ``ValueError`` when the functions could not verify a database in ``region``."""
    if region not in regions(file):
        raise ValueError(
            f"{region}: {FILE.name} has no root certificates of Amazon RDS in this region, so the functions could not"
            f" verify the database. Check the region's name. If it is right, run  {COMMAND}  where AWS can be reached,"
            " and commit the file"
        )
