"""A release of the environment ``test`` that passed gate, approval and shift, with the files of these steps."""

import contextlib
import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from loadtest.p99 import GateVerdict
from names import Function
from pipeline.compliance.acknowledgements import PACKS
from pipeline.evidence.__main__ import main
from pipeline.inspection import digest
from pipeline.local.run import Run, create
from pipeline.release import cli
from tests.unit.pipeline.release.bench import Bench

COMMIT = "7ff3a4305d67a6b2f6f0a2ed3d1be7b1f1c5e0aa"
ENVIRONMENT = "test"
ARTEFACT, PROVIDER = "a" * 64, "b" * 64
"""The names of two assets: the functions, and a function of CDK's own."""
APPROVAL = {"name": "PromoteToTest", "kind": "approval"}


@dataclass(frozen=True)
class Released:
    """A local run at the time when its evidence is collected."""

    run: Run
    reports: Path

    def approve(self, by: str = "ann") -> None:
        self.run.approvals.append({"step": APPROVAL["name"], "decision": "approved", "by": by, "at": 1_768_464_000.0})
        self.run.save()

    def shift(self, bench: Bench) -> int:
        """Shift traffic in another account than the first release's, by the release controller's command."""
        for report in [self.reports / "outcome.json", *self.reports.glob("release.*")]:
            report.unlink()
        return shift(bench)

    def collect(self) -> Path:
        """The bundle that the command writes."""
        assert main(["collect", "--env", ENVIRONMENT]) == 0
        [bundle] = (self.run.folder / "evidence").iterdir()
        return bundle

    def collect_failed(self) -> Path:
        """The bundle that the command of a step writes that has failed."""
        assert main(["collect", "--env", ENVIRONMENT, "--failed"]) == 0
        [bundle] = (self.run.folder / "evidence").iterdir()
        return bundle

    def refusal(self, capsys: pytest.CaptureFixture[str]) -> str:
        """The message of the command, which must write no bundle."""
        capsys.readouterr()
        assert main(["collect", "--env", ENVIRONMENT]) == 1
        assert not (self.run.folder / "evidence").exists()
        return capsys.readouterr().err.removeprefix("no evidence of test: ")


@pytest.fixture
def released(tmp_path: Path, shifted: Path, monkeypatch: pytest.MonkeyPatch) -> Released:
    run = create(tmp_path / "runs")
    run.revision = COMMIT
    run.save()
    run.source.mkdir()
    monkeypatch.chdir(run.source)
    monkeypatch.setenv("RUN_FOLDER", str(run.folder))
    synthesise(run.assembly)
    run.assembly_digest = digest(run.assembly)
    run.save()
    reports = run.source / "reports" / ENVIRONMENT
    pass_gate(reports)
    shutil.copytree(shifted, reports, dirs_exist_ok=True)
    return Released(run, reports)


@pytest.fixture(scope="session")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reports of a successful shift. It takes a moment, so all tests share it."""
    folder = tmp_path_factory.mktemp("shifted")
    with contextlib.chdir(folder):
        assert shift(Bench()) == 0
    return folder / "reports" / ENVIRONMENT


def shift(bench: Bench) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "_commands", lambda _: bench.controller())
        return cli.main(["shift", "--env", ENVIRONMENT])


def pass_gate(folder: Path, version: str = "2") -> None:
    """The gate's reports on a candidate of ``version``, and that of the traffic during the shift."""
    folder.mkdir(parents=True, exist_ok=True)
    versions = {function.path: {version: 100} for function in Function}
    write(folder / "gate.json", {"environment": ENVIRONMENT, "verdict": GateVerdict.PASS, "versions": versions})
    for page in ("gate.junit.xml", "gate.md", "gate.html", "locust.html"):
        (folder / page).write_text("<testsuites/>")
    write(folder / "traffic.json", traffic())


def traffic(*, lost: int = 0, overspent: bool = False) -> dict[str, Any]:
    """The report of the traffic during the shift."""
    return {"environment": ENVIRONMENT, "sent": 100, "lost": lost, "wrong": 0, "budget": {"overspent": overspent}}


def synthesise(assembly: Path) -> None:
    """The files of the assembly that the evidence uses: two environments and the pipeline."""
    stages = []
    make_artefact(assembly / f"asset.{ARTEFACT}")
    (assembly / f"asset.{PROVIDER}").mkdir()
    for name in ("Other", "Test"):
        template = f"assembly-{name}/{name}Platform.template.json"
        functions = {
            id: {"Type": "AWS::Lambda::Function", "Properties": {"Code": {"S3Key": f"{asset}.zip"}}}
            for id, asset in (("Process", ARTEFACT), ("Validate", ARTEFACT), ("OfCdk", PROVIDER))
        }
        write(assembly / template, {"Description": name, "Resources": functions})
        stages.append(
            {
                "name": name,
                "environment": name.lower(),
                "pre": [],
                "stacks": [
                    {
                        "name": f"payment-platform-{name.lower()}",
                        "template": template,
                        "change_set": [APPROVAL] if name == "Test" else [],
                    }
                ],
            }
        )
    write(assembly / "plan.json", {"stages": stages})
    stack = {"type": "aws:cloudformation:stack", "properties": {"templateFile": "payment-pipeline.template.json"}}
    write(assembly / "manifest.json", {"artifacts": {"payment-pipeline": stack, "Tree": {"type": "cdk:tree"}}})
    write(assembly / "payment-pipeline.template.json", {"Description": "Pipeline"})
    write_findings(assembly, "Test/Platform/Api", "Other/Platform/Api", "payment-pipeline/Key")


def make_artefact(folder: Path, version: str = "1.31.6") -> None:
    """The functions' code beside one package."""
    (folder / "lambdas").mkdir(parents=True)
    (folder / "lambdas" / "process.py").write_text("ANSWER = 1\n")
    about = folder / f"pg8000-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Name: pg8000\nVersion: {version}\nLicense-Expression: BSD-3-Clause\n\nText\n")


class Frozen:
    """A clock that always gives the same time, so two bundles get the same name."""

    @staticmethod
    def now(zone: object) -> datetime:
        return datetime(2027, 1, 15, 8, 0, tzinfo=UTC)


def write_findings(assembly: Path, *constructs: str, reason: str | None = "Needed, says delivery.") -> None:
    violation: dict[str, Any] = {
        "ruleName": "Rule",
        "description": "Too much.",
        "violatingConstructs": [{"constructPath": each} for each in constructs],
    }
    packs: list[dict[str, Any]] = [{"pluginName": name, "violations": []} for name in sorted(PACKS)]
    packs[0] |= {"suppressedViolations": [violation | {"reason": reason}]} if reason else {"violations": [violation]}
    write(assembly / "validation-report.json", {"pluginReports": packs})


def write(file: Path, document: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document))


@pytest.fixture
def bundle(released: Released) -> Path:
    released.approve()
    return released.collect()
