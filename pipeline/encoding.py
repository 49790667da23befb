"""Output where the terminal's encoding lacks characters. Needs the standard library only."""

import codecs
import io
import sys

_SIMILAR = {
    **{"✓": "+", "✔": "+", "✗": "x", "✘": "x", "◆": "!", "■": "#", "●": "*", "○": "o"},
    **{"…": "~", "→": ">", "←": "<", "≤": "<", "─": "-", "·": "."},
}
"""One character for one, so that columns stay. A mark must not look like another one."""


def _similar(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_SIMILAR.get(character, "?") for character in missing), error.end


codecs.register_error("similar", _similar)


def replace_unencodable_characters() -> None:
    """Replace each character that the terminal's encoding lacks. Without this, such a character ends the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="similar")
