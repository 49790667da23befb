"""Where two values differ, path by path."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

Sign = Literal["+", "-", "!", " "]

MISSING: Any = object()
HASH = re.compile(r"[0-9a-f]{32,64}")
ASSETS = re.compile(
    r"(^|\.)(S3Key|S3ObjectKey|ImageUri|TemplateURL|SourceObjectKeys\[\d*\]"
    r"|EnvironmentVariables\[_PROJECT_CONFIG_HASH\]\.value)$"
)
"""Paths where CDK names an asset by its hash. Elsewhere a hash may pin a version, so its change is shown in full."""
KEYS = ("Key", "Name", "Id", "Sid", "name", "id")
"""Keys that identify the elements of a list, if each element has one."""
LONG = 60


@dataclass(frozen=True)
class Detail:
    """A line with its sign: added, removed, changed, or explained."""

    sign: Sign
    text: str
    alarming: bool = False
    """The report shows it first, such as a wildcard or a port that is open to everyone."""


@dataclass(frozen=True)
class Difference:
    """``before`` or ``after`` is ``MISSING`` if only the other side has a value."""

    path: str
    """Such as ``Rules[RateLimit].Priority``."""
    before: Any
    after: Any

    @property
    def only_hash(self) -> bool:
        """Whether only the hash of an asset has changed."""
        return (
            bool(ASSETS.search(self.path))
            and isinstance(self.before, str)
            and isinstance(self.after, str)
            and HASH.sub("#", self.before) == HASH.sub("#", self.after)
        )

    @property
    def sign(self) -> Sign:
        return "+" if self.before is MISSING else "-" if self.after is MISSING else "!"

    def __str__(self) -> str:
        if self.only_hash:
            return f"{self.path}: content changed (only its hash differs)"
        if self.before is MISSING:
            return f"{self.path}: {spell(self.after)}"
        if self.after is MISSING:
            return f"{self.path}: {spell(self.before)}"
        before, after = _around(spell(self.before), spell(self.after))
        return f"{self.path}: {before} → {after}"


def differences(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """The smallest parts that differ."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            below = f"{path}.{key}" if path else key
            yield from differences(before.get(key, MISSING), after.get(key, MISSING), below)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(before, after, path)
    else:
        yield Difference(path, before, after)


def _of_lists(before: list[Any], after: list[Any], path: str) -> Iterator[Difference]:
    if key := _key(before, after):
        old, new = ({each[key]: each for each in side} for side in (before, after))
        for name in dict.fromkeys([*old, *new]):
            yield from differences(old.get(name, MISSING), new.get(name, MISSING), f"{path}[{name}]")
        if [name for name in old if name in new] != [name for name in new if name in old]:
            yield Difference(f"{path} (order)", list(old), list(new))
        return
    a, b = ([json.dumps(each, sort_keys=True) for each in side] for side in (before, after))
    for what, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if what == "replace" and j - i == m - k:
            for old_one, new_one, position in zip(before[i:j], after[k:m], range(k, m), strict=True):
                yield from differences(old_one, new_one, f"{path}[{position}]")
        elif what != "equal":
            yield from (Difference(f"{path}[]", each, MISSING) for each in before[i:j])
            yield from (Difference(f"{path}[]", MISSING, each) for each in after[k:m])


def _key(before: list[Any], after: list[Any]) -> str | None:
    for key in KEYS:
        if all(_named_apart(side, key) for side in (before, after)):
            return key
    return None


def _named_apart(side: list[Any], key: str) -> bool:
    keys = [each.get(key) if isinstance(each, dict) else None for each in side]
    return all(isinstance(each, str) for each in keys) and len(set(keys)) == len(keys)


def spell(value: Any) -> str:
    """``value`` in one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _around(before: str, after: str) -> tuple[str, str]:
    """Cut two long texts to the part that differs, with up to 20 characters around it."""
    if len(before) <= LONG and len(after) <= LONG:
        return before, after
    shorter = min(len(before), len(after))
    head = next((n for n in range(shorter) if before[n] != after[n]), shorter)
    tail = next((n for n in range(shorter - head) if before[-1 - n] != after[-1 - n]), shorter - head)
    start, end = max(0, head - 20), max(0, tail - 20)
    cut = [("…" if start else "") + text[start : len(text) - end] + ("…" if end else "") for text in (before, after)]
    return cut[0], cut[1]
