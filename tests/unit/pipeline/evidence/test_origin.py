"""The bill of materials and the provenance that a bundle holds."""

import hashlib
import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from pipeline.evidence import provenance, sbom

from .conftest import ARTEFACT, COMMIT, Released, make_artefact

ROOT = Path(__file__).resolve().parents[4]


def documents(bundle: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The manifest, the bill of materials and the provenance of ``bundle``."""
    with zipfile.ZipFile(bundle) as archive:
        manifest, bill, origin = (json.loads(archive.read(n)) for n in ("manifest.json", sbom.FILE, provenance.FILE))
    return manifest, bill, origin


def test_the_bill_names_the_artefact_by_its_content_and_the_packages_that_are_in_it(released: Released) -> None:
    released.approve()
    manifest, bill, _ = documents(released.collect())
    # Then it has the form of CycloneDX
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    # And names what was deployed: by commit and content, as `sha256sum` gives it
    whole = bill["metadata"]["component"]
    assert (whole["name"], whole["version"]) == ("functions", COMMIT)
    assert whole["hashes"] == [{"alg": "SHA-256", "content": manifest["artefact"]}]
    command = "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    done = subprocess.run(
        ["sh", "-c", command], cwd=released.run.assembly / f"asset.{ARTEFACT}", capture_output=True, text=True
    )
    assert manifest["artefact"] == done.stdout.split()[0]
    # And the packages
    [package] = bill["components"]
    assert (package["name"], package["version"], package["purl"]) == ("pg8000", "1.31.6", "pkg:pypi/pg8000@1.31.6")
    assert package["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]


def test_the_provenance_says_what_was_made_from_what_by_which_rules(released: Released) -> None:
    released.approve()
    manifest, _, origin = documents(released.collect())
    assert (origin["_type"], origin["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://slsa.dev/provenance/v1",
    )
    subjects = {each["name"]: each["digest"]["sha256"] for each in origin["subject"]}
    templates = {name: digest for name, digest in manifest["files"].items() if name.startswith("templates/")}
    assert subjects == {"assembly": manifest["assembly"], "functions": manifest["artefact"], **templates}
    assert len(templates) == 2
    used = origin["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert used[0]["digest"] == {"gitCommit": COMMIT}
    settings = {each["name"]: each["digest"]["sha256"] for each in used if "name" in each}
    assert settings["environments.py"] == hashlib.sha256((ROOT / "environments.py").read_bytes()).hexdigest()
    rules = {each["uri"].partition("@")[0] for each in used if "name" not in each}
    assert {"pkg:pypi/cdk-nag", "pkg:pypi/checkov", "pkg:pypi/cfn-lint", "pkg:pypi/aws-cdk-lib"} < rules
    assert origin["predicate"]["runDetails"]["metadata"]["invocationId"] == released.run.id


def test_other_code_or_another_package_is_another_artefact(tmp_path: Path) -> None:
    for name, version in (("one", "1"), ("same", "1"), ("package", "2")):
        make_artefact(tmp_path / name, version)
    one, same, package = (sbom.digest(tmp_path / name) for name in ("one", "same", "package"))
    assert one == same != package
    (tmp_path / "same" / "lambdas" / "process.py").write_text("ANSWER = 2\n")
    assert sbom.digest(tmp_path / "same") != one


def test_an_assembly_without_the_functions_or_with_two_artefacts_is_no_evidence(
    released: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    released.approve()
    released.run.assembly_digest = None
    released.run.save()
    folder = released.run.assembly / f"asset.{ARTEFACT}"
    shutil.copytree(folder, released.run.assembly / f"asset.{'b' * 64}", dirs_exist_ok=True)
    assert "has 2 artefacts of the functions" in released.refusal(capsys)
    shutil.rmtree(folder)
    shutil.rmtree(released.run.assembly / f"asset.{'b' * 64}")
    assert "has no artefacts of the functions" in released.refusal(capsys)


def test_a_source_that_does_not_say_its_rules_is_no_evidence(tmp_path: Path) -> None:
    release = provenance.Release(
        subjects={}, commit=COMMIT, environment="test", engine="local", promotion="1", finished="now"
    )
    with pytest.raises(provenance.EvidenceError, match=r"environments\.py can't be read"):
        provenance.write(release, tmp_path)
    for name in provenance.SETTINGS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    with pytest.raises(provenance.EvidenceError, match="does not say the version of 'aws-cdk-lib'"):
        provenance.write(release, tmp_path)
