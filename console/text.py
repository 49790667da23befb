"""Text of others, made ready for a page: no escape sequence, no card number, no line without end.

The templates escape it as well. This is about what no escaping takes away.
"""

import re

from lambdas.payments.card_text import mask_card_numbers
from reporting.text import visible

LONGEST_LINE = 2_000
"""Characters of a line that are shown."""
MOST_LINES = 500
"""Lines of a log that are shown, from its end."""

_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, the cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # OSC, DCS, SOS, PM, APC: title, clipboard, links
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
"""ECMA-48, 5th edition, clause 5; xterm's "Control Sequences" for OSC ended by BEL."""


def line(text: str) -> str:
    """One line, safe to show: what a terminal would have left of it."""
    beyond = max(0, len(text) - 4 * LONGEST_LINE)
    text = _SEQUENCE.sub("", text[: 4 * LONGEST_LINE].partition("\n")[0]).rstrip()
    if beyond:  # the begin of a card number, behind more escape sequences than are read
        text = text.rstrip("0123456789 -")
    text = text.rpartition("\r")[2]  # a progress bar writes over itself
    text = mask_card_numbers(text)  # before the cut, behind which the rest of a number would be missing
    more = len(text) + beyond - LONGEST_LINE
    return visible(text[:LONGEST_LINE]) + (f" … {more} more characters" if more > 0 else "")


def paragraph(text: str) -> str:
    """Some lines, each as ``line`` shows it."""
    return "\n".join(line(each) for each in text.splitlines()[:MOST_LINES])
