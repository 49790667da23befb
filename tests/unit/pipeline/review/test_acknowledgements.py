"""The tables of acknowledgements are compared: checkov's entries too, with reason, owner and date of each."""

import json
from pathlib import Path

import pytest

from pipeline.review import reports
from pipeline.review.acknowledgements import Table, read
from pipeline.review.comparison import Comparison
from pipeline.review.reports import html, markdown
from tests.unit.pipeline.review.given import comparison

REASON = "Nobody reads the log of a log."


def entry(finding: str, *constructs: str, reason: str = REASON, owner: str = "platform", more: str = "") -> str:
    return (
        f"[[acknowledgement]]\nfindings = ['{finding}']\nconstructs = {list(constructs)}\nreason = '{reason}'\n"
        f"owner = '{owner}'\n{more or 'expires = 2027-01-31'}\n"
    )


def table(tree: Path, *entries: str) -> Table:
    """The table as the review reads it."""
    file = tree / "pipeline" / "compliance" / "acknowledgements.toml"
    file.parent.mkdir(parents=True)
    file.write_text("\n".join(["owners = ['platform', 'security']", *entries]))
    return read(tree)


@pytest.fixture
def change(tmp_path: Path) -> Comparison:
    """Three changes of checkov's entries: one is added at two constructs, one is removed in prod, one is prolonged."""
    base = table(
        tmp_path / "base",
        entry("AwsSolutions::AwsSolutions-S1", "Platform/Same"),
        entry("checkov::CKV_AWS_18", "Platform/Logs"),
        entry("checkov::CKV_AWS_115", "Platform/F"),
    )
    head = table(
        tmp_path / "head",
        entry("checkov::CKV_AWS_116", "Platform/F", "Platform/G"),
        entry("checkov::CKV_AWS_18", "Platform/Logs", owner="security", more="expires = 2028-01-31"),
        entry("checkov::CKV_AWS_115", "Platform/F", more="expires = 2027-01-31\nenvironments = ['dev', 'staging']"),
        entry("AwsSolutions::AwsSolutions-S1", "Platform/Same"),
    )
    return comparison(acknowledged=(base, head))


def test_the_comment_shows_added_removed_and_prolonged_acknowledgements(change: Comparison) -> None:
    text = markdown.render(change)

    assert "### ⚠️ Review: no new findings" in text
    assert "**acknowledgements: 2 added, 1 changed, 1 removed**" in text
    entries = text.partition("#### Acknowledgements: do reasons, owners and dates hold?\n\n")[2]
    assert entries.startswith(
        "- **added** `checkov::CKV_AWS_116` at `Platform/F`, `Platform/G`\n"
        f"  ```diff\n  + {REASON} (platform, until 2027-01-31)\n  ```\n"
        "- **changed** `checkov::CKV_AWS_18` at `Platform/Logs`\n"
        "  ```diff\n  ! owner: platform → security\n  ! until: 2027-01-31 → 2028-01-31\n  ```\n"
        "- **removed** `checkov::CKV_AWS_115` at `Platform/F` (prod)\n"
        f"  ```diff\n  - {REASON} (platform, until 2027-01-31)\n  ```\n"
    )
    assert "Platform/Same" not in text


def test_the_page_and_the_json_report_have_them_too(change: Comparison, tmp_path: Path) -> None:
    page = html.page(change)
    reports.write(change, tmp_path)
    [added, changed, removed] = json.loads((tmp_path / "review.json").read_text())["acknowledgements"]["changes"]

    assert "! until: 2027-01-31 → 2028-01-31" in page
    assert "2 added, 1 changed, 1 removed" in page
    assert (added["before"], added["constructs"]) == (None, ["Platform/F", "Platform/G"])
    assert (changed["before"]["expires"], changed["after"]["expires"]) == ("2027-01-31", "2028-01-31")
    assert (removed["after"], removed["environments"]) == (None, ["prod"])


def test_a_changed_reason_is_shown_as_text_not_markup(tmp_path: Path) -> None:
    other = "A </details> @everyone of a reason, long enough."
    sides = [
        table(tmp_path / reason[0], entry("checkov::CKV_AWS_18", "Platform/Logs", reason=reason))
        for reason in (REASON, other)
    ]
    both = comparison(acknowledged=(sides[0], sides[1]))

    assert f"  ```diff\n  ! reason: {REASON} → {other}\n  ```" in markdown.render(both)
    assert "&lt;/details&gt; @everyone" in html.page(both)


def test_fewer_acknowledgements_are_no_warning(tmp_path: Path) -> None:
    base = table(tmp_path / "base", entry("checkov::CKV_AWS_18", "Platform/Logs"))
    text = markdown.render(comparison(acknowledged=(base, table(tmp_path / "head"))))

    assert "### ✅ Review" in text
    assert "acknowledgements: 1 removed;" in text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "has no pipeline/compliance/acknowledgements.toml"),
        ("[[suppression]]\nrule = 'x'", "unknown table suppression"),
        ("acknowledgement = ['x']", "has a table of another form"),
        ("[acknowledgement", "is not TOML"),
    ],
)
def test_a_base_without_a_readable_table_is_reported_and_breaks_nothing(
    tmp_path: Path, content: str | None, why: str
) -> None:
    base = read(tmp_path / "base") if content is None else table(tmp_path / "base", content)
    head = table(tmp_path / "head", entry("checkov::CKV_AWS_18", "Platform/Logs"))

    both = comparison(acknowledged=(base, head))

    for text in (markdown.render(both), html.page(both)):
        assert "acknowledgements were not compared: base has" in text
        assert why in text
    assert "⚠️" in markdown.render(both)
    assert both.passes
    assert both.acknowledgements.changes == ()
