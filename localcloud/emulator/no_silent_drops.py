"""Fail a deployment that has a resource type without a handler, or a property that no handler reads, and name it.

``ignored.toml`` lists the properties that may be ignored, each with its reason. A handler may read a property without
acting on it: ``docs/local-cloud.md`` describes the behaviour of each resource.
"""

import contextlib
import json
import threading
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ministack.services.cloudformation import changesets, engine, handlers, provisioners, stacks

from localcloud.emulator.own_api import settings
from localcloud.emulator.upstream import Function, replaces
from localcloud.emulator.watched import Watched

IGNORED = Path(__file__).with_name("ignored.toml")
OBSERVED = "unread-properties.json"
"""File in the cloud's folder: per resource type, the properties that no handler has read so far."""

_reviewed: Mapping[str, Mapping[str, str]] = tomllib.loads(IGNORED.read_text())
_observed: dict[str, set[str]] = {}
_writing = threading.Lock()


class IgnoredProperty(ValueError):
    """The local cloud would ignore a property of the template, and ``ignored.toml`` does not list it."""


def reviewed(resource_type: str, path: str) -> bool:
    """Whether ``ignored.toml`` lists the property, or a property that contains it."""
    entries = _reviewed.get(resource_type, {})
    parts = path.split(".")
    return any(".".join(parts[:length]) in entries for length in range(1, len(parts) + 1))


def _check(resource_type: str, logical_id: str, unread: Iterable[str]) -> None:
    unread = list(unread)
    if unread:
        with _writing:
            _observed.setdefault(resource_type, set()).update(unread)
            content = {kind: sorted(paths) for kind, paths in sorted(_observed.items())}
            (Path(settings().folder) / OBSERVED).write_text(json.dumps(content, indent=1))
    unknown = [path for path in unread if not reviewed(resource_type, path)]
    if unknown:
        raise IgnoredProperty(
            f"{resource_type} {logical_id}: the local cloud would ignore {', '.join(unknown)}. Write a handler for it, "
            f"or add it to {IGNORED.name} with the reason why it may be ignored"
        )


@replaces(engine, "validate_template_support", changesets, handlers)
def validate_template(validate: Function, template: Any, conditions: Any, params: Any = None) -> None:
    """Refuse unknown resource types before anything is created. MiniStack names the types but not the resources."""
    unknown = [
        f"{logical_id} ({resource['Type']})"
        for logical_id, resource in (template.get("Resources") or {}).items()
        if conditions.get(resource.get("Condition"), True) and not _can_make(resource["Type"])
    ]
    if unknown:
        raise ValueError(f"the local cloud can't make {', '.join(unknown)}")
    validate(template, conditions, params)


def _can_make(resource_type: str) -> bool:
    return resource_type in provisioners._RESOURCE_HANDLERS or resource_type.startswith("Custom::")


@replaces(provisioners, "_provision_resource", stacks)
def provision(make: Function, resource_type: str, logical_id: str, props: Any, stack_name: str) -> Any:
    if isinstance(props, Watched):
        return make(resource_type, logical_id, props, stack_name)  # a replacement during an update: `update` checks it
    watched = Watched(props)
    made = make(resource_type, logical_id, watched, stack_name)
    try:
        _check(resource_type, logical_id, watched.unread())
    except IgnoredProperty:
        with contextlib.suppress(Exception):  # the engine does not know the resource yet, so it would not delete it
            provisioners._delete_resource(resource_type, made[0], props, stack_name, logical_id)
        raise
    return made


@replaces(provisioners, "_update_resource", stacks)
def update(
    change: Function,
    resource_type: str,
    physical_id: str,
    old_props: Any,
    new_props: Any,
    stack_name: str,
    logical_id: str | None = None,
    old_attrs: Any = None,
) -> Any:
    """Check an update: a handler must have read each property that changed."""
    watched = Watched(new_props)
    changed = change(resource_type, physical_id, old_props, watched, stack_name, logical_id, old_attrs)
    differing = {key for key in new_props if new_props[key] != old_props.get(key)}
    unread = [path for path in watched.unread() if path.partition(".")[0] in differing]
    _check(resource_type, logical_id or physical_id, unread)
    return changed
