"""A bundle that was touched is not believed, and the first file that does not match is named."""

import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.evidence.__main__ import main

from .conftest import Released

Files = dict[str, bytes]


@pytest.fixture
def bundle(released: Released) -> Path:
    released.approve()
    return released.collect()


def rewrite(bundle: Path, change: Callable[[Files], object]) -> None:
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(bundle, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def refusal(bundle: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    capsys.readouterr()
    assert main(["verify", str(bundle), *more]) == 1
    return capsys.readouterr().err.removeprefix(f"{bundle}: ")


def test_an_untouched_bundle_is_whole_and_says_that_it_is_unsigned(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(bundle)]) == 0
    said = capsys.readouterr().out
    assert f"{bundle}: whole, " in said
    assert "approved  PromoteToTest by ann" in said
    assert "unsigned" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda files: files.update({"reports/gate.json": b"{}"}), "reports/gate.json was changed"),
        (lambda files: files.pop("findings.json"), "findings.json is missing"),
        (lambda files: files.update({"reports/more.json": b"{}"}), "reports/more.json was added"),
        (lambda files: files.update({"manifest.sig": b""}), "manifest.sig was added"),
        (lambda files: files.pop("manifest.json"), "manifest.json is missing, or is no manifest"),
        (lambda files: files.update({"manifest.json": b"[]"}), "manifest.json is missing, or is no manifest"),
    ],
)
def test_the_file_that_does_not_match_is_named(
    bundle: Path, change: Callable[[Files], object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(bundle, change)
    assert refusal(bundle, capsys).startswith(said)


def test_a_file_that_is_there_twice_is_not_believed(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(bundle, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("reports/gate.json", "{}")
    assert refusal(bundle, capsys) == "reports/gate.json is in the bundle twice\n"


def test_a_manifest_of_another_format_is_not_read_as_this_one(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def newer(files: Files) -> None:
        files["manifest.json"] = json.dumps(json.loads(files["manifest.json"]) | {"format": 2}).encode()

    rewrite(bundle, newer)
    assert "is of format 2" in refusal(bundle, capsys)


def test_damage_is_found(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray(bundle.read_bytes())
    data[100] ^= 1
    bundle.write_bytes(data)
    assert refusal(bundle, capsys).startswith("manifest.json is damaged")
    bundle.write_bytes(data[:500])
    assert refusal(bundle, capsys).startswith("this is no zip file, or a damaged one")


def test_an_unsigned_bundle_does_not_pass_where_a_key_must_vouch_for_it(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key.der").write_bytes(b"no key")
    assert "the public key is no key in DER" in refusal(bundle, capsys, "--key", str(tmp_path / "key.der"))


def test_a_file_that_does_not_exist_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "can't be read: No such file" in refusal(tmp_path / "none.zip", capsys)
