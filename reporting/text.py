"""Text of others, shown as text: commit subjects, logs, answers of AWS, names in templates.

Such text may hold control characters, which a terminal obeys (it moves the cursor, changes the title, writes to the
clipboard), and characters that reorder text for the eye (U+202E and its kind; see Boucher and Anderson, "Trojan Source:
Invisible Vulnerabilities", 2021).
"""

import re
import unicodedata

JOINERS = "\u200c\u200d"
"""Invisible, but Persian and emoji need them."""

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


def visible(text: str) -> str:
    """``text`` with its invisible characters as Python spells them: ``\\x1b``. Newlines, tabs and spaces stay."""
    if text.isprintable():
        return text
    return "".join(character if _is_visible(character) else _spelled(character) for character in text)


def one_line(text: str) -> str:
    """``visible``, with newlines spelled too: for a value that must not look like a line of its own."""
    return visible(text).replace("\n", "\\n")


def printable(text: str) -> str:
    """``visible`` for a terminal: colours, with which tools write their logs, are left out and not spelled."""
    return visible(_COLOUR.sub("", text))


def _is_visible(character: str) -> bool:
    return character.isprintable() or character in "\n\t" + JOINERS or unicodedata.category(character) == "Zs"


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
