"""What other eyes say of every synthesised template."""

import subprocess
import sys
from pathlib import Path

from tests.infrastructure.promotion import promotion

ROOT = Path(__file__).resolve().parents[2]


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
