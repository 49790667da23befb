"""What is in the functions' artefact: its digest, and its packages as a software bill of materials.

The packages are read from the artefact and not from the list of those that were asked for.

Sources: CycloneDX 1.6, "JSON Reference"; Python packaging, "Core metadata specifications".
"""

import hashlib
import json
import uuid
from collections.abc import Iterable
from datetime import datetime
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from pipeline.evidence.errors import EvidenceError, Mismatch

FILE = "sbom.cdx.json"
FORMAT = "CycloneDX"
CODE = "lambdas"
"""The folder of our code in the artefact."""
NAME = "functions"


def artefact(assembly: Path, templates: Iterable[Path]) -> Path:
    """The folder that holds the functions of ``templates``. Raises ``EvidenceError`` unless there is exactly one."""
    try:
        resources = [each for file in templates for each in json.loads(file.read_text()).get("Resources", {}).values()]
        keys = {
            each["Properties"]["Code"].get("S3Key") for each in resources if each["Type"] == "AWS::Lambda::Function"
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvidenceError(f"the functions of {assembly} can't be read: {error!r}") from error
    folders = [assembly / f"asset.{key.removesuffix('.zip')}" for key in keys if isinstance(key, str)]
    found = [each for each in folders if (each / CODE).is_dir()]
    if len(found) != 1:
        raise EvidenceError(f"{assembly} has {len(found) or 'no'} artefacts of the functions")
    return found[0]


def digest(folder: Path) -> str:
    """SHA-256 over the lines that ``sha256sum`` prints for the files of ``folder``, in the order of their names."""
    files = {str(each.relative_to(folder)): each for each in folder.rglob("*") if each.is_file()}
    lines = (f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {name}\n" for name, file in sorted(files.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def write(folder: Path, *, commit: str, sha256: str, now: datetime) -> bytes:
    """The bill of materials of ``folder``, whose ``digest`` is ``sha256``."""
    # Imported here, because it takes a third of a second, and nobody else needs it.
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    whole = Component(
        name=NAME,
        version=commit,
        type=ComponentType.APPLICATION,
        bom_ref=NAME,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
    )
    parts = []
    for file in sorted(folder.glob("*.dist-info/METADATA")):
        said = HeaderParser().parsestr(file.read_text(errors="replace"))
        name, version = said["Name"], said["Version"]
        license = said["License-Expression"] or str(said["License"] or "").partition("\n")[0]
        url = PackageURL("pypi", name=name, version=version)
        licenses = [LicenseFactory().make_from_string(license)] if license else []
        parts.append(Component(name=name, version=version, purl=url, bom_ref=str(url), licenses=licenses))
    bill = Bom(
        components=parts,
        metadata=BomMetaData(component=whole, timestamp=now),
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{commit}:{sha256}"),
    )
    bill.register_dependency(whole, parts)
    return (JsonV1Dot6(bill).output_as_string(indent=2) + "\n").encode()


def check(bill: Any, *, commit: str, sha256: str) -> None:
    """Raises ``Mismatch`` unless ``bill`` is of the artefact ``sha256`` and names its packages."""
    match bill:
        case {
            "bomFormat": "CycloneDX",
            "metadata": {
                "component": {"version": str(version), "hashes": [{"alg": "SHA-256", "content": str(content)}]}
            },
            "components": [*parts],
        } if parts and all(isinstance(each, dict) and {"name", "version", "purl"} <= each.keys() for each in parts):
            if (version, content) != (commit, sha256):
                raise Mismatch(f"{FILE} is of another artefact, or of another commit, than the manifest")
        case _:
            raise Mismatch(f"{FILE} is no bill of materials of the functions")
