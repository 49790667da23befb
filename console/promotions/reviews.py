"""The reviews of two promotions. One is made once: what a promotion was synthesised to does not change."""

import zipfile
import zlib
from pathlib import Path
from typing import IO

from console.actions import Actions
from console.promotions.model import NotFound

SOURCE, ASSEMBLY = "source", "cdk.out"
"""What a promotion has checked out and synthesised, in its folder."""


MOST_BYTES = 512 * 2**20
"""Of what an archive holds. The commit's own code has written it."""


class Reviews:
    """Keeps them in ``folder``."""

    def __init__(self, folder: Path, actions: Actions) -> None:
        self._folder, self._actions = folder, actions

    def file(self, base: str, head: str) -> Path:
        """Of the promotions with these ids, which are names of files. It need not exist."""
        return self._folder / f"{base}--{head}.html"

    def write(self, file: Path, base: Path, head: Path, name: str) -> Path:
        """Review the promotions in the folders ``base`` and ``head``. ``name``: of the base.

        Raises ``NotFound`` with the reason if there is no review, ``OSError`` and ``SubprocessError``.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        said = self._actions.output("console.promotions.comparison", str(base), str(head), name, str(file))
        if not file.exists():
            raise NotFound("\n".join(said) or "not compared")
        return file


def unpack(packed: IO[bytes], folder: Path) -> None:
    """Write the files of a zip into ``folder``. Raises ``NotFound`` for one that is none, or too large."""
    try:
        with zipfile.ZipFile(packed) as archive:
            if sum(each.file_size for each in archive.infolist()) > MOST_BYTES:
                raise NotFound(f"{folder.name} is larger than {MOST_BYTES:,} bytes")
            archive.extractall(folder)  # it writes no name outside of the folder, and no more than each entry says
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error) as error:
        raise NotFound(f"{folder.name} can't be unpacked: {error}") from error
