"""Template properties that remember which of them a handler has read."""

from collections.abc import Iterator
from typing import Any


class Watched(dict[str, Any]):
    """A map of properties. Reading a key marks it as read; iterating over the map marks every key."""

    def __init__(self, properties: dict[str, Any]) -> None:
        super().__init__({key: _watch(value) for key, value in properties.items()})
        self._looked_at: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self._looked_at.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self._looked_at.add(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self._looked_at.add(str(key))
        return super().__contains__(key)

    def __iter__(self) -> Iterator[str]:
        self._looked_at.update(super().keys())
        return super().__iter__()

    def keys(self) -> Any:
        self._looked_at.update(super().keys())
        return super().keys()

    def items(self) -> Any:
        self._looked_at.update(super().keys())
        return super().items()

    def values(self) -> Any:
        self._looked_at.update(super().keys())
        return super().values()

    def __deepcopy__(self, _memo: Any) -> dict[str, Any]:
        return {key: unwatched(value) for key, value in self.items()}

    def unread(self) -> list[str]:
        """The dotted paths of the properties that nobody has read. A list's elements share the path of the list."""
        return sorted(set(self._unread()))

    def _unread(self) -> Iterator[str]:
        for key, value in super().items():
            if key not in self._looked_at:
                yield key
                continue
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, Watched):
                    yield from (f"{key}.{path}" for path in inner._unread())


def _watch(value: Any) -> Any:
    if isinstance(value, dict):
        return Watched(value)
    return [_watch(item) for item in value] if isinstance(value, list) else value


def unwatched(value: Any) -> Any:
    """A deep copy of a property in plain dictionaries and lists. Every key that it copies counts as read."""
    if isinstance(value, dict):
        return {key: unwatched(item) for key, item in value.items()}
    return [unwatched(item) for item in value] if isinstance(value, list) else value
