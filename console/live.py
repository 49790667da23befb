"""Server-sent events: a page sends its regions again when they have changed, and a beat when they have not.

htmx morphs the new HTML into the old (``innerMorph``), so focus and scroll position stay. The beat lets the page say
when the console no longer answers.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from weakref import WeakSet

import uvicorn
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

LOOK_SECONDS = 0.5
"""An update shows within a second: half of it is the page's."""
BEAT_SECONDS = 2.0


_ending: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
"""The loops of servers that end."""


class Server(uvicorn.Server):
    """Ends its streams first, which a browser would keep open until they are cancelled, with an error for each."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        _ending.add(asyncio.get_running_loop())
        await super().shutdown(sockets)


def _goes_on() -> bool:
    return asyncio.get_running_loop() not in _ending


Regions = Mapping[str, str]
"""HTML by the id of the element that it fills."""


def live(render: Callable[[], Regions], *, of: Callable[[], object] = object) -> StreamingResponse:
    """The regions of a page that ``render`` makes, now and whenever one changes. ``of``: what they are made of; while
    it stays equal, nothing is rendered."""
    return _stream(_changes(render, of))


def growing(more: Callable[[str | None], tuple[str, str]], since: str | None) -> StreamingResponse:
    """What is appended to a region. ``more`` gives HTML and the position after it; ``since``: the position to begin at,
    which the browser repeats after it has lost the connection."""
    return _stream(_parts(more, since))


def _stream(events: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _changes(render: Callable[[], Regions], of: Callable[[], object]) -> AsyncIterator[str]:
    shown: Regions = {}
    made_of = object()
    beaten = 0.0
    while _goes_on():
        before, made_of = made_of, await run_in_threadpool(of)
        if made_of != before:
            found = await run_in_threadpool(render)
            changed = [_partial(id, html) for id, html in found.items() if shown.get(id) != html]
            if changed:
                shown = found
                yield _event("".join(changed))
        if time.monotonic() - beaten >= BEAT_SECONDS:
            beaten = time.monotonic()
            yield _event("", name="beat")
        await asyncio.sleep(LOOK_SECONDS)


async def _parts(more: Callable[[str | None], tuple[str, str]], since: str | None) -> AsyncIterator[str]:
    beaten = 0.0
    while _goes_on():
        html, position = await run_in_threadpool(more, since)
        if html:
            yield _event(html, id=position)
        since = position
        if time.monotonic() - beaten >= BEAT_SECONDS:
            beaten = time.monotonic()
            yield _event("", name="beat")
        await asyncio.sleep(LOOK_SECONDS)


def _partial(id: str, html: str) -> str:
    return f'<hx-partial hx-target="#{id}" hx-swap="innerMorph">{html}</hx-partial>'


def _event(data: str, *, name: str = "", id: str = "") -> str:
    """One event (HTML Living Standard, "Server-sent events"). Position and name are ours; data may hold any line."""
    lines = [f"event: {name}"] if name else []
    lines += [f"id: {id}"] if id else []
    lines += [f"data: {line}" for line in data.replace("\r", "").split("\n")]
    return "\n".join(lines) + "\n\n"
