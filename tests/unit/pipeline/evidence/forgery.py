"""Changes of a bundle, as a forger makes them, and what `verify` says of the result."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.evidence.__main__ import main
from pipeline.evidence.bundle import MANIFEST, zipped

Files = dict[str, bytes]


def rewrite(bundle: Path, change: Callable[[Files], object]) -> None:
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    bundle.write_bytes(zipped(files))


def refusal(bundle: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    capsys.readouterr()
    assert main(["verify", str(bundle), *more]) == 1
    return capsys.readouterr().err.removeprefix(f"{bundle}: ")


def says(**said: object) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        files[MANIFEST] = json.dumps(json.loads(files[MANIFEST]) | said).encode()

    return change


def listed(name: str, content: bytes) -> Callable[[Files], None]:
    """Another file, which the manifest lists with its hash."""

    def change(files: Files) -> None:
        files[name] = content
        manifest = json.loads(files[MANIFEST])
        manifest["files"][name] = hashlib.sha256(content).hexdigest()
        files[MANIFEST] = json.dumps(manifest).encode()

    return change


def reports(name: str, **said: object) -> Callable[[Files], None]:
    """Another report, which the manifest lists with its hash."""
    file = f"reports/{name}.json"
    return lambda files: listed(file, json.dumps(json.loads(files[file]) | said).encode())(files)


def without(*names: str) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        manifest = json.loads(files[MANIFEST])
        for name in names or tuple(manifest["files"]):
            del files[name], manifest["files"][name]
        files[MANIFEST] = json.dumps(manifest).encode()

    return change
