"""Where a release came from, in SLSA's form: what was made, from which commit, by which rules and settings.

The statement is not signed by itself: the bundle's manifest holds its hash, and is signed.

Sources: in-toto attestation framework, "Statement v1"; SLSA 1.0, "Provenance".
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from environments import PIPELINE
from pipeline.evidence.errors import EvidenceError, Mismatch

FILE = "provenance.json"
STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"
REPOSITORY = f"https://github.com/{PIPELINE.repository}"
ROOT = Path(__file__).resolve().parents[2]
SETTINGS = (
    "environments.py",
    "cdk.json",
    "requirements/dev.txt",
    "requirements/checkov.txt",
    "lambdas/requirements.txt",
)
"""What decides the result beside the code: settings, and the packages of synthesis, rules and functions."""
RULES = {"requirements/dev.txt": ("aws-cdk-lib", "cdk-nag", "cfn-lint"), "requirements/checkov.txt": ("checkov",)}
"""The packages that judge the templates, by the file that pins them. Our own rules are of the commit."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a provenance says, as the bundle's manifest has it too."""

    subjects: Mapping[str, str]
    """SHA-256 by name: the assembly, the functions' artefact, the templates."""
    commit: str
    environment: str
    engine: str
    promotion: str
    finished: str

    @classmethod
    def of(cls, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> "Release":
        templates = {name: content for name, content in files.items() if name.startswith("templates/")}
        return cls(
            subjects={
                "assembly": manifest["assembly"],
                "functions": manifest["artefact"],
                **{name: hashlib.sha256(content).hexdigest() for name, content in templates.items()},
            },
            commit=manifest["commit"],
            environment=manifest["environment"],
            engine=manifest["promotion"]["engine"],
            promotion=manifest["promotion"]["id"],
            finished=manifest["created"],
        )


def write(release: Release, root: Path = ROOT) -> bytes:
    """The statement. ``root``: the source of the commit.

    Raises ``EvidenceError`` when a file of the source is missing, or does not say the version of a rule pack.
    """
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in sorted(release.subjects.items())],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": f"{REPOSITORY}/blob/{PIPELINE.branch}/docs/evidence.md#provenance",
                "externalParameters": {"branch": PIPELINE.branch, "environment": release.environment},
                "resolvedDependencies": [
                    {"uri": f"git+{REPOSITORY}", "digest": {"gitCommit": release.commit}},
                    *({"name": name, "digest": {"sha256": _sha256(root / name)}} for name in SETTINGS),
                    *({"uri": url} for file, names in RULES.items() for url in _pinned(root / file, names)),
                ],
            },
            "runDetails": {
                "builder": {"id": f"{REPOSITORY}/blob/{release.commit}/pipeline#{release.engine}"},
                "metadata": {"invocationId": release.promotion, "finishedOn": release.finished},
            },
        },
    }
    return (json.dumps(statement, indent=2) + "\n").encode()


def check(statement: Any, release: Release) -> None:
    """Raises ``Mismatch`` unless ``statement`` says of the release what the manifest says."""
    try:
        if (statement["_type"], statement["predicateType"]) != (STATEMENT, PREDICATE):
            raise Mismatch(f"{FILE} is of another form than SLSA's provenance")
        build, run = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
        said = Release(
            subjects={each["name"]: each["digest"]["sha256"] for each in statement["subject"]},
            commit=build["resolvedDependencies"][0]["digest"]["gitCommit"],
            environment=build["externalParameters"]["environment"],
            engine=run["builder"]["id"].rpartition("#")[2],
            promotion=run["metadata"]["invocationId"],
            finished=run["metadata"]["finishedOn"],
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise Mismatch(f"{FILE} is no provenance: {error!r}") from error
    if (
        build["resolvedDependencies"][0].get("uri", "").removeprefix("git+")
        != run["builder"]["id"].partition("/blob/")[0]
    ):
        raise Mismatch(f"{FILE} names two repositories")
    if not run["builder"]["id"].endswith(f"/blob/{release.commit}/pipeline#{release.engine}"):
        raise Mismatch(f"{FILE} was written by the code of another commit, or by another engine")
    for field in fields(Release):
        if getattr(said, field.name) != getattr(release, field.name):
            raise Mismatch(f"{FILE} says another {field.name} than the manifest")


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise EvidenceError(f"{file} can't be read: {error.strerror}") from error


def _pinned(file: Path, names: tuple[str, ...]) -> list[str]:
    """The packages as package URLs."""
    try:
        versions = dict(re.findall(r"^([\w.-]+)==(\S+)", file.read_text(), re.MULTILINE))
        return [f"pkg:pypi/{name}@{versions[name]}" for name in names]
    except (OSError, KeyError) as error:
        raise EvidenceError(f"{file} does not say the version of {error}") from error
