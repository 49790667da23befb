"""Zips as tests need them."""

import io
import zipfile


def archive(**files: str) -> bytes:
    """A zip of these files: names and contents."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    return content.getvalue()
