"""A bundle that is whole must also prove a release: a forger lists each changed file with its hash."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from names import Function
from pipeline.evidence.__main__ import main
from pipeline.evidence.bundle import MANIFEST

from .conftest import COMMIT
from .forgery import Files, listed, refusal, reports, rewrite, says, without


def twice(name: str, once: bytes, both: bytes) -> Callable[[Files], None]:
    return lambda files: listed(name, files[name].replace(once, both))(files)


def about_another_commit(files: Files) -> None:
    listed("checks.json", files["checks.json"].replace(COMMIT.encode(), b"f" * 40))(files)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (says(environment="prod", approvals=[]), "prod requires an approval, and the bundle has none"),
        (says(gate="fail"), "the gate's verdict is 'fail', and the bundle calls it no failure"),
        (without(), "findings.json is missing: without it, the bundle proves nothing"),
        (without("reports/gate.json"), "reports/gate.json is missing: without it"),
        (without("reports/outcome.json"), "reports/outcome.json is missing: without it"),
        (reports("gate", verdict="fail"), "reports/gate.json says 'fail', and manifest.json 'pass'"),
        (reports("gate", environment="dev"), "reports/gate.json is about dev, not about test"),
        (reports("outcome", exit_code=1), "the shift failed (promoted: version 2 is stable)"),
        (
            reports("outcome", text="rolled back"),
            "reports/outcome.json says 'rolled back', and manifest.json 'promoted",
        ),
        (says(traffic={"sent": 100, "lost": 0, "wrong": 1}), "reports/traffic.json counts other requests"),
        (reports("traffic", lost=9), "reports/traffic.json counts other requests"),
        (reports("traffic", environment="dev"), "reports/traffic.json is about dev, not about test"),
        (says(release=None), "reports/outcome.json is of another release than manifest.json"),
        (says(release={"id": "x", "commit": None}), "reports/outcome.json is of another release than manifest.json"),
        (reports("outcome", release={}), "reports/outcome.json is of another release than manifest.json"),
        (reports("outcome", release=[1]), "reports/outcome.json is no report"),
        (says(shift="promoted: version 9 is stable"), "reports/outcome.json says 'promoted: version 2 is stable'"),
        # The gate of an older run, with its verdict
        (reports("gate", versions={each.path: {"1": 100} for each in Function}), "reports/gate.json is of another"),
        (reports("gate", versions={}), "reports/gate.json is of another release: version none answered /validate"),
        (reports("gate", versions=[]), "reports/outcome.json is no report"),
        (reports("outcome", command="rollback"), "reports/outcome.json is of the command 'rollback', not of a shift"),
        (reports("release", release_id="x"), "reports/release.json is of another release than reports/outcome.json"),
        (without("reports/release.json"), "reports/release.json is missing"),
        (without("reports/traffic.json"), "reports/traffic.json is missing"),
        (without("reports/gate.junit.xml"), "reports/gate.junit.xml is missing"),
        (says(traffic=None), "reports/traffic.json counts other requests"),
        (says(gate="fail", failure="x"), "the gate did not pass, and manifest.json tells of a shift"),
        (
            twice("reports/gate.json", b'"verdict": "pass"', b'"verdict": "fail", "verdict": "pass"'),
            "reports/gate.json is no",
        ),
        (says(acknowledged_findings=0), "findings.json has 2 findings, and manifest.json tells of another number"),
        (listed("findings.json", b"[]"), "findings.json has 0 findings"),
        (listed("findings.json", b'[{"rule": "x", "reason": " "}]'), "findings.json has a finding without a reason"),
        (listed("findings.json", b"no JSON"), "findings.json is no JSON"),
        (listed("acknowledgements.toml", b"no table"), "acknowledgements.toml is no table"),
        (without("checks.json"), "checks.json is missing"),
        (listed("checks.json", b'{"commit": "x", "checks": {}}'), "checks.json does not say how each check ended"),
        (about_another_commit, f"checks.json is about commit {'f' * 40}"),
    ],
)
def test_a_whole_bundle_that_does_not_prove_a_release_is_refused(
    bundle: Path, change: Callable[[Files], object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(bundle, change)
    assert refusal(bundle, capsys).startswith(said)


def origin(name: str, **changed: object) -> Callable[[Files], None]:
    """Another bill of materials or provenance, which the manifest lists with its hash. Paths such as ``a__0__b``."""

    def change(files: Files) -> None:
        document = json.loads(files[name])
        for path, value in changed.items():
            *above, last = [int(part) if part.isdigit() else part for part in path.split("__")]
            place = document
            for part in above:
                place = place[part]
            place[last] = value
        listed(name, json.dumps(document).encode())(files)

    return change


BILL, PROVENANCE, CHECKS = "sbom.cdx.json", "provenance.json", "checks.json"


def changed_builder(old: str, new: str) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        builder = json.loads(files[PROVENANCE])["predicate"]["runDetails"]["builder"]["id"]
        origin(PROVENANCE, **{f"{RUN}__builder__id": builder.replace(old, new)})(files)

    return change


def without_templates(files: Files) -> None:
    """Neither the provenance nor the bundle has templates."""
    subjects = [each for each in json.loads(files[PROVENANCE])["subject"] if "templates/" not in each["name"]]
    origin(PROVENANCE, subject=subjects)(files)
    without(*(name for name in files if name.startswith("templates/")))(files)


SOURCE, RUN = "predicate__buildDefinition", "predicate__runDetails"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without(BILL), f"{BILL} is missing"),
        (without(PROVENANCE), f"{PROVENANCE} is missing"),
        (origin(BILL, metadata__component__version="f" * 40), f"{BILL} is of another artefact, or of another commit"),
        (origin(BILL, metadata__component__hashes__0__content="0" * 64), f"{BILL} is of another artefact"),
        (origin(BILL, components=[]), f"{BILL} is no bill of materials"),
        (origin(BILL, components=[{"name": "pg8000"}]), f"{BILL} is no bill of materials"),
        (origin(BILL, components=["pg8000"]), f"{BILL} is no bill of materials"),
        (origin(BILL, bomFormat="SPDX"), f"{BILL} is no bill of materials"),
        (origin(PROVENANCE, predicateType="x"), f"{PROVENANCE} is of another form"),
        (origin(PROVENANCE, predicate={}), f"{PROVENANCE} is no provenance"),
        (origin(PROVENANCE, subject=[]), f"{PROVENANCE} says another subjects"),
        (origin(PROVENANCE, subject__0__digest__sha256="0" * 64), f"{PROVENANCE} says another subjects"),
        (
            origin(PROVENANCE, **{f"{SOURCE}__resolvedDependencies__0__digest__gitCommit": "f" * 40}),
            f"{PROVENANCE} says another commit",
        ),
        (origin(PROVENANCE, **{f"{SOURCE}__resolvedDependencies": []}), f"{PROVENANCE} is no provenance"),
        (
            origin(PROVENANCE, **{f"{SOURCE}__externalParameters__environment": "prod"}),
            f"{PROVENANCE} says another environment",
        ),
        (origin(PROVENANCE, **{f"{RUN}__metadata__invocationId": "x"}), f"{PROVENANCE} says another promotion"),
        (origin(PROVENANCE, **{f"{RUN}__builder__id": "x#codepipeline"}), f"{PROVENANCE} names two repositories"),
        (changed_builder("#local", "#codepipeline"), f"{PROVENANCE} was written by the code of another commit"),
        (changed_builder(COMMIT, "f" * 40), f"{PROVENANCE} was written by the code of another commit"),
        (says(artefact="0" * 64), f"{BILL} is of another artefact"),
        (says(assembly="0" * 64), f"{PROVENANCE} says another subjects"),
        (says(artefact=1), "manifest.json is missing, or is no manifest"),
        (says(assembly=None), "manifest.json is missing, or is no manifest"),
        (says(artefact=""), "manifest.json is missing, or is no manifest"),
        (says(artefact=None), "manifest.json is missing, or is no manifest"),
        (without_templates, "the templates are missing"),
    ],
)
def test_a_bundle_whose_origin_is_of_something_else_is_refused(
    bundle: Path, change: Callable[[Files], object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(bundle, change)
    assert refusal(bundle, capsys).startswith(said)


def test_a_bundle_from_before_bills_of_materials_is_still_read(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def older(files: Files) -> None:
        without(BILL, PROVENANCE, CHECKS)(files)
        manifest = json.loads(files[MANIFEST])
        del manifest["artefact"], manifest["source"]
        manifest["format"] = 1
        files[MANIFEST] = json.dumps(manifest).encode()

    rewrite(bundle, older)
    assert main(["verify", str(bundle)]) == 0
    assert "artefact" not in capsys.readouterr().out.partition("whole")[2]
