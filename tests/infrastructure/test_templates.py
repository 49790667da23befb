"""The findings of rule packs, cfn-lint and checkov in every synthesised template."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.compliance.acknowledgements import PACKS
from pipeline.review import costs
from pipeline.review.findings import REPORT
from pipeline.review.templates import stack
from tests.infrastructure.promotion import Assembly, elsewhere, promotion

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=[promotion, elsewhere], ids=["as it comes", "as a company sets it up"])
def assembly(request: pytest.FixtureRequest) -> Assembly:
    synthesised: Assembly = request.param()
    return synthesised


def test_every_pack_ran_and_every_finding_is_acknowledged(assembly: Assembly) -> None:
    violations = {each["pluginName"]: each["violations"] for each in assembly.read(REPORT)["pluginReports"]}
    assert violations.keys() >= PACKS
    assert not any(violations.values())


def test_cfn_lint_finds_neither_errors_nor_warnings(assembly: Assembly) -> None:
    # Given all templates; when cfn-lint reads them as the pipeline does
    files = assembly.template_files()
    done = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--non-zero-exit-code", "warning", *map(str, files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    # Then it reports nothing
    assert len(files) == 3 + len(assembly.top_level_stacks())
    assert done.returncode == 0, done.stdout + done.stderr


def test_checkov_finds_exactly_the_acknowledged_findings(assembly: Assembly) -> None:
    # Given all templates; when checkov reads them as the pipeline does
    tools = Path(sys.executable).parent
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.compliance.checkov", assembly.folder],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    # Then every finding is acknowledged, and every acknowledgement is of a finding
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"checkov: {3 + len(assembly.top_level_stacks())} templates")


def test_the_costs_of_the_readme_are_those_of_the_price_table() -> None:
    stacks = stack.read(promotion().folder)
    table = (ROOT / "README.md").read_text().partition("## Costs and clean-up")[2]
    documented = {name: int(usd) for name, usd in re.findall(r"^\| (dev|staging|prod) \| (\d+) \|", table, re.M)}
    estimated = {each.environment: round(each.head, -1) for each in costs.compare(stacks, stacks)}
    assert documented == {name: estimated[name] for name in ("dev", "staging", "prod")}
