"""What a reviewer is told about a change's findings, and what is never taken for there being none."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.review import __main__ as review
from pipeline.review import markdown, sarif
from pipeline.review.comparison import compare
from pipeline.review.findings import PACKS, Finding, NoFindings, read, synthesise

TREE = Path("/repository")
TRACE = (
    f"...aws-cdk-lib...\n__init__ ({TREE}/.venv/x.py:9)\n__init__ ({TREE}/stages/api.py:45)\n<module> ({TREE}/app.py:1)"
)
IAM5 = "AwsSolutions::AwsSolutions-IAM5[Resource::*]"


def violation(rule: str, *constructs: str, **more: Any) -> dict[str, Any]:
    places = [{"constructPath": each, "stackTraces": [TRACE]} for each in constructs]
    return {"ruleName": rule, "description": "Too much.", "violatingConstructs": places, **more}


def report(folder: Path, *violations: dict[str, Any], suppressed: Sequence[dict[str, Any]] = ()) -> Path:
    packs: list[dict[str, Any]] = [{"pluginName": name, "violations": []} for name in sorted(PACKS)]
    packs[0] |= {"violations": list(violations), "suppressedViolations": list(suppressed)}
    file = folder / "validation-report.json"
    file.write_text(json.dumps({"pluginReports": packs}))
    return file


def finding(construct: str, *, reason: str | None = None, line: int = 1) -> Finding:
    return Finding(
        rule=IAM5, construct=construct, description="Too much.", reason=reason, file="stages/a.py", line=line
    )


def test_findings_are_read_with_the_line_of_this_repository_that_makes_the_construct(tmp_path: Path) -> None:
    file = report(
        tmp_path,
        violation("AwsSolutions-IAM5[Resource::*]", "Dev/Platform/B"),
        suppressed=[violation("AwsSolutions-IAM5[Resource::*]", "Dev/Platform/A", reason="Needed.")],
    )
    assert [(f.rule, f.construct, f.reason, f.file, f.line) for f in read(file, TREE)] == [
        (IAM5, "Dev/Platform/A", "Needed.", "stages/api.py", 45),
        (IAM5, "Dev/Platform/B", None, "stages/api.py", 45),
    ]


@pytest.mark.parametrize(
    "content", ["", "{}", '{"pluginReports": [{}]}', '{"pluginReports": [{"pluginName": "AwsSolutions"}]}']
)
def test_a_report_that_is_none_is_not_read_as_no_findings(tmp_path: Path, content: str) -> None:
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(NoFindings, match="is no validation report"):
        read(tmp_path / "r.json", TREE)


def test_a_report_without_a_pack_is_not_read_as_no_findings(tmp_path: Path) -> None:
    file = report(tmp_path)
    file.write_text(file.read_text().replace("PCI.DSS.401", "PCI.DSS.500"))
    with pytest.raises(NoFindings, match=r"says nothing of PCI\.DSS\.401"):
        read(file, TREE)


def test_a_side_that_does_not_synthesise_is_named_with_its_error(tmp_path: Path) -> None:
    (tmp_path / "pipeline_app.py").write_text("raise SystemExit('no such stage')")
    with pytest.raises(NoFindings, match="no such stage"):
        synthesise(tmp_path, tmp_path / "out")


def test_a_synthesis_gets_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    (tmp_path / "pipeline_app.py").write_text("import os, sys; sys.exit(str([n for n in os.environ if 'AWS' in n]))")
    with pytest.raises(NoFindings, match=r"\[\]"):
        synthesise(tmp_path, tmp_path / "out")


def test_what_became_of_each_finding() -> None:
    base = [
        finding("same"),
        finding("moved", line=1),
        finding("gone"),
        finding("accepted"),
        finding("reopened", reason="r"),
    ]
    head = [
        finding("same"),
        finding("moved", line=9),
        finding("accepted", reason="r"),
        finding("reopened"),
        finding("new"),
    ]
    result = compare(base, [*head, finding("excused", reason="r")])
    assert [each.construct for each in result.new] == ["reopened", "new"]
    assert [each.construct for each in result.newly_acknowledged] == ["accepted", "excused"]
    assert [each.construct for each in result.fixed] == ["gone"]
    assert [each.construct for each in result.unchanged] == ["same", "moved"]
    assert not result.passes
    assert compare(base, [finding("excused", reason="r")]).passes


def test_the_comment_names_a_finding_once_for_all_its_environments() -> None:
    head = [
        finding("Dev/Platform/Api"),
        finding("Prod/Platform/Api"),
        finding("payment-pipeline/Role", reason="Needed."),
    ]
    text = markdown.render(compare([], head), base="main", head="the change")
    assert "### Compliance: 2 new findings" in text
    assert f"- `{IAM5}` at `Platform/Api (Dev, Prod)` in `stages/a.py:1`" in text
    assert "| findings | 2 | 1 | 0 | 0 |" in text
    assert "Needed." in text.split("do the reasons hold?")[1]


def test_code_scanning_gets_lines_and_takes_acknowledged_findings_for_suppressed() -> None:
    base = [finding("known", reason="Needed.")]
    log = sarif.render(compare(base, [*base, finding("new", line=7)]))
    [run] = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["AwsSolutions-IAM5"]
    known, new = run["results"]
    assert (known["baselineState"], known["suppressions"][0]["justification"]) == ("unchanged", "Needed.")
    assert (new["baselineState"], "suppressions" in new) == ("new", False)
    place = new["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("stages/a.py", 7)
    assert known["partialFingerprints"] != new["partialFingerprints"]


def test_a_base_that_does_not_exist_is_a_clear_failure(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert review.main(["--base", "no-such-commit", "--output", str(tmp_path)]) == review.NOT_COMPARED
    assert "base 'no-such-commit' can't be read" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("head", "code"), [([], 0), ([finding("new")], 1)])
def test_new_findings_fail_and_the_reports_are_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, head: list[Finding], code: int
) -> None:
    sides = iter([[], head])
    monkeypatch.setattr(review, "synthesise", lambda tree, assembly: next(sides))
    monkeypatch.setattr(review, "_check_out", lambda commit, tree: subprocess.run(["true"], check=True))
    assert review.main(["--base", "x", "--output", str(tmp_path)]) == code
    assert {each.name for each in tmp_path.iterdir()} == {"review.md", "review.sarif", "review.json"}
    assert len(json.loads((tmp_path / "review.json").read_text())["new"]) == len(head)
