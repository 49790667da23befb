"""A changed bundle is refused, and the first file that does not match is named."""

import hashlib
import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from names import Function
from pipeline.evidence.__main__ import main
from pipeline.evidence.bundle import MANIFEST, zipped
from pipeline.evidence.container import LIMIT, MOST_FILES, read

from .conftest import COMMIT, Released
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
    bundle.write_bytes(zipped(files))


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
    with warnings.catch_warnings(), zipfile.ZipFile(bundle, "a", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")
        archive.writestr("reports/gate.json", "{}")
    assert refusal(bundle, capsys) == "reports/gate.json is in the bundle twice\n"


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


def crowded(count: int, claimed: int | None = None) -> Callable[[bytes], bytes]:
    """A zip of so many empty files, whose end claims ``claimed``. From 65,536 files on it has the format ZIP64."""

    def change(_: bytes) -> bytes:
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            for number in range(count):
                archive.writestr(f"{number:05}.json", b"")
        data = target.getvalue()
        return data if claimed is None else data[:-14] + struct.pack("<HH", claimed, claimed) + data[-10:]

    return change


def test_a_bundle_may_have_as_many_files_as_the_limit_says() -> None:
    files = {f"reports/{number}.json": b"{}" for number in range(MOST_FILES)}
    assert read(zipped(files)) == files


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (crowded(MOST_FILES + 1), f"this is no bundle: it lists more than {MOST_FILES} files"),
        (crowded(65_535), f"this is no bundle: it lists more than {MOST_FILES} files"),
        (crowded(65_536), "this is not the zip that `collect` wrote"),
        (crowded(65_535, claimed=1), f"this is no bundle: it lists more than {MOST_FILES} files"),
    ],
)
def test_a_zip_of_too_many_files_is_refused_before_its_directory_is_read(
    bundle: Path,
    change: Callable[[bytes], bytes],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle.write_bytes(change(bundle.read_bytes()))
    monkeypatch.setattr(zipfile.ZipFile, "__init__", lambda *_: pytest.fail("it was read"))
    assert refusal(bundle, capsys).startswith(said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (encrypted, "this is not the zip that `collect` wrote"),
        (packed(zipfile.ZIP_LZMA), "manifest.json is packed with an unknown method"),
        (packed(zipfile.ZIP_BZIP2), "manifest.json is packed with an unknown method"),
        (packed(zipfile.ZIP_STORED), "manifest.json is packed with an unknown method"),
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


@dataclass(frozen=True)
class Parts:
    """A bundle in its parts: the local headers with the data, the central directory, the end."""

    files: bytes
    directory: bytes
    end: bytes

    @classmethod
    def of(cls, data: bytes) -> "Parts":
        *_, size, begin, _ = struct.unpack("<4sHHHHLLH", data[-22:])
        return cls(data[:begin], data[begin : begin + size], data[-22:])

    def whole(self) -> bytes:
        """The zip with an end that fits its parts."""
        head, size, begin, comment = self.end[:12], len(self.directory), len(self.files), self.end[20:]
        return self.files + self.directory + head + struct.pack("<LL", size, begin) + comment


def hidden(data: bytes) -> bytes:
    """A file between the others that only a streaming reader finds."""
    secret = Parts.of(zipped({"hidden.json": b"{}"}))
    parts = Parts.of(data)
    return replace(parts, files=parts.files + secret.files).whole()


def with_first_header(data: bytes, offset: int, value: bytes) -> bytes:
    """``value`` in the header that a streaming reader follows. The directory still has the former one."""
    return data[:offset] + value + data[offset + len(value) :]


def linked(data: bytes) -> bytes:
    """The first entry of the directory is a symbolic link to whoever unpacks it under Unix."""
    parts = Parts.of(data)
    mode = struct.pack("<L", 0o120777 << 16)
    return replace(parts, directory=parts.directory[:38] + mode + parts.directory[42:]).whole()


def commented(data: bytes) -> bytes:
    target = io.BytesIO(data)
    with zipfile.ZipFile(target, "a") as archive:
        archive.comment = b"trust me"
    return target.getvalue()


def streamed(data: bytes) -> bytes:
    """The same files as a pipe would get them: with their sizes after the data."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.written = b""

        def writable(self) -> bool:
            return True

        def write(self, part: Any) -> int:
            self.written += bytes(part)
            return len(part)

    pipe = Pipe()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in before.namelist():
            archive.writestr(name, before.read(name))
    return pipe.written


@pytest.mark.parametrize(
    "change",
    [
        hidden,
        linked,
        commented,
        streamed,
        lambda data: b"#!/bin/sh\n" + data,
        lambda data: data + b"more",
        lambda data: data + data,
        lambda data: with_first_header(data, 30, b"another.json"),
        lambda data: with_first_header(data, 10, b"\x01\x02"),
        lambda data: with_first_header(data, 6, b"\x08"),
        lambda data: with_first_header(data, 22, b"\x00\x00\x00\x00"),
    ],
)
def test_a_zip_that_other_programs_would_read_otherwise_is_refused(
    bundle: Path, change: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle.write_bytes(change(bundle.read_bytes()))
    assert refusal(bundle, capsys).startswith(("this is not the zip that `collect` wrote", "manifest.json is damaged"))


@pytest.mark.parametrize(
    "name",
    ["../outside", "/etc/passwd", "reports/../../x", "reports//x", "reports/", "C:\\x", "reports\\gate.json", ".hidden",
     "a/.hidden", "reports/gate.json.", "reports./gate.json", "nul", "reports/Con.json",
     "com1", "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "a b", "x\x1b[2J", ""],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(bundle: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    def add(files: Files) -> None:
        files[name] = b"{}"
        said = json.loads(files[MANIFEST])
        said["files"][name] = hashlib.sha256(b"{}").hexdigest()
        files[MANIFEST] = json.dumps(said).encode()

    rewrite(bundle, add)
    assert "is no name of a file in a bundle" in refusal(bundle, capsys)


def test_a_file_that_is_a_folder_too_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(bundle, listed("Reports", b"{}"))
    assert refusal(bundle, capsys) == "reports is a file and a folder\n"


def test_names_that_are_one_file_on_other_systems_are_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(bundle, lambda files: files.update({"Reports/Gate.json": b"{}"}))
    assert refusal(bundle, capsys) == "Reports/Gate.json is in the bundle twice\n"


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


def says(**said: object) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        files[MANIFEST] = json.dumps(json.loads(files[MANIFEST]) | said).encode()

    return change


def reports(name: str, **said: object) -> Callable[[Files], None]:
    """Another report, which the manifest lists with its hash."""

    def change(files: Files) -> None:
        file = f"reports/{name}.json"
        files[file] = json.dumps(json.loads(files[file]) | said).encode()
        manifest = json.loads(files[MANIFEST])
        manifest["files"][file] = hashlib.sha256(files[file]).hexdigest()
        files[MANIFEST] = json.dumps(manifest).encode()

    return change


def listed(name: str, content: bytes) -> Callable[[Files], None]:
    """Another file, which the manifest lists with its hash."""

    def change(files: Files) -> None:
        files[name] = content
        manifest = json.loads(files[MANIFEST])
        manifest["files"][name] = hashlib.sha256(content).hexdigest()
        files[MANIFEST] = json.dumps(manifest).encode()

    return change


def twice(name: str, once: bytes, both: bytes) -> Callable[[Files], None]:
    return lambda files: listed(name, files[name].replace(once, both))(files)


def about_another_commit(files: Files) -> None:
    listed("checks.json", files["checks.json"].replace(COMMIT.encode(), b"f" * 40))(files)


def without(*names: str) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        manifest = json.loads(files[MANIFEST])
        for name in names or tuple(manifest["files"]):
            del files[name], manifest["files"][name]
        files[MANIFEST] = json.dumps(manifest).encode()

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (says(environment="prod", approvals=[]), "prod requires an approval, and the bundle has none"),
        (says(gate="fail"), "the gate's verdict is 'fail', and the bundle calls it no failure"),
        (without(), "findings.json is missing: without it, the bundle proves nothing"),
        (without("reports/gate.json"), "reports/gate.json is missing: without it"),
        (without("reports/outcome.json"), "reports/outcome.json is missing: without it"),
        (reports("gate", verdict="fail"), "reports/gate.json says 'fail', and manifest.json 'pass'"),
        (reports("gate", environment="dev"), "reports/gate.json is about dev, not about test"),
        (reports("outcome", exit_code=1), "the shift failed (promoted: version 2 is stable)"),
        (
            reports("outcome", text="rolled back"),
            "reports/outcome.json says 'rolled back', and manifest.json 'promoted",
        ),
        (says(traffic={"sent": 100, "lost": 0, "wrong": 1}), "reports/traffic.json counts other requests"),
        (reports("traffic", lost=9), "reports/traffic.json counts other requests"),
        (reports("traffic", environment="dev"), "reports/traffic.json is about dev, not about test"),
        (says(release=None), "reports/outcome.json is of another release than manifest.json"),
        (says(release={"id": "x", "commit": None}), "reports/outcome.json is of another release than manifest.json"),
        (reports("outcome", release={}), "reports/outcome.json is of another release than manifest.json"),
        (reports("outcome", release=[1]), "reports/outcome.json is no report"),
        (says(shift="promoted: version 9 is stable"), "reports/outcome.json says 'promoted: version 2 is stable'"),
        # The gate of an older run, with its verdict
        (reports("gate", versions={each.path: {"1": 100} for each in Function}), "reports/gate.json is of another"),
        (reports("gate", versions={}), "reports/gate.json is of another release: version none answered /validate"),
        (reports("gate", versions=[]), "reports/outcome.json is no report"),
        (reports("outcome", command="rollback"), "reports/outcome.json is of the command 'rollback', not of a shift"),
        (reports("release", release_id="x"), "reports/release.json is of another release than reports/outcome.json"),
        (without("reports/release.json"), "reports/release.json is missing"),
        (without("reports/traffic.json"), "reports/traffic.json is missing"),
        (without("reports/gate.junit.xml"), "reports/gate.junit.xml is missing"),
        (says(traffic=None), "reports/traffic.json counts other requests"),
        (says(gate="fail", failure="x"), "the gate did not pass, and manifest.json tells of a shift"),
        (
            twice("reports/gate.json", b'"verdict": "pass"', b'"verdict": "fail", "verdict": "pass"'),
            "reports/gate.json is no",
        ),
        (says(acknowledged_findings=0), "findings.json has 2 findings, and manifest.json tells of another number"),
        (listed("findings.json", b"[]"), "findings.json has 0 findings"),
        (listed("findings.json", b'[{"rule": "x", "reason": " "}]'), "findings.json has a finding without a reason"),
        (listed("findings.json", b"no JSON"), "findings.json is no JSON"),
        (listed("acknowledgements.toml", b"no table"), "acknowledgements.toml is no table"),
        (without("checks.json"), "checks.json is missing"),
        (listed("checks.json", b'{"commit": "x", "checks": {}}'), "checks.json does not say how each check ended"),
        (about_another_commit, f"checks.json is about commit {'f' * 40}"),
    ],
)
def test_a_whole_bundle_that_does_not_prove_a_release_is_refused(
    bundle: Path, change: Callable[[Files], object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(bundle, change)
    assert refusal(bundle, capsys).startswith(said)


def origin(name: str, **changed: object) -> Callable[[Files], None]:
    """Another bill of materials or provenance, which the manifest lists with its hash. Paths such as ``a__0__b``."""

    def change(files: Files) -> None:
        document = json.loads(files[name])
        for path, value in changed.items():
            *above, last = [int(part) if part.isdigit() else part for part in path.split("__")]
            place = document
            for part in above:
                place = place[part]
            place[last] = value
        files[name] = json.dumps(document).encode()
        manifest = json.loads(files[MANIFEST])
        manifest["files"][name] = hashlib.sha256(files[name]).hexdigest()
        files[MANIFEST] = json.dumps(manifest).encode()

    return change


BILL, PROVENANCE, CHECKS = "sbom.cdx.json", "provenance.json", "checks.json"


def changed_builder(old: str, new: str) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        builder = json.loads(files[PROVENANCE])["predicate"]["runDetails"]["builder"]["id"]
        origin(PROVENANCE, **{f"{RUN}__builder__id": builder.replace(old, new)})(files)

    return change


def without_templates(files: Files) -> None:
    """Neither the provenance nor the bundle has templates."""
    subjects = [each for each in json.loads(files[PROVENANCE])["subject"] if "templates/" not in each["name"]]
    origin(PROVENANCE, subject=subjects)(files)
    without(*(name for name in files if name.startswith("templates/")))(files)


SOURCE, RUN = "predicate__buildDefinition", "predicate__runDetails"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without(BILL), f"{BILL} is missing"),
        (without(PROVENANCE), f"{PROVENANCE} is missing"),
        (origin(BILL, metadata__component__version="f" * 40), f"{BILL} is of another artefact, or of another commit"),
        (origin(BILL, metadata__component__hashes__0__content="0" * 64), f"{BILL} is of another artefact"),
        (origin(BILL, components=[]), f"{BILL} is no bill of materials"),
        (origin(BILL, components=[{"name": "pg8000"}]), f"{BILL} is no bill of materials"),
        (origin(BILL, components=["pg8000"]), f"{BILL} is no bill of materials"),
        (origin(BILL, bomFormat="SPDX"), f"{BILL} is no bill of materials"),
        (origin(PROVENANCE, predicateType="x"), f"{PROVENANCE} is of another form"),
        (origin(PROVENANCE, predicate={}), f"{PROVENANCE} is no provenance"),
        (origin(PROVENANCE, subject=[]), f"{PROVENANCE} says another subjects"),
        (origin(PROVENANCE, subject__0__digest__sha256="0" * 64), f"{PROVENANCE} says another subjects"),
        (
            origin(PROVENANCE, **{f"{SOURCE}__resolvedDependencies__0__digest__gitCommit": "f" * 40}),
            f"{PROVENANCE} says another commit",
        ),
        (origin(PROVENANCE, **{f"{SOURCE}__resolvedDependencies": []}), f"{PROVENANCE} is no provenance"),
        (
            origin(PROVENANCE, **{f"{SOURCE}__externalParameters__environment": "prod"}),
            f"{PROVENANCE} says another environment",
        ),
        (origin(PROVENANCE, **{f"{RUN}__metadata__invocationId": "x"}), f"{PROVENANCE} says another promotion"),
        (origin(PROVENANCE, **{f"{RUN}__builder__id": "x#codepipeline"}), f"{PROVENANCE} names two repositories"),
        (changed_builder("#local", "#codepipeline"), f"{PROVENANCE} was written by the code of another commit"),
        (changed_builder(COMMIT, "f" * 40), f"{PROVENANCE} was written by the code of another commit"),
        (says(artefact="0" * 64), f"{BILL} is of another artefact"),
        (says(assembly="0" * 64), f"{PROVENANCE} says another subjects"),
        (says(artefact=1), "manifest.json is missing, or is no manifest"),
        (says(assembly=None), "manifest.json is missing, or is no manifest"),
        (says(artefact=""), "manifest.json is missing, or is no manifest"),
        (says(artefact=None), "manifest.json is missing, or is no manifest"),
        (without_templates, "the templates are missing"),
    ],
)
def test_a_bundle_whose_origin_is_of_something_else_is_refused(
    bundle: Path, change: Callable[[Files], object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(bundle, change)
    assert refusal(bundle, capsys).startswith(said)


def test_a_bundle_from_before_bills_of_materials_is_still_read(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def older(files: Files) -> None:
        without(BILL, PROVENANCE, CHECKS)(files)
        manifest = json.loads(files[MANIFEST])
        del manifest["artefact"], manifest["source"]
        manifest["format"] = 1
        files[MANIFEST] = json.dumps(manifest).encode()

    rewrite(bundle, older)
    assert main(["verify", str(bundle)]) == 0
    assert "artefact" not in capsys.readouterr().out.partition("whole")[2]


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
