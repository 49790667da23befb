"""The one artefact of all functions: ``lambdas/`` with its pinned dependencies. Every machine builds the same bytes."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from aws_cdk import aws_lambda as lambda_
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "lambdas"
PYTHON_VERSION = "3.14"

# Files that differ between machines, or that production does not need.
_NOISE = ("__pycache__", "*.pyc", "*.in", "requirements.txt", "tests")
_INSTALLER_NOISE = ("bin", ".lock", "*.dist-info/RECORD", "*.dist-info/INSTALLER", "*.dist-info/REQUESTED")


def functions_asset() -> lambda_.Code:
    """The artefact as CDK code. Its hash is computed from the files, so it changes only with them."""
    return lambda_.Code.from_asset(str(bundle()))


def rules_version() -> str:
    """The version of the fraud rules in the artefact, as ``lambdas.payments.rules`` computes it."""
    rules = bundle() / SOURCE.name / "payments" / "fraud_rules.json"
    return hashlib.sha256(rules.read_bytes()).hexdigest()[:10]


@cache
def bundle() -> Path:
    """Build the artefact unless it is cached. Returns its folder.

    Raises ``subprocess.CalledProcessError`` when a dependency can't be installed.
    """
    return built_once(_digest(), _build)


def built_once(sources: str, build: Callable[[Path], None]) -> Path:
    """The folder that ``build`` fills, or the one that an earlier build from the same ``sources`` (a hash) left.

    Artefacts are cached in the user's cache folder, so environments and runs share them. The name of each has the hash
    of its content. One that was changed since is deleted and built again, because it would be deployed.
    """
    cached = cache_folder()
    cached.mkdir(parents=True, exist_ok=True)
    for folder in sorted(cached.glob(f"{sources}-*")):
        if folder.name == f"{sources}-{_content(folder)}":
            return folder
        sys.stderr.write(f"The cached artefact was changed, and is built again: {folder}\n")
        shutil.rmtree(folder)
    with tempfile.TemporaryDirectory(dir=cached) as work:
        built = Path(work) / "bundle"
        build(built)
        # Lambda's user must be able to read the files, whatever the umask of this process is.
        for path in (built, *built.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        folder = cached / f"{sources}-{_content(built)}"
        # Another process may have built the same artefact in the meantime.
        if not folder.is_dir():
            built.rename(folder)
    return folder


def _content(folder: Path) -> str:
    """Hash of what will be packed: names, modes and content of all files."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(f"{path.relative_to(folder)}\0{path.lstat().st_mode:o}\0".encode())
        if path.is_symlink():
            digest.update(os.fsencode(path.readlink()))
        elif path.is_file():
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:32]


def _build(folder: Path) -> None:
    _install_dependencies(folder)
    shutil.copytree(SOURCE, folder / SOURCE.name, ignore=shutil.ignore_patterns(*_NOISE))


def _install_dependencies(target: Path) -> None:
    """Install pure-Python packages only, because others depend on the machine. Checks the hashes of the lock file."""
    command = [find_uv_bin(), "pip", "install", "--quiet", "--target", str(target)]
    command += ["--require-hashes", "--only-binary", ":all:", "--python-version", PYTHON_VERSION]
    command += ["--link-mode", "copy", "--requirement", str(SOURCE / "requirements.txt")]
    subprocess.run(command, check=True, env={**os.environ, "UV_SYSTEM_CERTS": "true"})
    for pattern in _INSTALLER_NOISE:
        for path in target.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _digest() -> str:
    """Hash of the bundle's sources: this module and all files under ``lambdas/``."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(SOURCE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(SOURCE)).encode() + b"\0")
            digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:32]


def cache_folder() -> Path:
    own = Path(os.environ.get("HOME") or ROOT) / ".cache"  # a container's uid may have no home
    return Path(os.environ.get("XDG_CACHE_HOME") or own) / "payment-pipeline" / "functions"
