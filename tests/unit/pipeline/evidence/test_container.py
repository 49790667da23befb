"""A bundle has one form of zip, which every program unpacks to the same files."""

import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.evidence.bundle import zipped
from pipeline.evidence.container import LIMIT, MOST_FILES, read

from .forgery import listed, refusal, rewrite


def test_a_bundle_with_two_files_of_one_name_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(bundle, "a", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")
        archive.writestr("reports/gate.json", "{}")
    assert refusal(bundle, capsys) == "reports/gate.json is in the bundle twice\n"


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
    rewrite(bundle, listed(name, b"{}"))
    assert "is no name of a file in a bundle" in refusal(bundle, capsys)


def test_a_file_that_is_a_folder_too_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(bundle, listed("Reports", b"{}"))
    assert refusal(bundle, capsys) == "reports is a file and a folder\n"


def test_names_that_are_one_file_on_other_systems_are_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(bundle, lambda files: files.update({"Reports/Gate.json": b"{}"}))
    assert refusal(bundle, capsys) == "Reports/Gate.json is in the bundle twice\n"
