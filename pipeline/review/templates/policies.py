"""Policies, statement by statement: what was added, removed, widened or narrowed.

It reads values that ``intrinsics.readable`` has made.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

from pipeline.review.templates.difference import Detail, spell

ALIKE = 0.5
"""From this likeness on, two statements count as one that changed."""
NOT = "not "
"""The prefix of a member that stands for all others (``NotAction``, ``NotResource``, ``NotPrincipal``)."""
KINDS = ("action", "resource", "principal", "condition")
USUAL = "PolicyDocument"
"""The usual path of a policy. The report omits it."""


@dataclass(frozen=True)
class Statement:
    """One statement of a policy. Each part is a set, because order does not matter."""

    effect: str
    actions: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    principals: frozenset[str] = frozenset()
    conditions: frozenset[str] = frozenset()
    sid: str = field(default="", compare=False)

    @property
    def sets(self) -> tuple[frozenset[str], ...]:
        return self.actions, self.resources, self.principals, self.conditions

    @property
    def parts(self) -> frozenset[tuple[str, str]]:
        return frozenset((kind, each) for kind, members in zip(KINDS, self.sets, strict=True) for each in members)

    @property
    def warnings(self) -> list[str]:
        """Parts that allow too much. In a resource's own policy, which has principals, ``*`` is only that resource."""
        if self.effect != "Allow":
            return []
        wide = [each for each in self.actions if each == "*" or each.endswith(":*") or each.startswith(NOT)]
        found = [f"wildcard action {each}" for each in sorted(wide)]
        if not self.principals and self.resources & {"*"}:
            found.append("any resource")
        if any(each in ("*", "AWS *") for each in self.principals) and not self.conditions:
            found.append("anyone")
        return found

    def __str__(self) -> str:
        said = [self.effect]
        if self.principals:
            said.append(f"{_list(self.principals)}:")
        said.append(_list(self.actions))
        if self.resources:
            said.append(f"on {_list(self.resources)}")
        if self.conditions:
            said.append(f"if {' and '.join(sorted(self.conditions))}")
        return " ".join(said)


def documents(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The policy documents within ``value``, with their paths."""
    if is_document(value):
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from documents(each, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for position, each in enumerate(value):
            yield from documents(each, f"{path}[{_name(each, position)}]")


def without_documents(value: Any) -> Any:
    """``value`` without its policy documents, for a comparison of the rest."""
    if isinstance(value, dict):
        return {key: without_documents(each) for key, each in value.items() if not is_document(each)}
    if isinstance(value, list):
        return [without_documents(each) for each in value]
    return value


def is_document(value: Any) -> bool:
    if not isinstance(value, dict) or "Statement" not in value:
        return False
    statements = _many(value["Statement"])
    return not statements or any(isinstance(each, dict) and "Effect" in each for each in statements)


def statements(document: Any) -> list[Statement]:
    return [_statement(each) for each in _many(document["Statement"])] if document else []


def permission(properties: Mapping[str, Any]) -> Statement:
    """An ``AWS::Lambda::Permission`` as the statement that Lambda makes from it."""
    conditions = {key: each for key, each in properties.items() if key not in ("Action", "FunctionName", "Principal")}
    return Statement(
        effect="Allow",
        actions=frozenset({spell(properties.get("Action"))}),
        resources=frozenset({spell(properties.get("FunctionName"))}),
        principals=frozenset({spell(properties.get("Principal"))}),
        conditions=frozenset(f"{key} = {spell(value)}" for key, value in conditions.items()),
    )


def version(before: Any, after: Any, path: str) -> Iterator[Detail]:
    """A changed language version. Before 2012-10-17, a variable such as ``${aws:username}`` was plain text."""
    if before and after and before.get("Version") != after.get("Version"):
        old, new = (spell(each.get("Version", "none")) for each in (before, after))
        yield Detail("!", f"{_prefix(path)}Version: {old} → {new}", alarming=True)


def compare(before: list[Statement], after: list[Statement], path: str) -> Iterator[Detail]:
    """The changes to the statements of the policy at ``path``."""
    path = _prefix(path)
    gone = [each for each in before if each not in after]
    come = [each for each in after if each not in before]
    for old, new in _pairs(gone, come):
        gone.remove(old)
        come.remove(new)
        yield from _changed(old, new, path)
    yield from (_whole("-", each, path) for each in gone)
    yield from (_whole("+", each, path) for each in come)


def _prefix(path: str) -> str:
    return "" if path == USUAL else f"{path}: "


def _pairs(gone: list[Statement], come: list[Statement]) -> list[tuple[Statement, Statement]]:
    """The statements that changed, most alike first."""
    scored = sorted(
        ((_likeness(a, b), i, j) for (i, a), (j, b) in product(enumerate(gone), enumerate(come))), reverse=True
    )
    taken: tuple[set[int], set[int]] = (set(), set())
    found = []
    for score, i, j in scored:
        if score >= ALIKE and i not in taken[0] and j not in taken[1]:
            taken[0].add(i)
            taken[1].add(j)
            found.append((gone[i], come[j]))
    return found


def _likeness(a: Statement, b: Statement) -> float:
    """From 0 to 1: the share of equal members, averaged over the parts that one of the statements has."""
    if a.effect != b.effect:
        return 0.0
    if a.sid and a.sid == b.sid:
        return 1.0
    pairs = [(x, y) for x, y in zip(a.sets, b.sets, strict=True) if x | y]
    return sum(len(x & y) / len(x | y) for x, y in pairs) / len(pairs) if pairs else 0.0


def _whole(sign: Any, statement: Statement, path: str) -> Detail:
    opens = (sign == "+") == (statement.effect == "Allow")
    warnings = statement.warnings if sign == "+" else []
    if statement.effect == "Deny" and sign == "-":
        warnings = ["a denial is gone"]
    return Detail(sign, f"{path}{statement}{_remark(warnings)}", alarming=opens and bool(warnings))


def _changed(old: Statement, new: Statement, path: str) -> Iterator[Detail]:
    added, removed = sorted(new.parts - old.parts), sorted(old.parts - new.parts)
    more = any(kind != "condition" and not _covered(kind, each, old) for kind, each in added)
    less = any(kind != "condition" and not _covered(kind, each, new) for kind, each in removed)
    more |= any(kind == "condition" for kind, _ in removed)
    less |= any(kind == "condition" for kind, _ in added)
    if new.effect == "Deny":
        more, less = less, more
    verdict = "changed" if more == less else "widened" if more else "narrowed"
    warnings = [each for each in new.warnings if each not in old.warnings]
    yield Detail("!", f"{path}{verdict}{_remark(warnings)}: {old}", alarming=bool(warnings))
    yield from (Detail("-", f"    {kind} {each}") for kind, each in removed)
    yield from (Detail("+", f"    {kind} {each}") for kind, each in added)


def _covered(kind: str, each: str, by: Statement) -> bool:
    """Whether a wildcard of ``by`` includes ``each``."""
    return any(of == kind and fnmatchcase(each.lower(), pattern.lower()) for of, pattern in by.parts)


def _remark(warnings: list[str]) -> str:
    return f" ← {', '.join(warnings)}" if warnings else ""


def _statement(raw: Any) -> Statement:
    if not isinstance(raw, dict) or "Effect" not in raw:
        # Such as an Fn::If, whose parts can't be compared one by one.
        return Statement(effect=spell(raw))
    return Statement(
        effect=spell(raw.get("Effect")),
        actions=_set(raw, "Action"),
        resources=_set(raw, "Resource"),
        principals=frozenset(_principals(raw)),
        conditions=frozenset(_conditions(raw.get("Condition", {}))),
        sid=spell(raw.get("Sid", "")),
    )


def _set(raw: Any, key: str) -> frozenset[str]:
    plain = {spell(each) for each in _many(raw.get(key))}
    return frozenset(plain | {f"{NOT}{spell(each)}" for each in _many(raw.get(f"Not{key}"))})


def _principals(raw: Any) -> Iterator[str]:
    for key, prefix in (("Principal", ""), ("NotPrincipal", NOT)):
        principal = raw.get(key)
        if isinstance(principal, dict):
            yield from (f"{prefix}{kind} {spell(each)}" for kind, of in principal.items() for each in _many(of))
        elif principal is not None:
            yield f"{prefix}{spell(principal)}"


def _conditions(raw: Any) -> Iterator[str]:
    if not isinstance(raw, dict):
        yield spell(raw)
        return
    for operator, keys in raw.items():
        if isinstance(keys, dict):
            yield from (f"{operator} {key} = {_list(frozenset(map(spell, _many(of))))}" for key, of in keys.items())
        else:
            yield f"{operator} {spell(keys)}"


def _many(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _list(members: frozenset[str]) -> str:
    return ", ".join(sorted(members))


def _name(element: Any, position: int) -> str:
    name = element.get("PolicyName") if isinstance(element, dict) else None
    return name if isinstance(name, str) else str(position)
