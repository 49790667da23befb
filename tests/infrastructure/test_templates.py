"""What other eyes say of every synthesised template."""

import os
import subprocess
import sys
from pathlib import Path

from pipeline.compliance.acknowledgements import PACKS
from pipeline.review.findings import REPORT
from tests.infrastructure.promotion import promotion

ROOT = Path(__file__).resolve().parents[2]


def test_every_pack_has_looked_and_finds_nothing_that_is_not_acknowledged() -> None:
    violations = {each["pluginName"]: each["violations"] for each in promotion().read(REPORT)["pluginReports"]}
    assert violations.keys() >= PACKS
    assert not any(violations.values())


def test_cfn_lint_finds_neither_errors_nor_warnings() -> None:
    # Given all templates; when cfn-lint reads them as the pipeline does
    files = promotion().template_files()
    done = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--non-zero-exit-code", "warning", *map(str, files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    # Then it has nothing to say
    assert len(files) == 4
    assert done.returncode == 0, done.stdout + done.stderr


def test_checkov_finds_what_is_acknowledged_and_nothing_else() -> None:
    # Given all templates; when checkov reads them as the pipeline does
    tools = Path(sys.executable).parent
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.compliance.checkov", promotion().folder],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    # Then every finding is acknowledged, and every acknowledgement is of a finding
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("checkov: 4 templates")
