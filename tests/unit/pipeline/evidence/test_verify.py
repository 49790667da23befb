"""A changed bundle is refused, and the first file that does not match is named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.evidence.__main__ import main
from pipeline.evidence.bundle import MANIFEST

from .fake_aws import FakeAws
from .forgery import Files, refusal, reports, rewrite, says


def test_an_unchanged_bundle_is_whole_and_reported_as_unsigned(
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


def test_a_manifest_of_another_format_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def newer(files: Files) -> None:
        files["manifest.json"] = json.dumps(json.loads(files["manifest.json"]) | {"format": 3}).encode()

    rewrite(bundle, newer)
    assert "is of format 3" in refusal(bundle, capsys)


def test_damage_is_found(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray(bundle.read_bytes())
    data[100] ^= 1
    bundle.write_bytes(data)
    assert refusal(bundle, capsys).startswith("manifest.json is damaged")
    bundle.write_bytes(data[:500])
    assert refusal(bundle, capsys).startswith("this is no zip file, or a damaged one")


def test_an_unsigned_bundle_is_refused_when_a_key_is_given(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key.der").write_bytes(FakeAws().public_key)
    assert "manifest.sig is missing: nothing in the bundle is signed" in refusal(
        bundle, capsys, "--key", str(tmp_path / "key.der")
    )


def test_a_file_that_holds_no_key_is_reported(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key.der").write_bytes(b"no key")
    assert "the file is no public key in DER" in refusal(bundle, capsys, "--key", str(tmp_path / "key.der"))


def test_files_in_another_order_are_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def turn(files: Files) -> None:
        for name in sorted(files, reverse=True):
            files[name] = files.pop(name)

    rewrite(bundle, turn)
    assert refusal(bundle, capsys) == "the files are not in the order of `collect`\n"


def test_a_manifest_with_a_name_that_stands_twice_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def forge(files: Files) -> None:
        files[MANIFEST] = files[MANIFEST].replace(b'"gate": "pass"', b'"gate": "fail", "gate": "pass"')

    rewrite(bundle, forge)
    assert refusal(bundle, capsys) == "manifest.json is missing, or is no manifest\n"


@pytest.mark.parametrize(
    "said",
    [
        {"commit": None},
        {"commit": "main"},
        {"created": "yesterday"},
        {"created": "2020-01-01T00:00:00+00:00"},
        {"environment": "pr\N{CYRILLIC SMALL LETTER O}d"},
        {"approvals": [{"step": "", "by": "", "at": ""}]},
        {"approvals": [{"step": "PromoteToTest", "by": "ann", "at": "9999-01-01T00:00:00+00:00"}]},
        {"signature": {"key": "x", "algorithm": "none", "file": "manifest.sig"}},
        {"source": None},
        {"source": {"author": 1}},
        {"created": 0},
        {"promotion": {"engine": "local"}},
        {"approvals": ["ann"]},
        {"release": []},
        {"signature": "x"},
        {"signature": {}},
        {"failure": ""},
        {"failure": " "},
        {"files": ["findings.json"]},
        {"files": {"findings.json": 1}},
    ],
)
def test_a_manifest_of_another_shape_is_no_manifest(
    bundle: Path, said: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    def reshape(files: Files) -> None:
        files["manifest.json"] = json.dumps(json.loads(files["manifest.json"]) | said).encode()

    rewrite(bundle, reshape)
    assert refusal(bundle, capsys) == "manifest.json is missing, or is no manifest\n"


def test_a_bundle_cannot_hide_parts_of_the_output(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Given a manifest with control characters that add a line and erase the last one
    def hide(files: Files) -> None:
        shift = "promoted\n  signed    with arn:aws:kms\x1b[8m\u202e"
        reports("outcome", text=shift)(files)
        says(shift=shift)(files)

    rewrite(bundle, hide)
    # When
    assert main(["verify", str(bundle)]) == 0
    # Then
    lines = capsys.readouterr().out.splitlines()
    assert r"  shift     promoted\n  signed    with arn:aws:kms\x1b[8m\u202e" in lines
    assert lines[-1].startswith("  unsigned: ")
    assert not any(line.startswith("  signed") for line in lines)


def test_a_name_in_a_refusal_is_escaped(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(bundle, lambda files: files.update({"\x1b[2J\nprod.zip: whole": b""}))
    assert refusal(bundle, capsys).startswith(r"'\x1b[2J\nprod.zip: whole' is no name of a file")


def test_a_missing_file_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "can't be read: No such file" in refusal(tmp_path / "none.zip", capsys)
