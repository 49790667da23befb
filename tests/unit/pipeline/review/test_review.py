"""The command writes its reports and exit code. No failure looks like a clean result."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.compliance.acknowledgements import PACKS
from pipeline.review import NotCompared, synthesis
from pipeline.review import __main__ as review
from pipeline.review.findings import Finding
from pipeline.review.reports import NAMES, html
from pipeline.review.synthesis import ROOT, Synthesis, synthesise
from tests.unit.pipeline.review.given import finding, resource, side, stack, stacks

APP = """
import json, os, pathlib
out = pathlib.Path(os.environ["CDK_OUTDIR"])
out.mkdir()
(out / "validation-report.json").write_text({report!r})
{more}
"""
REPORT = json.dumps({"pluginReports": [{"pluginName": name, "violations": []} for name in PACKS]})
MANIFEST = json.dumps(
    {"artifacts": {"S": {"type": "aws:cloudformation:stack", "properties": {"templateFile": "s.json"}}}}
)


def app(folder: Path, more: str = "", report: str = REPORT) -> Path:
    (folder / "pipeline_app.py").write_text(APP.format(report=report, more=more))
    return folder


def written(template: str) -> str:
    return f"(out / 'manifest.json').write_text({MANIFEST!r})\n(out / 's.json').write_text({template!r})"


def test_a_synthesis_gives_findings_acknowledgements_and_stacks(tmp_path: Path) -> None:
    template = json.dumps({"Resources": {"T": {"Type": "AWS::SNS::Topic"}}})
    side = synthesise("base", app(tmp_path, written(template)), tmp_path / "out")
    assert (side.findings, list(side.stacks)) == ((), ["S"])
    assert side.stacks["S"].resources == {"T": {"Type": "AWS::SNS::Topic"}}


@pytest.mark.parametrize(
    ("more", "report", "message"),
    [
        ("", "{", "base: .* is no validation report"),
        ("", REPORT, "base: the cloud assembly .* can't be read: FileNotFoundError.*manifest.json"),
        (written("{"), REPORT, "base: the cloud assembly .* can't be read: JSONDecodeError"),
        (written('{"Resources": {"T": {}}}'), REPORT, "s.json is no template"),
        (written("[]"), REPORT, "base: the cloud assembly .* can't be read"),
        ("(out / 'manifest.json').write_text('{\"artifacts\": {}}')", REPORT, "base: .* has no stack"),
    ],
)
def test_an_unreadable_report_or_template_is_named_with_its_commit(
    tmp_path: Path, more: str, report: str, message: str
) -> None:
    with pytest.raises(NotCompared, match=message):
        synthesise("base", app(tmp_path, more, report), tmp_path / "out")


def test_a_failed_synthesis_is_named_with_its_error(tmp_path: Path) -> None:
    (tmp_path / "pipeline_app.py").write_text("raise SystemExit('no such stage')")
    with pytest.raises(NotCompared, match=r"(?s)synthesis of head \(this folder\) failed.*no such stage"):
        synthesise("head (this folder)", tmp_path, tmp_path / "out")


def test_a_base_without_an_app_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotCompared, match=r"base has no pipeline_app\.py"):
        synthesise("base", tmp_path, tmp_path / "out")


PRINT_PACKAGES = "import os; raise SystemExit(os.environ.get('PACKAGES', 'those of this folder'))"
INSTALL = f"""setup:
\t@mkdir -p .venv/bin
\t@printf '#!/bin/sh\\nPACKAGES="its own" exec {sys.executable} "$$@"\\n' > .venv/bin/python
\t@chmod +x .venv/bin/python
"""


def asking_for(packages: str, tree: Path, makefile: str) -> Path:
    """A tree with its own list of packages."""
    (tree / "requirements").mkdir()
    (tree / "requirements" / "dev.txt").write_text(packages)
    (tree / "Makefile").write_text(makefile)
    (tree / "pipeline_app.py").write_text(PRINT_PACKAGES)
    return tree


@pytest.mark.parametrize(
    ("packages", "message"),
    [
        ("aws-cdk-lib==2.0.0\n", "its own"),
        ((ROOT / "requirements" / "dev.txt").read_text(), "those of this folder"),
    ],
)
def test_each_synthesis_uses_the_packages_of_its_commit(tmp_path: Path, packages: str, message: str) -> None:
    with pytest.raises(NotCompared, match=f"(?s)synthesis of base failed.*{message}"):
        synthesise("base", asking_for(packages, tmp_path, INSTALL), tmp_path / "out")


def test_packages_that_cannot_be_installed_are_named_with_their_commit(tmp_path: Path) -> None:
    tree = asking_for("aws-cdk-lib==2.0.0\n", tmp_path, "setup:\n\t@echo no such package >&2; exit 1\n")
    with pytest.raises(NotCompared, match=r"(?s)base has other packages, which can't be installed: .*no such package"):
        synthesise("base", tree, tmp_path / "out")


def test_a_synthesis_gets_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    (tmp_path / "pipeline_app.py").write_text("import os, sys; sys.exit(str([n for n in os.environ if 'AWS' in n]))")
    with pytest.raises(NotCompared, match=r"\[\]"):
        synthesise("base", tmp_path, tmp_path / "out")


@pytest.fixture
def repository(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository of one commit, because CodePipeline gives these tests files without a history."""
    folder = tmp_path_factory.mktemp("repository")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (["init"], ["commit", "--allow-empty", "--message", "First"]):
        subprocess.run(["git", *identity, *command, "--quiet"], cwd=folder, check=True)
    monkeypatch.setattr(synthesis, "ROOT", folder)


@pytest.mark.usefixtures("repository")
def test_a_base_that_does_not_exist_is_a_clear_failure_and_leaves_no_older_result(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in NAMES:
        (tmp_path / name).write_text("of an earlier run")
    assert review.main(["--base", "no-such-commit", "--output", str(tmp_path)]) == review.ExitCode.NOT_COMPARED
    assert "base 'no-such-commit' can't be read" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["review.md"]
    text = (tmp_path / "review.md").read_text()
    assert text.startswith("<!-- compliance review -->\n### Review: the comparison could not be made")
    assert "base 'no-such-commit' can't be read" in text


def replaced(command: str, script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put ``script`` in the place of ``command``."""
    (folder / command).write_text(f"#!/bin/sh\n{script}\n")
    (folder / command).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_base_is_never_taken_for_an_option_of_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "told"
    replaced("git", f'printf "%s\\n" "$@" >{told}; exit 1', tmp_path, monkeypatch)
    assert review.main(["--base=--output=stolen", "--output", str(tmp_path)]) == review.ExitCode.NOT_COMPARED
    assert told.read_text().splitlines()[-2:] == ["--end-of-options", "--output=stolen^{commit}"]


def test_a_machine_without_git_gets_an_error_not_new_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert review.main(["--base", "HEAD", "--output", str(tmp_path)]) == review.ExitCode.NOT_COMPARED
    assert "base 'HEAD' can't be read: " in (tmp_path / "review.md").read_text()


@pytest.mark.usefixtures("repository")
def test_a_base_whose_files_cannot_be_written_is_an_error_not_new_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = shutil.which("git")
    full = f'case "$*" in *checkout-index*) echo disk full >&2; exit 2;; esac; exec {git} "$@"'
    replaced("git", full, tmp_path, monkeypatch)
    assert review.main(["--base", "HEAD", "--output", str(tmp_path)]) == review.ExitCode.NOT_COMPARED
    assert "base 'HEAD' can't be read: git checkout-index: disk full" in (tmp_path / "review.md").read_text()


@pytest.fixture
def synthesised(monkeypatch: pytest.MonkeyPatch) -> Callable[[Synthesis, Synthesis], None]:
    """Use these findings instead of a synthesis."""

    def given(base: Synthesis, head: Synthesis) -> None:
        monkeypatch.setattr(review, "synthesise", lambda name, *_: base if name.startswith("base") else head)
        monkeypatch.setattr(review, "check_out", lambda *_: subprocess.run(["true"], check=True))

    return given


@pytest.mark.parametrize(("findings", "code"), [((), 0), ((finding("new"),), 1)])
def test_new_findings_fail_and_all_reports_are_written(
    synthesised: Callable[[Synthesis, Synthesis], None], tmp_path: Path, findings: tuple[Finding, ...], code: int
) -> None:
    same = stacks(stack({}))
    synthesised(side(findings=(), stacks=same), side(findings=findings, stacks=same))
    assert review.main(["--base", "x", "--output", str(tmp_path)]) == code
    assert {each.name for each in tmp_path.iterdir()} == set(NAMES)


def test_an_internal_error_is_no_new_finding_and_leaves_no_partial_report(
    synthesised: Callable[[Synthesis, Synthesis], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = side(findings=(), stacks=stacks(stack({})))
    synthesised(same, same)
    monkeypatch.setattr(html, "PAGE", tmp_path / "none.html")
    assert review.main(["--base", "x", "--output", str(tmp_path)]) == review.ExitCode.NOT_COMPARED
    assert [each.name for each in tmp_path.iterdir()] == ["review.md"]
    assert "TemplateNotFound" in (tmp_path / "review.md").read_text()


def test_a_template_of_an_unknown_form_is_not_compared(
    synthesised: Callable[[Synthesis, Synthesis], None], tmp_path: Path
) -> None:
    topic = resource("AWS::SNS::Topic")
    fine, odd = (side(findings=(), stacks=stacks(stack({"A": of}))) for of in (topic, topic | {"Properties": "none"}))
    synthesised(fine, odd)
    assert review.main(["--base", "x", "--output", str(tmp_path)]) == review.ExitCode.NOT_COMPARED
    assert "a template has an unknown form" in (tmp_path / "review.md").read_text()


def test_changes_of_the_templates_and_costs_do_not_fail(
    synthesised: Callable[[Synthesis, Synthesis], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def keys(*names: str) -> Synthesis:
        resources: dict[str, Any] = {name: resource("AWS::KMS::Key") for name in names}
        return side(findings=(), stacks=stacks(stack(resources)))

    synthesised(keys("A", "B"), keys("A"))
    assert review.main(["--base", "x", "--output", str(tmp_path)]) == review.ExitCode.PASSED
    assert "1 change to stateful resources" in capsys.readouterr().out
