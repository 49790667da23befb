"""A changed bundle is refused, and the first file that does not match is named."""

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.evidence.__main__ import main
from pipeline.evidence.verify import LIMIT

from .conftest import Released
from .fake_aws import FakeAws

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


def test_a_bundle_with_two_files_of_one_name_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(bundle, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("reports/gate.json", "{}")
    assert refusal(bundle, capsys) == "reports/gate.json is in the bundle twice\n"


def test_a_manifest_of_another_format_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def encrypted(data: bytes) -> bytes:
    """``data`` with the encryption flag set in the first file's two headers."""
    changed = bytearray(data)
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        changed[data.index(header) + flags] |= 1
    return bytes(changed)


def packed(method: int) -> Callable[[bytes], bytes]:
    """A bundle whose damaged files use another compression method than the pipeline's."""

    def change(data: bytes) -> bytes:
        target = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(target, "w", method) as archive:
            for name in before.namelist():
                archive.writestr(name, before.read(name))
        changed = bytearray(target.getvalue())
        changed[60:70] = bytes(10)
        return bytes(changed)

    return change


def badly_named(data: bytes) -> bytes:
    """A bundle with an invalid file name that is marked as UTF-8."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("\N{LATIN SMALL LETTER A WITH DIAERESIS}", b"")
    return target.getvalue().replace("\N{LATIN SMALL LETTER A WITH DIAERESIS}".encode(), b"\xff\xff")


def huge(data: bytes) -> bytes:
    """A small file that unpacks to more than a bundle may hold."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("first", "second"):
            archive.writestr(name, bytes(LIMIT // 2 + 1))
    return target.getvalue()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (encrypted, "manifest.json is damaged: "),
        (packed(zipfile.ZIP_LZMA), "manifest.json is packed with an unknown method"),
        (packed(zipfile.ZIP_BZIP2), "manifest.json is packed with an unknown method"),
        (badly_named, "this is no zip file, or a damaged one"),
        (huge, "second is too long"),
        (lambda data: bytes(LIMIT + 1), "this is no bundle: it has more than"),
    ],
)
def test_a_file_that_is_no_bundle_is_refused_in_one_sentence(
    bundle: Path, change: Callable[[bytes], bytes], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle.write_bytes(change(bundle.read_bytes()))
    assert refusal(bundle, capsys).startswith(said)


@pytest.mark.parametrize(
    "said",
    [
        {"commit": None},
        {"created": 0},
        {"promotion": {"engine": "local"}},
        {"approvals": ["ann"]},
        {"release": []},
        {"signature": "x"},
        {"signature": {}},
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
        said = json.loads(files["manifest.json"])
        said["shift"] = "promoted\n  signed    with arn:aws:kms\x1b[8m\u202e"
        files["manifest.json"] = json.dumps(said).encode()

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
    assert refusal(bundle, capsys).startswith(r"\x1b[2J\nprod.zip: whole was added")


def test_a_missing_file_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "can't be read: No such file" in refusal(tmp_path / "none.zip", capsys)
