"""The functions' artefact: complete, without unneeded files, and the same bytes on every machine."""

import hashlib
from pathlib import Path

import pytest

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


def test_two_machines_build_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given two machines that have not built it before
    built = []
    for machine in ("one", "two"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / machine))
        bundling.bundle.cache_clear()
        built.append(_content(bundling.bundle()))
    bundling.bundle.cache_clear()
    # Then both have the same files with the same content
    assert built[0] == built[1]


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


def _content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
