"""Pairs each resource of base with the same one in head: by logical id, else by path, name or properties."""

from collections.abc import Iterator
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
        while found := next(self._renamed(), None):
            self._pair(*found)

    def before(self, resource: Resource) -> dict[str, Any]:
        """The properties of a resource of base, spelled out."""
        return {key: readable(each, self.base_names) for key, each in resource.get("Properties", {}).items()}

    def after(self, resource: Resource) -> dict[str, Any]:
        """The properties of a resource of head, spelled out."""
        return {key: readable(each, self.head_names) for key, each in resource.get("Properties", {}).items()}

    def _pair(self, old_id: str, new_id: str) -> None:
        self.pairs.append(Pair(old_id, new_id, self.removed.pop(old_id), self.added.pop(new_id)))
        self.base_names[old_id] = self.head_names[new_id]

    def _renamed(self) -> Iterator[tuple[str, str]]:
        """Candidates, the surest first."""
        candidates = [
            (old_id, new_id)
            for old_id, old in self.removed.items()
            for new_id, new in self.added.items()
            if old["Type"] == new["Type"]
        ]
        for alike in (self._same_path, self._same_name, self._same_properties, self._half_the_data):
            yield from (pair for pair in candidates if alike(*pair))

    def _same_path(self, old_id: str, new_id: str) -> bool:
        return self.base_names[old_id] == self.head_names[new_id]

    def _same_name(self, old_id: str, new_id: str) -> bool:
        """Whether both have the same identifier on AWS."""
        old, new = self.before(self.removed[old_id]), self.after(self.added[new_id])
        keys = provider(self.added[new_id]["Type"]).identifier
        return bool(keys) and all(
            isinstance(value(new, key), str) and value(old, key) == value(new, key) for key in keys
        )

    def _same_properties(self, old_id: str, new_id: str) -> bool:
        return self.before(self.removed[old_id]) == self.after(self.added[new_id]) != {}

    def _half_the_data(self, old_id: str, new_id: str) -> bool:
        """Whether stateful resources share half of their properties. A warning too many is better than lost data."""
        old, new = self.before(self.removed[old_id]), self.after(self.added[new_id])
        same = sum(old.get(key) == new.get(key) for key in {*old, *new})
        return is_stateful(self.added[new_id]["Type"]) and same >= HALF * len({*old, *new}) > 0
