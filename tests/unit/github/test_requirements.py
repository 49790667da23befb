"""Dependabot compiles the requirements with `make lock`'s options, and the compiled files agree on versions."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
COMPILED = sorted([*(ROOT / "requirements").glob("*.txt"), ROOT / "lambdas" / "requirements.txt"])
DEPENDABOT = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]

each_compiled = pytest.mark.parametrize("file", COMPILED, ids=lambda file: str(file.relative_to(ROOT)))


def pins(file: Path) -> dict[str, set[str]]:
    """The versions of each package, several if they differ by platform."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", file.read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def header(file: Path) -> str:
    """The command in the header of the compiled file."""
    return file.read_text().split("\n", 2)[1]


@each_compiled
def test_the_header_tells_how_it_was_compiled(file: Path) -> None:
    assert "uv pip compile" in header(file)
    assert "--universal" in header(file)
    assert "--python-version 3.11" in header(file)


@each_compiled
def test_a_file_that_is_constrained_by_another_pins_the_same_versions(file: Path) -> None:
    for constraint in re.findall(r"-c (\S+)", header(file)):
        others = pins(ROOT / constraint)
        assert {name: others.get(name) for name in pins(file)} == pins(file)


def test_dependabot_excludes_lock_files_with_other_versions_on_purpose() -> None:
    [python] = (update for update in DEPENDABOT if update["package-ecosystem"] == "uv")
    together = [file for file in COMPILED if file.name == "dev.txt" or "-c requirements/dev.txt" in header(file)]
    left_alone = {str(file.relative_to(ROOT).with_suffix(".*")) for file in COMPILED if file not in together}
    assert set(python["exclude-paths"]) == left_alone


def test_dependabot_updates_every_pinned_package_and_lets_a_release_age() -> None:
    assert {update["package-ecosystem"] for update in DEPENDABOT} == {"github-actions", "uv", "npm"}
    assert all(update["cooldown"]["default-days"] >= 7 for update in DEPENDABOT)
    assert all(update["directory"] == "/" for update in DEPENDABOT)  # its sub-folders are looked through for *.in
