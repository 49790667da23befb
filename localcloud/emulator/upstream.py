"""Replace functions of MiniStack, and notice when MiniStack changes them.

``pins.json`` holds the hash of the source of every function that an extension replaces or uses. When an upgrade
changes such a function, the emulator names it and refuses to start. Review the extension against the new source, then
run ``python -m localcloud.emulator --pin``.
"""

import hashlib
import importlib.metadata
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

PINS = Path(__file__).with_name("pins.json")

Function = Callable[..., Any]

_found: dict[str, str] = {}


class UpstreamChanged(Exception):
    """The installed MiniStack differs from the one that the extensions were written for."""


def original(owner: Any, name: str) -> Function:
    """A function of MiniStack that an extension uses. :func:`check` compares its source with the pinned one."""
    label = f"{getattr(owner, '__module__', None) or owner.__name__}.{name}"
    if inspect.isclass(owner):
        label = f"{owner.__module__}.{owner.__qualname__}.{name}"
    function = getattr(owner, name, None)
    if function is None:
        raise UpstreamChanged(f"MiniStack has no {label} any more")
    # The first caller sees MiniStack's own source. A later one may see the replacement.
    _found.setdefault(label, hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16])
    return function  # type: ignore[no-any-return]


def replaces(owner: Any, name: str, *imported_by: Any) -> Callable[[Function], Function]:
    """Decorator: replace ``owner.name`` by the function, which gets the original as its first argument.

    ``imported_by``: modules that imported the original by its name and therefore hold a reference of their own.
    """
    replaced = original(owner, name)

    def install(replacement: Function) -> Function:
        def bound(*args: Any, **kwargs: Any) -> Any:
            return replacement(replaced, *args, **kwargs)  # a coroutine, when the replacement is a coroutine function

        for module in (owner, *imported_by):
            if not hasattr(module, name):
                raise UpstreamChanged(f"{module.__name__} does not import {name} any more")
            setattr(module, name, bound)
        return replacement

    return install


def check() -> None:
    """Raise ``UpstreamChanged`` naming every replaced function whose source is not the pinned one."""
    pins = json.loads(PINS.read_text())
    version = importlib.metadata.version("ministack")
    changed = sorted(label for label, digest in _found.items() if pins["functions"].get(label) != digest)
    if version != pins["version"] or changed:
        raise UpstreamChanged(
            f"MiniStack {version} is not the {pins['version']} that the local cloud extends. Changed functions: "
            f"{', '.join(changed) or 'none of the replaced ones'}. Review the extensions against it, then run "
            "python -m localcloud.emulator --pin"
        )


def pin() -> None:
    """Write the hashes of the installed MiniStack as the reviewed ones."""
    content = {"version": importlib.metadata.version("ministack"), "functions": dict(sorted(_found.items()))}
    PINS.write_text(json.dumps(content, indent=1) + "\n")
