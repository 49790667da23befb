"""Values of a template as a person reads them: references by the construct's path, joined text as one text."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.review.templates.stack import Stack

PATH = "aws:cdk:path"
OWN = re.compile(r"/(Resource|Default)$")
"""The last part of a path that only says: the resource of this construct."""
PLACEHOLDER = re.compile(r"\$\{([^!}.]+)(\.[^}]+)?\}")


def names(stack: Stack) -> dict[str, str]:
    """By logical id, the construct's path below the stack; two resources never have the same name."""
    paths = {
        id: OWN.sub("", resource.get("Metadata", {}).get(PATH, id)).removeprefix(f"{stack.path}/")
        for id, resource in stack.resources.items()
    }
    count = Counter(paths.values())
    return {id: path if count[path] == 1 else f"{path} [{id}]" for id, path in paths.items()}


def plain(value: Any, names: Mapping[str, str]) -> Any:
    """``value`` with its intrinsic functions spelled out, as far as text can, and JSON within text as what it holds."""
    match value:
        case {"Ref": str(id)}:
            return f"${{{names.get(id, id)}}}"
        case {"Fn::GetAtt": [str(id), str(attribute)]}:
            return f"${{{names.get(id, id)}.{attribute}}}"
        case {"Fn::GetAtt": str(both)}:
            id, _, attribute = both.partition(".")
            return f"${{{names.get(id, id)}.{attribute}}}"
        case {"Fn::Join": [str(separator), list(parts)]}:
            return _parsed(separator.join(_text(plain(part, names)) for part in parts))
        case {"Fn::Sub": str(text)}:
            return _parsed(
                PLACEHOLDER.sub(lambda m: f"${{{names.get(m.group(1), m.group(1))}{m.group(2) or ''}}}", text)
            )
        case dict():
            return {key: plain(each, names) for key, each in value.items()}
        case list():
            return [plain(each, names) for each in value]
        case str():
            # What looks like a reference and is none, is written as Fn::Sub would have it.
            return _parsed(value.replace("${", "${!"))
        case _:
            return value


def references(value: Any) -> Iterator[str]:
    """The logical ids that ``value`` refers to."""
    match value:
        case {"Ref": str(id)} | {"Fn::GetAtt": [str(id), *_]}:
            yield id
        case {"Fn::GetAtt": str(both)}:
            yield both.partition(".")[0]
        case {"Fn::Sub": [str(text), variables]}:
            yield from references({"Fn::Sub": text})
            yield from references(variables)
        case {"Fn::Sub": str(text)}:
            yield from (match.group(1) for match in PLACEHOLDER.finditer(text))
        case dict():
            for each in value.values():
                yield from references(each)
        case list():
            for each in value:
                yield from references(each)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _parsed(text: str) -> Any:
    """JSON that a property holds as text (a dashboard, a build specification) is compared by its parts."""
    if text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            pass
    return text
