"""Four reports of one comparison: a short comment, and complete reports for people, code scanning and programs."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.review import reports
from pipeline.review.comparison import Comparison
from pipeline.review.comparison import compare as compare_sides
from pipeline.review.findings import compare
from pipeline.review.reports import html, markdown, sarif, summary
from tests.unit.pipeline.review.given import IAM5, comparison, finding, policy, resource, side, stack, stacks
from tests.unit.reporting.reading import accessible, self_contained

EVIL = "`</code><script>alert(1)</script> @everyone [x](http://e) | \n```\n# Heading"


def a_change(**more: Any) -> Comparison:
    table = resource("AWS::DynamoDB::Table", {"TableName": "t", "BillingMode": "PAY_PER_REQUEST"}, path="T")
    return comparison(
        base=[finding("Dev/Platform/Old")],
        head=[finding("Dev/Platform/Api"), finding("Dev/Platform/Bucket", reason="Needed.")],
        before={"T": table, "K": resource("AWS::KMS::Key", path="Key")},
        after=policy({"Effect": "Allow", "Action": "*", "Resource": "*"}) | {"N": resource("AWS::EC2::NatGateway")},
        **more,
    )


def test_the_comment_begins_with_the_most_important_parts() -> None:
    text = markdown.render(a_change())
    order = [
        markdown.MARKER,
        "1 new finding",
        "2 changes to stateful resources",
        "1 IAM or security change, 1 far-reaching",
        "standing costs +31.85 USD a month",
        "| findings | 1 | 1 | 1 | 0 |",
        "#### New findings",
        "`Platform/Api` (dev) in `stages/a.py:1`",
        "#### Newly acknowledged findings",
        "Needed.",
        "#### IAM and security",
        "+ Allow * on * ← wildcard action *, any resource",
        "#### 🔴 Stateful resources",
        "🔴 **deleted** `AWS::DynamoDB::Table` `T` (dev)",
        "Everything else",
        "#### Findings that are gone",
        "| · NAT gateway: 0 → 1 | 0.00 | 32.85 | +32.85 |",
        "| **total** | **1.00** | **32.85** | **+31.85** |",
        "Left out: requests, data",
    ]
    places = [text.find(each) for each in order]
    assert -1 not in places, order[places.index(-1)]
    assert places == sorted(places)


def test_what_is_replaced_is_a_headline() -> None:
    def named(name: str) -> dict[str, Any]:
        return {"F": resource("AWS::Lambda::Function", {"FunctionName": name}, path="F")}

    said = [text for text, _ in summary.headlines(comparison(before=named("a"), after=named("b")))]
    assert "1 other replacement" in said


def test_no_change_takes_a_few_lines() -> None:
    text = markdown.render(comparison())
    assert "no new findings" in text
    assert "the templates are the same; standing costs unchanged" in text
    assert len(text.splitlines()) < 15


def test_the_comment_names_a_finding_once_for_all_environments() -> None:
    text = markdown.render(comparison(head=[finding("Dev/Platform/Api"), finding("payment-pipeline/Role")]))
    assert f"- **Too much**: `Platform/Api` (dev) in `stages/a.py:1`  \n  `{IAM5}`" in text
    assert "- **Too much**: `payment-pipeline/Role` in `stages/a.py:1`" in text


def test_a_comment_keeps_githubs_limit_and_says_how_much_it_leaves_out() -> None:
    many = {f"T{n}": resource("AWS::SNS::Topic", {"DisplayName": f"{n}" + "x" * 900}) for n in range(200)}
    changed = {id: each | {"Properties": {"DisplayName": f"{id} ü"}} for id, each in many.items()}
    worst = comparison(head=[finding(f"Dev/{'ü' * 300}{n}") for n in range(150)], before=many, after=changed)
    text = markdown.render(worst)
    assert len(text.encode()) < 65_536
    left_out = 150 + 200 - text.count("- **Too much**") - text.count("- **changed**")
    assert left_out > 0
    assert f"**{left_out} entries do not fit here. `review.html` and `review.json` contain all.**" in text
    assert "#### Standing costs" in text or "Standing costs: " in text
    assert html.page(worst).count('<article class="card') == 350


def test_fixed_findings_are_left_out_first() -> None:
    topic = {"T": resource("AWS::SNS::Topic", {"DisplayName": "x"})}
    text = markdown.render(comparison(base=[finding(f"Dev/{'x' * 300}{n}") for n in range(300)], after=topic))
    assert "**added** `AWS::SNS::Topic`" in text
    assert "more, in `review.html`" in text.partition("#### Findings that are gone")[2]


def test_text_from_templates_and_reasons_is_never_markup_in_the_comment() -> None:
    topic = resource("AWS::SNS::Topic", {"DisplayName": EVIL}, path=EVIL)
    text = markdown.render(comparison(head=[finding(f"Dev/{EVIL}", reason=EVIL)], after={"T": topic}))
    outside = []
    fence = ""
    for line in text.splitlines():
        stripped = line.strip()
        if not fence and stripped.startswith("```"):
            fence = stripped.rstrip("dif")
        elif fence and stripped == fence:
            fence = ""
        elif not fence:
            outside.append(line)
    assert not fence
    assert not any(line.lstrip().startswith("# Heading") for line in outside)
    assert r"\[x\](http://e)" in text
    assert "@<!-- -->everyone" in text
    assert "&lt;script&gt;" in text


def test_an_error_message_cannot_leave_its_block() -> None:
    text = markdown.not_compared("failed:\n```\n# Heading", base="`x`")
    assert text.endswith("\n````\nfailed:\n```\n# Heading\n````\n")
    assert "against `` `x` ``" in text


def test_the_page_is_complete_and_loads_nothing() -> None:
    page = html.page(a_change())
    self_contained(page)
    accessible(page)
    for each in ("1 new finding", "AwsSolutions", "stages/a.py:1", "Needed.", 'class="card fail"', "NAT gateway"):
        assert each in page


def test_sarif_has_lines_and_suppresses_acknowledged_findings() -> None:
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


def test_the_json_report_is_complete(tmp_path: Path) -> None:
    reports.write(a_change(), tmp_path)
    content = json.loads((tmp_path / "review.json").read_text())
    assert [each["construct"] for each in content["findings"]["new"]] == ["Dev/Platform/Api"]
    assert {each["section"] for each in content["changes"]} == {"security", "stateful", "rest"}
    assert content["costs"][0]["environment"] == "dev"


@pytest.mark.parametrize(
    ("type", "before", "after", "what"),
    [
        ("AWS::ApiGateway::Model", {"Schema": "1"}, {"Schema": "2"}, "models and routes of the API"),
        ("AWS::ApiGateway::GatewayResponse", {"StatusCode": "403"}, {"StatusCode": "404"}, "gateway responses"),
        ("AWS::ApiGateway::Stage", {"Variables": {"a": "1"}}, {"Variables": {"a": "2"}}, "stages of the API"),
        ("AWS::WAFv2::WebACL", {"Description": "1"}, {"Description": "2"}, "firewall"),
        (
            "AWS::ElasticLoadBalancingV2::TargetGroup",
            {"TargetGroupAttributes": [{"Key": "a", "Value": "1"}]},
            {"TargetGroupAttributes": [{"Key": "a", "Value": "2"}]},
            "load balancer",
        ),
        ("AWS::SSM::Parameter", {"Value": "1"}, {"Value": "2"}, "parameters"),
        ("AWS::SecretsManager::Secret", {"Description": "1"}, {"Description": "2"}, "secrets"),
        ("Custom::DatabaseSchema", {"Migrations": "1"}, {"Migrations": "2"}, "schema of the database"),
    ],
)
def test_what_changes_under_stable_at_once_is_said_first(
    type: str, before: dict[str, Any], after: dict[str, Any], what: str
) -> None:
    base, head = (stacks(stack({"X": resource(type, each, path="X")})) for each in (before, after))
    result = compare_sides(side(stacks=base), side(stacks=head), name="main")
    assert f"**customers meet this before gate and shift: {what}**" in markdown.render(result)
    unchanged = compare_sides(side(stacks=base), side(stacks=base), name="main")
    assert "before gate and shift" not in markdown.render(unchanged)


def test_a_new_version_of_a_function_waits_for_its_shift() -> None:
    base, head = (stacks(stack({"F": resource("AWS::Lambda::Function", {"Timeout": n}, path="F")})) for n in (10, 15))
    assert "before gate and shift" not in markdown.render(
        compare_sides(side(stacks=base), side(stacks=head), name="main")
    )


def test_each_kind_is_named_where_the_docs_say_what_a_shift_does_not_cover() -> None:
    table = Path("docs/release.md").read_text().partition("### What a shift does not cover")[2].partition("\n## ")[0]
    for what in summary.AT_ONCE:
        assert all(word.lower() in table.lower() for word in what.split()), what


def test_a_changed_file_of_rules_is_a_warning_because_no_template_shows_it() -> None:
    before, after = {"a.json": b"1", "same.json": b"1", "gone.json": b"1"}, {"a.json": b"2", "same.json": b"1"}
    sides = (side(stacks=stacks(stack({})), rules=rules) for rules in (before, after))
    result = compare_sides(*sides, name="main")
    assert result.rules == ("a.json", "gone.json")
    assert "**rules that decide payments change: a.json, gone.json**" in markdown.render(result)
    assert markdown.render(result).splitlines()[1].startswith("### ⚠️")
