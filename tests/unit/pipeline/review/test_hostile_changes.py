"""Hostile pull requests: the comment is right about them, or says that it could not compare."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.review import NotCompared, reports
from pipeline.review import __main__ as review
from pipeline.review.acknowledgements import read
from pipeline.review.comparison import Comparison, compare
from pipeline.review.findings import changed_lines
from pipeline.review.publish import COMMENT_LIMIT
from pipeline.review.reports import markdown
from pipeline.review.stable import words
from pipeline.review.templates.stack import Stack
from tests.unit.pipeline.review.given import changes, comparison, finding, resource, side, stack, stacks, texts
from tests.unit.pipeline.review.test_acknowledgements import entry, table

MARKUP = "@octo <b>x</b> `|* [x](http://e)"
TABLE = resource("AWS::DynamoDB::Table", {"TableName": "payments"}, path="Table")


def of_stacks(base: dict[str, Stack], head: dict[str, Stack], **more: Any) -> Comparison:
    return compare(side(stacks=base), side(stacks=head, **more), name="main")


# Huge


def moved(scope: str, number: int, type: str) -> dict[str, dict[str, Any]]:
    """Resources below one construct, each of which names the one before."""
    return {
        f"{scope}{n}": resource(
            type, {"DisplayName": f"{n}", "Before": {"Ref": f"{scope}{n - 1}"} if n else "none"}, path=f"{scope}/{n}"
        )
        for n in range(number)
    }


@pytest.mark.parametrize("type", ["AWS::SNS::Topic", "AWS::DynamoDB::Table"])
def test_a_construct_with_as_many_resources_as_a_stack_may_have_is_renamed(type: str) -> None:
    # Each compared with each other, again after each pair, would take minutes
    told = changes(moved("Old", 500, type), moved("New", 500, type))
    # Then each is a replacement, and none is taken for a removed or an added one
    assert sum(len(each.constructs) for each in told if each.action == "replaced") == 500
    assert {each.action for each in told} <= {"replaced", "changed"}


@pytest.mark.parametrize("number", [1, 900])
def test_hundreds_of_stacks_do_not_push_a_new_finding_out_of_the_comment(number: int) -> None:
    key = {"K": resource("AWS::KMS::Key", path="K")}
    head = stacks(*(stack(key, path=f"S{n}/P") for n in range(number)))
    text = markdown.render(of_stacks({}, head, findings=[finding("Dev/Platform/Api")]))
    assert "**Too much**: `Dev/Platform/Api`" in text
    assert len(text.encode()) < COMMENT_LIMIT
    assert f"| **total** | **0.00** | **{number}.00** | **+{number}.00** |" in text
    assert ("entries do not fit here" in text) is (number == 900)


def test_a_long_error_is_cut_line_by_line() -> None:
    text = markdown.not_compared("it failed:\n" + "x" * 100_000 + "\nlast" * 1000, base="main")
    assert "it failed:" in text
    assert len(text) < 5000


# Renamed stacks


def test_a_stack_with_another_name_is_a_new_one_and_the_former_stays() -> None:
    # Given a stack whose construct stays and whose name changes: CloudFormation makes it anew, without the data
    before, after = stack({"T": TABLE}), stack({"T": TABLE})
    renamed = Stack(name="payments", path=after.path, termination_protection=False, template=after.template)
    assert [each.partition("\n")[0] for each in texts(changes(stacks(before), stacks(renamed)))] == [
        "security: environment added stack payments (dev)",
        "stateful: environment removed stack payment-platform-dev (dev)",
    ]


def test_a_stack_whose_construct_moves_is_the_same_and_loses_what_it_loses() -> None:
    # Given a stack that keeps its name, with another construct's path and without its table
    before, kept = stack({"T": TABLE}), stack({})
    moved = Stack(name=before.name, path="Dev/Core", termination_protection=False, template=kept.template)
    told = texts(changes(stacks(before), stacks(moved)))
    assert told == ["stateful: deleted AWS::DynamoDB::Table Table (dev)\n  its data is deleted"]


def test_two_stacks_that_exchange_their_names_are_compared_by_name() -> None:
    a, b = stack({"T": TABLE}, path="A/P"), stack({}, path="B/P")
    head = stacks(
        Stack(name=a.name, path="B/P", termination_protection=False, template=a.template),
        Stack(name=b.name, path="A/P", termination_protection=False, template=b.template),
    )
    assert changes(stacks(a, b), head) == []


# Acknowledgements


def test_an_acknowledgement_that_begins_past_its_date_is_called_so(tmp_path: Path) -> None:
    old = "expires = 2020-01-31"
    base = table(tmp_path / "base", entry("checkov::CKV_AWS_18", "Platform/Logs"))
    head = table(
        tmp_path / "head",
        entry("checkov::CKV_AWS_18", "Platform/Logs", more=old),
        entry("checkov::CKV_AWS_116", "Platform/F", "Platform/G", more=old),
    )
    text = markdown.render(comparison(acknowledged=(base, head)))
    assert "**acknowledgements: 2 added, 1 changed, 3 past the date of their review**" in text
    assert "! until: 2027-01-31 → 2020-01-31" in text


def test_the_synthesis_finds_an_expired_acknowledgement_and_the_review_fails() -> None:
    # Given what the check of the acknowledgements reports of head
    expired = finding("Dev/Platform/F", description="acknowledgements.toml:2: x expired on 2020-01-31")
    text = markdown.render(comparison(head=[expired]))
    assert "### ❌ Review: 1 new finding" in text
    assert "expired on 2020-01-31" in text


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"[" * 100_000, b"[[acknowledgement]]\nfindings = [1]\n", b"a" * 100_000, b"x = '\0'"],
)
def test_a_table_that_can_not_be_read_is_said_to_be_so(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "pipeline/compliance/acknowledgements.toml"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    text = markdown.render(comparison(acknowledged=(table(tmp_path / "base"), read(tmp_path))))
    assert "**acknowledgements were not compared: this change has a table of another form" in text
    assert len(text) < 2000


# Text that is none


def test_names_of_stages_are_no_markup() -> None:
    head = stacks(stack({"K": resource("AWS::KMS::Key", path="K")}, path=f"{MARKUP}/P"))
    text = markdown.render(of_stacks({}, head, findings=[finding(f"{MARKUP}/P/K")]))
    assert "(@<!-- -->octo &lt;b&gt;x&lt;)" in text
    assert "(@octo" not in text


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.py", b"x = '\xff'"), ("a.py", b"print 'two'"), ("a.py", b"\0"), ("a.py", b"(" * 10_000)],
)
def test_a_function_whose_code_can_not_be_read_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / "lambdas").mkdir()
    (tmp_path / "lambdas" / name).write_bytes(content)
    with pytest.raises(NotCompared, match=r"lambdas/a\.py can't be read"):
        words(tmp_path)


def test_folders_and_links_with_names_of_code_are_no_code(tmp_path: Path) -> None:
    (tmp_path / "lambdas/folder.py").mkdir(parents=True)
    (tmp_path / "lambdas/nowhere.py").symlink_to("/nonexistent")
    (tmp_path / "lambdas/loop.py").symlink_to("loop.py")
    assert words(tmp_path) == frozenset()


# Lines of the change


@pytest.fixture
def commits(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """A repository with one more commit, of these files."""

    def commit(files: dict[str, bytes]) -> Path:
        for name, content in files.items():
            (tmp_path / os.fsdecode(name.encode("utf-8", "surrogateescape"))).write_bytes(content)
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "x"]):
            subprocess.run(["git", *identity, *command], cwd=tmp_path, check=True)
        return tmp_path

    return commit


def test_a_changed_line_can_not_pose_as_a_line_of_git(commits: Callable[[dict[str, bytes]], Path]) -> None:
    commits({"a.py": b"1\n2\n3\n", "b.py": b"1\n"})
    posing = b"++ b/b.py\n1\n2\n3\x0c@@ -1 +77 @@\nx = '\xe2\x80\xa8@@ -1 +88 @@'\n4\n"
    folder = commits({"a.py": posing})
    assert changed_lines("HEAD~1", "HEAD", folder=folder) == {"a.py": frozenset({1, 4, 5, 6})}


def test_a_name_that_git_quotes_does_not_lend_its_lines_to_the_file_before(
    commits: Callable[[dict[str, bytes]], Path],
) -> None:
    commits({"a.py": b"1\n"})
    folder = commits({"a.py": b"2\n", 'b\t".py': b"1\n" * 9, "c\udcff.py": b"1\n" * 9})
    assert changed_lines("HEAD~1", "HEAD", folder=folder) == {"a.py": frozenset({1})}


def test_a_file_that_is_no_text_has_changed_lines_too(commits: Callable[[dict[str, bytes]], Path]) -> None:
    commits({"a.py": b"1\n", ".gitattributes": b"*.py -diff\n"})
    folder = commits({"a.py": b"1\n\xff\0\n"})
    assert changed_lines("HEAD~1", "HEAD", folder=folder) == {"a.py": frozenset({2})}


def test_neither_a_space_in_a_name_nor_the_person_s_settings_change_the_lines(
    commits: Callable[[dict[str, bytes]], Path],
) -> None:
    # Given a file with a space in its name, two changes close to each other, and settings that change git's output
    commits({"a file.py": b"1\n2\n3\n4\n"})
    folder = commits({"a file.py": b"1\nx\n3\ny\n"})
    settings = {
        "diff.interHunkContext": "5", "diff.relative": "true", "diff.noprefix": "true", "color.ui": "always",
        "diff.external": "false", "diff.context": "9", "diff.wsErrorHighlight": "all",
    }  # fmt: skip
    for name, value in settings.items():
        subprocess.run(["git", "config", name, value], cwd=folder, check=True)
    # Then exactly the changed lines are found
    assert changed_lines("HEAD~1", "HEAD", folder=folder) == {"a file.py": frozenset({2, 4})}


# Folders for reports


@pytest.mark.parametrize("link", ["reports", "reports/review", "reports/review/assembly"])
def test_a_report_folder_that_leads_elsewhere_is_no_new_finding_and_nothing_is_removed_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], link: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    for name in reports.NAMES:
        (elsewhere / "review").mkdir(parents=True, exist_ok=True)
        (elsewhere / name).write_text("precious")
        (elsewhere / "review" / name).write_text("precious")
    here = tmp_path / "here"
    (here / link).parent.mkdir(parents=True)
    (here / link).symlink_to(elsewhere)
    monkeypatch.chdir(here)
    assert review.main(["--base", "HEAD"]) == review.ExitCode.NOT_COMPARED
    assert f"{link} is a symbolic link" in capsys.readouterr().err
    assert {file.read_text() for file in elsewhere.rglob("review.*") if file.is_file()} == {"precious"}


@pytest.mark.parametrize("odd", ["file for folder", "folder for file"])
def test_reports_that_can_not_be_written_are_no_new_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if odd == "file for folder":
        Path("reports").write_text("")
    else:
        Path("reports/review/review.md").mkdir(parents=True)
    assert review.main(["--base", "HEAD"]) == review.ExitCode.NOT_COMPARED
