"""Fills a template. Values are data: they are escaped, and what can't be seen in them is spelled out.

Commit messages, logs and templates of others reach these pages. Autoescaping keeps their markup from being markup. It
does not touch control characters, which no HTML file may hold, nor those that reorder text for the eye.
``reporting.text.visible`` does.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reporting.text import visible

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")


def render(template: Path, **values: object) -> str:
    """The page that ``template`` makes of ``values``.

    Raises ``jinja2.TemplateError``, also when a value that the template asks for is missing.
    """
    return _environment(template.parent).get_template(template.name).render(values)


def _finished(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


@cache
def _environment(folder: Path) -> "Environment":
    # Imported here: it takes 0.3 s, and most commands that could write a page write none.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finished,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
