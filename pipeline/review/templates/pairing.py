"""Pairs each resource of base with the same one in head: by logical id, else by path, name or properties."""

import json
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.review.templates.intrinsics import construct_names, readable
from pipeline.review.templates.provider import is_stateful, provider, value
from pipeline.review.templates.stack import Resource, Stack

HALF = 0.5
RENEWED = "aws:cdk:do-not-refactor"
"""CDK marks versions and deployments so. They get a new logical id by design whenever their content changes."""


@dataclass(frozen=True)
class Pair:
    """One resource, as it is in base and in head."""

    old_id: str
    new_id: str
    old: Resource
    new: Resource

    @property
    def type(self) -> str:
        return str(self.new["Type"])

    @property
    def renamed(self) -> bool:
        return self.old_id != self.new_id

    @property
    def renewed(self) -> bool:
        """Whether it is a version or deployment that the next one replaces by design."""
        return self.renamed and RENEWED in self.new.get("Metadata", {})


class Pairing:
    """The resources of one stack: in both templates (``pairs``), only in base (``removed``), only in head (``added``).

    Both resources of a pair get the name from head. So a reference to them is equal in both templates, even if the
    logical id has changed.
    """

    def __init__(self, base: Stack, head: Stack) -> None:
        self.head_names, self.base_names = construct_names(head), construct_names(base)
        self.pairs: list[Pair] = []
        self.removed, self.added = dict(base.resources), dict(head.resources)
        for id in base.resources:
            if id in self.added and self.added[id]["Type"] == self.removed[id]["Type"]:
                self._pair(id, id)
        # A new pair makes references to it equal. Other resources may pair now, so the search starts again.
        while found := self._renamed():
            for ids in found:
                self._pair(*ids)

    def before(self, resource: Resource) -> dict[str, Any]:
        """The properties of a resource of base, spelled out."""
        return {key: readable(each, self.base_names) for key, each in resource.get("Properties", {}).items()}

    def after(self, resource: Resource) -> dict[str, Any]:
        """The properties of a resource of head, spelled out."""
        return {key: readable(each, self.head_names) for key, each in resource.get("Properties", {}).items()}

    def _pair(self, old_id: str, new_id: str) -> None:
        self.pairs.append(Pair(old_id, new_id, self.removed.pop(old_id), self.added.pop(new_id)))
        self.base_names[old_id] = self.head_names[new_id]

    def _renamed(self) -> list[tuple[str, str]]:
        """Pairs by the surest sign that finds any."""
        old = {id: self.before(resource) for id, resource in self.removed.items()}
        new = {id: self.after(resource) for id, resource in self.added.items()}
        return (
            self._alike(self.base_names.__getitem__, self.head_names.__getitem__)
            or self._alike(
                lambda id: _identity(self.removed[id]["Type"], old[id]),
                lambda id: _identity(self.added[id]["Type"], new[id]),
            )
            or self._alike(lambda id: _spelled(old[id]), lambda id: _spelled(new[id]))
            or list(self._half_the_data(old, new))
        )

    def _alike(self, of_old: Callable[[str], Hashable], of_new: Callable[[str], Hashable]) -> list[tuple[str, str]]:
        """Those of the same type and with the same sign that is not ``None``. A template may have hundreds of both."""
        candidates: dict[Hashable, list[str]] = {}
        for id, resource in self.added.items():
            candidates.setdefault((resource["Type"], of_new(id)), []).append(id)
        found = []
        for id, resource in self.removed.items():
            same = candidates.get((resource["Type"], of_old(id)))
            if same and of_old(id) is not None:
                found.append((id, same.pop(0)))
        return found

    def _half_the_data(self, old: dict[str, Any], new: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Stateful resources that share half of their properties. A warning too many is better than lost data."""
        free = {id for id in new if is_stateful(self.added[id]["Type"])}
        for id, before in old.items():
            for each in [other for other in new if other in free]:
                after, keys = new[each], {*before, *new[each]}
                same = sum(before.get(key) == after.get(key) for key in keys)
                if self.removed[id]["Type"] == self.added[each]["Type"] and same >= HALF * len(keys) > 0:
                    free.remove(each)
                    yield id, each
                    break


def _identity(type: str, properties: dict[str, Any]) -> Hashable:
    """Its identifier on AWS, if the template tells it."""
    values = tuple(value(properties, key) for key in provider(type).identifier)
    return values if values and all(isinstance(each, str) for each in values) else None


def _spelled(properties: dict[str, Any]) -> Hashable:
    return json.dumps(properties, sort_keys=True) if properties else None
