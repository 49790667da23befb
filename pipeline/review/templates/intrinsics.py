"""CloudFormation's intrinsic functions as readable text: a reference shows the construct's path, a join its whole text.

Source: CloudFormation user guide, "Intrinsic function reference".
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipeline.assembly import PLACEHOLDER
from pipeline.review.templates.stack import Stack

PATH = "aws:cdk:path"
OWN = re.compile(r"/(Resource|Default)$")
"""The last part of a path. It says only that this is the construct's own resource."""


def construct_names(stack: Stack) -> dict[str, str]:
    """The construct's path below the stack, by logical id. Two resources never get the same name."""
    paths = {
        id: OWN.sub("", resource.get("Metadata", {}).get(PATH, id)).removeprefix(f"{stack.path}/")
        for id, resource in stack.resources.items()
    }
    count = Counter(paths.values())
    return {id: path if count[path] == 1 else f"{path} [{id}]" for id, path in paths.items()}


def readable(value: Any, names: Mapping[str, str]) -> Any:
    """``value`` with its intrinsic functions as text, where that is possible, and with JSON strings parsed.

    ``names``: the names of constructs by logical id.
    """
    match value:
        case {"Ref": str(id)}:
            return f"${{{names.get(id, id)}}}"
        case {"Fn::GetAtt": [str(id), str(attribute)]}:
            return f"${{{names.get(id, id)}.{attribute}}}"
        case {"Fn::GetAtt": str(both)}:
            id, _, attribute = both.partition(".")
            return f"${{{names.get(id, id)}.{attribute}}}"
        case {"Fn::Join": [str(separator), list(parts)]}:
            return _parsed(separator.join(_text(readable(part, names)) for part in parts))
        case {"Fn::Sub": str(text)}:
            return _parsed(
                PLACEHOLDER.sub(lambda m: f"${{{names.get(m.group(1), m.group(1))}{m.group(2) or ''}}}", text)
            )
        case dict():
            return {key: readable(each, names) for key, each in value.items()}
        case list():
            return [readable(each, names) for each in value]
        case str():
            # This looks like a reference but is plain text: it is written as Fn::Sub escapes it.
            return _parsed(value.replace("${", "${!"))
        case _:
            return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _parsed(text: str) -> Any:
    """``text``, parsed if it is JSON. Then the parts of a dashboard or a build specification can be compared."""
    if text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            pass
    return text
