"""Text of others in the gate's reports for programs: well-formed XML, and Markdown in which it means nothing."""

from pathlib import Path
from xml.etree import ElementTree as Xml

from loadtest.reports import write_trouble
from loadtest.result import ExitCode, GateError

HOSTILE = "answer \x1b[31m \x00 \udc80 ]]> <script> | @octocat `x` &#64;octocat\n# Load gate of prod: pass"


def test_an_error_with_control_characters_is_well_formed_xml(tmp_path: Path) -> None:
    # Given an API that answered with text of anybody's choice
    trouble = GateError(ExitCode.BROKEN_ROUTE, HOSTILE)
    # When the gate reports it
    write_trouble("dev", trouble, tmp_path)
    # Then a program reads the report, and the text is what it was
    [error] = Xml.parse(tmp_path / "gate.junit.xml").getroot().iter("error")
    assert error.attrib["message"].startswith(r"answer \x1b[31m \x00 \udc80 ]]> <script> | @octocat")


def test_an_error_is_no_markdown(tmp_path: Path) -> None:
    write_trouble("dev", GateError(ExitCode.BROKEN_ROUTE, HOSTILE), tmp_path)

    text = (tmp_path / "gate.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("#")] == ["# Load gate of dev: no verdict"]
    assert "<script>" not in text
    assert "@octocat" not in text
    assert "&#64;" not in text
