"""The packages of functions are extracted once."""

import zipfile
from pathlib import Path

import pytest

from localcloud.emulator import packages


def test_environments_of_a_package_share_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given two environments of one package, and one of another package
    monkeypatch.setattr(packages.tempfile, "tempdir", str(tmp_path))
    places = [tmp_path / name for name in ("first", "second", "other")]
    for place in places:
        place.mkdir()
        with zipfile.ZipFile(place / "code.zip", "w") as package:
            package.writestr(zipfile.ZipInfo("code/module.py"), "other" if place.name == "other" else "same")
            package.writestr(zipfile.ZipInfo("handler.py"), "handler")
        # When MiniStack extracts the package for each of them
        with packages.lambda_runtime.zipfile.ZipFile(place / "code.zip") as package:
            package.extractall(str(place))
    # Then each has the files of its package, and equal packages are on the disk once
    read = [(place / "code" / "module.py").read_text() for place in places]
    assert read == ["same", "same", "other"]
    first, second, other = ((place / "code").resolve() for place in places)
    assert first == second != other


def test_an_extraction_that_fails_leaves_no_half_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a disk that is full in the middle of the first extraction
    monkeypatch.setattr(packages.tempfile, "tempdir", str(tmp_path))
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as package:
        package.writestr(zipfile.ZipInfo("handler.py"), "handler")
    extract = zipfile.ZipFile.extractall

    def full(package: zipfile.ZipFile, path: str) -> None:
        extract(package, path)
        raise OSError("No space left on device")

    (tmp_path / "code").mkdir()
    with packages.lambda_runtime.zipfile.ZipFile(tmp_path / "code.zip") as package:
        monkeypatch.setattr(zipfile.ZipFile, "extractall", full)
        with pytest.raises(OSError, match="No space"):
            package.extractall(str(tmp_path / "code"))
        # When it is tried again, then all of it is there
        monkeypatch.setattr(zipfile.ZipFile, "extractall", extract)
        package.extractall(str(tmp_path / "code"))
    assert (tmp_path / "code" / "handler.py").read_text() == "handler"
