"""The resources that a deployment replaces instead of updating them, by CloudFormation's schemas."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.assembly import references
from pipeline.review.templates.difference import MISSING, Detail, differences
from pipeline.review.templates.pairing import Pair, Pairing
from pipeline.review.templates.provider import is_stateful, provider, value


@dataclass(frozen=True)
class Replacement:
    """``certain``: every deployment replaces the resource. Otherwise CloudFormation decides."""

    certain: bool
    causes: tuple[Detail, ...]


def replacements(pairing: Pairing) -> dict[str, Replacement]:
    """By logical id in head. A resource is replaced, too, if a property without update refers to a replaced one."""
    found = {pair.new_id: made for pair in pairing.pairs if (made := _by_its_own(pair, pairing))}
    while more := {
        pair.new_id: Replacement(False, causes)
        for pair in pairing.pairs
        if pair.new_id not in found and (causes := tuple(_by_others(pair, found, pairing.head_names)))
    }:
        found |= more
    return found


def _by_its_own(pair: Pair, pairing: Pairing) -> Replacement | None:
    if pair.renewed:
        return None
    before, after, facts = pairing.before(pair.old), pairing.after(pair.new), provider(pair.type)
    taken = tuple(_taken(facts.identifier, before, after))
    if pair.renamed:
        return Replacement(True, (Detail("!", f"logical id: {pair.old_id} → {pair.new_id}"), *taken))
    if not facts.known and before != after:
        return Replacement(False, (Detail("!", "cfn-lint has no schema of its type"),))
    if causes := tuple(_changes_at(facts.create_only, before, after)):
        return Replacement(True, (*causes, *taken))
    if causes := tuple(_changes_at(facts.conditionally_create_only, before, after)):
        return Replacement(False, causes)
    return None


def _changes_at(pointers: tuple[str, ...], before: dict[str, Any], after: dict[str, Any]) -> Iterator[Detail]:
    for pointer in pointers:
        old, new = (MISSING if found is None else found for found in (value(before, pointer), value(after, pointer)))
        yield from (Detail("!", str(each)) for each in differences(old, new, _path(pointer)))


def _taken(identifier: tuple[str, ...], before: dict[str, Any], after: dict[str, Any]) -> Iterator[Detail]:
    """A name that both have. CloudFormation makes the new resource first, so the two can't share it."""
    if len(identifier) == 1:
        old, new = value(before, identifier[0]), value(after, identifier[0])
        if isinstance(new, str) and old == new and "${" not in new:
            yield Detail("!", f"the name {new} stays: the deployment fails while the old one has it", alarming=True)


def _by_others(pair: Pair, replaced: Mapping[str, Replacement], names: Mapping[str, str]) -> list[Detail]:
    """Why another replacement replaces ``pair``. Only stateful resources get all details."""
    found = [
        Detail("!", f"{_path(pointer)} follows {names[id]}, which is replaced")
        for pointer in provider(pair.type).create_only
        for id in dict.fromkeys(references(value(pair.new.get("Properties", {}), pointer)))
        if id in replaced
    ]
    return [Detail("!", "refers to what is replaced")] if found and not is_stateful(pair.type) else found


def _path(pointer: str) -> str:
    return pointer.replace("/", ".")
