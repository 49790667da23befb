"""The functions' one artefact: ``lambdas/`` and its pinned dependencies, built once, the same bytes everywhere."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from aws_cdk import aws_lambda as lambda_
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "lambdas"
PYTHON_VERSION = "3.14"

# What differs between machines or is of no use in production.
_NOISE = ("__pycache__", "*.pyc", "*.in", "requirements.txt", "tests")
_INSTALLER_NOISE = ("bin", ".lock", "*.dist-info/RECORD", "*.dist-info/INSTALLER", "*.dist-info/REQUESTED")


def functions_asset() -> lambda_.Code:
    """The artefact as CDK code; its hash is that of the files, so it changes only when they do."""
    return lambda_.Code.from_asset(str(bundle()))


@cache
def bundle() -> Path:
    """Build the artefact, or find it built, and return its folder.

    Bundles are kept under the user's cache folder by the hash of what goes in, so neither further environments nor
    further runs build again. Raises ``subprocess.CalledProcessError`` when a dependency can't be installed.
    """
    folder = _cache_folder() / _digest()
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        built = Path(work) / "bundle"
        _install_dependencies(built)
        shutil.copytree(SOURCE, built / SOURCE.name, ignore=shutil.ignore_patterns(*_NOISE))
        # Another process may have been faster: both built the same, so either will do.
        if not folder.is_dir():
            built.rename(folder)
    return folder


def _install_dependencies(target: Path) -> None:
    """Pure Python only (no wheel for one machine), with the hashes of the lock file."""
    command = [find_uv_bin(), "pip", "install", "--quiet", "--target", str(target)]
    command += ["--require-hashes", "--only-binary", ":all:", "--python-version", PYTHON_VERSION]
    command += ["--link-mode", "copy", "--requirement", str(SOURCE / "requirements.txt")]
    subprocess.run(command, check=True, env={**os.environ, "UV_SYSTEM_CERTS": "true"})
    for pattern in _INSTALLER_NOISE:
        for path in target.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _digest() -> str:
    """Hash of everything that decides the bundle: this module and all files under ``lambdas/``."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(SOURCE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(SOURCE)).encode() + b"\0")
            digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:32]


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "payment-pipeline" / "functions"
