"""Fills a template. Values are data: they are escaped, and what can't be seen in them is spelled out.

Commit messages, logs and templates of others reach these pages. Autoescaping keeps their markup from being markup. It
does not touch control characters, which no HTML file may hold, nor those that reorder text for the eye (U+202E and its
kind; see Boucher and Anderson, "Trojan Source: Invisible Vulnerabilities", 2021). ``visible`` does.
"""

import unicodedata
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")
JOINERS = "\u200c\u200d"
"""Invisible, but Persian and emoji need them."""


def render(template: Path, **values: object) -> str:
    """The page that ``template`` makes of ``values``.

    Raises ``jinja2.TemplateError``, also when a value that the template asks for is missing.
    """
    return _environment(template.parent).get_template(template.name).render(values)


def visible(value: Any) -> Any:
    """``value`` with its invisible characters as Python spells them: ``\\x1b``. Newlines, tabs and spaces stay."""
    if not isinstance(value, str) or hasattr(value, "__html__") or value.isprintable():
        return value
    return "".join(character if _is_visible(character) else _spelled(character) for character in value)


def _is_visible(character: str) -> bool:
    return character.isprintable() or character in "\n\t" + JOINERS or unicodedata.category(character) == "Zs"


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


@cache
def _environment(folder: Path) -> "Environment":
    # Imported here: it takes 0.3 s, and most commands that could write a page write none.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
