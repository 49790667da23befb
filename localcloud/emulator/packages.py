"""The packages of the functions, extracted once and not for each environment.

Extracting a package and compiling its modules is a large part of the start of an environment. The environments of a
package share one folder. On Lambda it is read-only; here no function may write into it.
"""

import hashlib
import os
import tempfile
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime

_extracting = threading.Lock()


class _Package(zipfile.ZipFile):
    """A package of which an environment gets links to the shared files."""

    def extractall(self, path: Any = None, *args: Any, **kwargs: Any) -> None:
        for entry in _shared(self).iterdir():
            os.symlink(entry, os.path.join(path, entry.name))


def _shared(package: zipfile.ZipFile) -> Path:
    """The folder of ``package``, which is made for its first environment."""
    content = hashlib.sha256(Path(str(package.filename)).read_bytes()).hexdigest()
    folder = Path(tempfile.gettempdir(), "packages", content)
    with _extracting:
        if not folder.exists():
            folder.parent.mkdir(exist_ok=True)
            unfinished = tempfile.mkdtemp(dir=folder.parent)
            zipfile.ZipFile.extractall(package, unfinished)
            os.rename(unfinished, folder)
    return folder


# ``Worker._spawn``, whose source is pinned (``workers``), extracts with this module.
lambda_runtime.zipfile = SimpleNamespace(**vars(zipfile) | {"ZipFile": _Package})
