"""Findings are read from a synthesis, compared and counted. An unreadable report is never taken for no findings."""

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack, aws_sns

from pipeline.compliance.acknowledgements import PACKS, Acknowledgement
from pipeline.compliance.validation import enforce
from pipeline.review import NotCompared
from pipeline.review.findings import REPORT, compare, read
from tests.unit.pipeline.review.given import IAM5, finding

TREE = Path("/repository")
TRACE = (
    f"...aws-cdk-lib...\n__init__ ({TREE}/.venv/x.py:9)\n__init__ ({TREE}/stages/api.py:45)\n<module> ({TREE}/app.py:1)"
)


def violation(rule: str, *constructs: str, **more: Any) -> dict[str, Any]:
    places = [{"constructPath": each, "stackTraces": [TRACE]} for each in constructs]
    return {"ruleName": rule, "description": "Too much.", "violatingConstructs": places, **more}


def report(folder: Path, *violations: dict[str, Any], suppressed: Sequence[dict[str, Any]] = ()) -> Path:
    packs: list[dict[str, Any]] = [{"pluginName": name, "violations": []} for name in sorted(PACKS)]
    packs[0] |= {"violations": list(violations), "suppressedViolations": list(suppressed)}
    file = folder / "validation-report.json"
    file.write_text(json.dumps({"pluginReports": packs}))
    return file


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
def test_an_unreadable_report_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(NotCompared, match="is no validation report"):
        read(tmp_path / "r.json", TREE)


def test_a_report_without_one_of_the_packs_is_refused(tmp_path: Path) -> None:
    file = report(tmp_path)
    file.write_text(file.read_text().replace("PCI.DSS.401", "PCI.DSS.500"))
    with pytest.raises(NotCompared, match=r"says nothing of PCI\.DSS\.401"):
        read(file, TREE)


def test_a_report_with_an_unknown_pack_is_refused(tmp_path: Path) -> None:
    file = report(tmp_path)
    content = json.loads(file.read_text())
    content["pluginReports"].append({"pluginName": "HIPAA", "violations": [violation("HIPAA-X", "Dev/A")]})
    file.write_text(json.dumps(content))
    with pytest.raises(NotCompared, match="has findings of HIPAA, which the review does not know"):
        read(file, TREE)


def test_every_enforced_finding_is_read_once(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path), builtin_cloud_formation_validation=False)
    aws_sns.Topic(Stack(app, "Stack"), "Topic")
    unused = tuple(f"AwsSolutions::AwsSolutions-S{n}" for n in (1, 2))
    entry = Acknowledgement(
        line=1, findings=unused, constructs=("Stack/Topic",), reason="r", owner="o", expires=date(2026, 1, 1)
    )
    enforce(app, [entry], today=date(2025, 1, 1))
    with suppress(Exception):  # there are findings
        app.synth()

    found = read(tmp_path / REPORT, TREE)

    assert [each.rule for each in found if each.pack == "Acknowledgements"] == [
        f"Acknowledgements::Unused[{each}]" for each in unused
    ]
    assert any(each.pack == "AwsSolutions" for each in found)
    assert len({each.key for each in found}) == len(found)


def test_each_finding_is_new_acknowledged_fixed_or_unchanged() -> None:
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


def test_findings_are_counted_by_pack_and_environment_in_the_order_of_promotion() -> None:
    result = compare([], [finding("Staging/A"), finding("Dev/A"), finding("Dev/B", reason="r"), finding("pipeline/C")])
    assert result.counts(lambda each: each.pack) == {"AwsSolutions": [3, 1, 0, 0]}
    places = result.counts(lambda each: each.environment, ["dev", "staging", "prod"])
    assert list(places.items()) == [("dev", [1, 1, 0, 0]), ("staging", [1, 0, 0, 0]), ("pipeline", [1, 0, 0, 0])]
