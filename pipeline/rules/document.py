"""A file with fraud rules, and the lines of its faults."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambdas.payments.rules import BadRules, Fault, Rules, read

MOST_BYTES = 3072
"""Of the rules without white space. A standard parameter holds 4,096 bytes; the rest is for who, why and when."""
_MOST_FILE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Document:
    """Valid rules, as the file says them."""

    values: dict[str, Any]
    rules: Rules


class Refused(Exception):
    """The file holds no valid rules. Its text has a line for each fault."""


def load(path: Path) -> Document:
    """The rules in the file. Raises ``Refused``."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_FILE_BYTES + 1)
    except OSError as error:
        raise Refused(f"{path}: can't be read: {error.strerror}") from None
    if len(content) > _MOST_FILE_BYTES:
        raise Refused(f"{path}: is larger than {_MOST_FILE_BYTES:,} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise Refused(f"{path}:{line}: is not UTF-8 at byte {error.start}") from None
    try:
        values = read(text)
        rules = Rules.parse(values)
    except BadRules as bad:
        raise Refused("\n".join(f"{path}:{line_of(text, fault)}: {fault}" for fault in bad.faults)) from None
    if (size := len(json.dumps(values, separators=(",", ":")))) > MOST_BYTES:
        raise Refused(f"{path}: its rules have {size:,} bytes without white space; allowed are {MOST_BYTES:,}")
    return Document(values, rules)


def line_of(text: str, fault: Fault) -> int:
    """The line of the innermost name of the fault's path that the text has, counted from 1."""
    if not fault.path and (found := re.search(r"at line (\d+)", fault.message)):
        return int(found[1])
    at = 0
    for name in fault.path:
        places = [
            each.start() for each in re.finditer(re.escape(json.dumps(name)) + r"\s*:", text) if each.start() >= at
        ]
        if not places:
            break
        at = places[1] if "stands twice" in fault.message and len(places) > 1 else places[0]
    return text.count("\n", 0, at) + 1
