"""The functions' artefact: complete, without unneeded files, and the same bytes on every machine."""

import hashlib
import os
from pathlib import Path

import pytest
from aws_cdk import FileSystem

from names import Function
from stages import bundling


def test_the_artefact_holds_the_functions_and_their_dependencies() -> None:
    folder = bundling.bundle()
    for name in (*(function.folder for function in Function), "schema", "rotation"):
        assert (folder / "lambdas" / name / "handler.py").is_file()
    assert (folder / "lambdas" / "deployment" / "blue_alias.py").is_file()
    assert list((folder / "lambdas" / "schema").rglob("*.sql"))
    assert (folder / "aws_lambda_powertools").is_dir()
    assert (folder / "pg8000").is_dir()


def test_the_artefact_holds_no_machine_specific_file() -> None:
    files = [str(path.relative_to(bundling.bundle())) for path in bundling.bundle().rglob("*")]
    for noise in ("bin", "__pycache__", "RECORD", "INSTALLER", "requirements.txt", "requirements.in", ".lock"):
        assert not [file for file in files if noise in Path(file).parts]
    assert not [file for file in files if file.endswith((".so", ".pyc"))]


def test_two_machines_build_the_same_artefact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given two machines that have not built it before: other folders, umasks and times
    built = []
    for machine, umask in (("one", 0o022), ("two", 0o077)):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / machine))
        bundling.bundle.cache_clear()
        before = os.umask(umask)
        try:
            built.append(bundling.bundle())
        finally:
            os.umask(before)
    bundling.bundle.cache_clear()
    for path in built[1].rglob("*"):
        os.utime(path, (0, 0))
    # Then both have the same files, with the same content and the same rights for Lambda's user
    assert _content(built[0]) == _content(built[1])
    assert {mode for mode, _ in _content(built[1]).values()} == {"100644"}
    assert built[0].name == built[1].name
    # And CDK gives both the same hash
    assert len({FileSystem.fingerprint(str(each)) for each in built}) == 1


@pytest.mark.parametrize("change", ["a line more", "another mode", "a file more"])
def test_a_cached_artefact_that_somebody_changed_is_built_again(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # Given an artefact in the cache
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def build(folder: Path) -> None:
        folder.mkdir()
        (folder / "handler.py").write_text("ANSWER = 1\n")

    folder = bundling.built_once("sources", build)
    assert bundling.built_once("sources", lambda folder: pytest.fail("built again")) == folder
    # When somebody changes it
    match change:
        case "a line more":
            (folder / "handler.py").write_text("import evil\nANSWER = 1\n")
        case "another mode":
            (folder / "handler.py").chmod(0o755)
        case "a file more":
            (folder / "sitecustomize.py").write_text("import evil\n")
    # Then the next synthesis says so, and packs a fresh one
    again = bundling.built_once("sources", build)
    assert f"The cached artefact was changed, and is built again: {folder}" in capfd.readouterr().err
    assert {file.name: file.read_text() for file in again.iterdir()} == {"handler.py": "ANSWER = 1\n"}


def test_a_second_run_builds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an artefact that an earlier run built
    folder = bundling.bundle()
    bundling.bundle.cache_clear()

    def fail(target: Path) -> None:
        raise AssertionError(f"built again in {target}")

    monkeypatch.setattr(bundling, "_install_dependencies", fail)
    # Then another run uses it
    assert bundling.bundle() == folder


def test_a_changed_function_makes_another_artefact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "lambdas"
    source.mkdir()
    (source / "handler.py").write_text("ANSWER = 1\n")
    monkeypatch.setattr(bundling, "SOURCE", source)
    before = bundling._digest()
    (source / "handler.py").write_text("ANSWER = 2\n")
    assert bundling._digest() != before


def _content(folder: Path) -> dict[str, tuple[str, str]]:
    """Mode and hash of each file."""
    return {
        str(path.relative_to(folder)): (f"{path.stat().st_mode:o}", hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.rglob("*")
        if path.is_file()
    }
