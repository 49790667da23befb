"""How records are stored: as JSON. A field keeps its stored name when the code renames it."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")

STORED_NAMES = {
    "analysis_runs": "looks",
    "analysis_summaries": "glances",
    "green_after": "home",
    "notify": "loud",
    "skips_bakes": "hurry",
}
"""Fields whose stored name is another. Never change a stored name: releases that are under way are read back."""


def stored(value: object) -> dict[str, Any]:
    """The fields of a dataclass under their stored names: ``default`` of ``json.dumps``."""
    # A dataclass's fields are its variables: ``asdict`` copies every value first and takes seven times as long.
    return {STORED_NAMES.get(name, name): field for name, field in vars(value).items()}


def known(cls: type[T], raw: Mapping[str, Any]) -> T:
    """A dataclass from stored fields: those that it no longer has are dropped, those that are new have defaults."""
    names = {STORED_NAMES.get(field.name, field.name): field.name for field in fields(cls)}  # type: ignore[arg-type]
    return cls(**{names[name]: value for name, value in raw.items() if name in names})
