"""The README's pictures, drawn from the last promotion."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from pipeline.local.__main__ import main
from pipeline.local.errors import ExitCode
from tests.unit.loadtest.test_judge import run

from .conftest import Project, commands, stage


def test_they_show_the_last_promotion_and_nothing_of_this_machine(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a promotion whose gate left a report, and which waits
    report = tmp_path / "gate.json"
    report.write_text(json.dumps(run().to_json()))
    gate = commands("LoadGate", "mkdir -p reports/dev", f"cp {report} reports/dev", "echo kept in $PWD/reports")
    state = project(stage("Dev", gate), stage("Prod", approval=True))
    assert main(["promote"]) == ExitCode.OK
    Path("docs").mkdir()

    # When they are drawn
    assert main(["pictures"]) == ExitCode.OK

    # Then both are drawings that load nothing
    drawn = {file.name: file.read_text() for file in (state.root / "docs/pictures").iterdir()}
    assert {*drawn} == {"promotion.svg", "gate.svg"}
    for picture in drawn.values():
        Xml.fromstring(picture)
        assert not re.search(r"url\(['\"]?http|href=|<script|<image", picture)
        assert str(state.root) not in picture
    # And they show the tree and the routes
    words = drawn["promotion.svg"].replace("&#160;", " ")
    assert all(word in words for word in ("First payment", "LoadGate", "PromoteToProd"))
    assert all(f">{route}</text>" in drawn["gate.svg"] for route in ("/validate", "/fraud-check", "/process"))


def test_without_a_promotion_it_says_what_to_do(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project(stage("Dev"))
    assert main(["pictures"]) == ExitCode.BAD_INPUT
    assert "`make promote`" in capsys.readouterr().err
