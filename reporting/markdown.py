"""Text of others in Markdown: as a code span, or escaped."""

import re

from reporting.text import visible


def code(text: str) -> str:
    """A code span that ``text`` can't end."""
    text = visible(" ".join(text.split()))
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def prose(text: str) -> str:
    """``text`` escaped: no Markdown, no HTML, and no mention that would notify a person."""
    text = visible(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", text).replace("@", "@<!-- -->")
