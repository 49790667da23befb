"""The stream of a page: what changed, and a beat while nothing does."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from console import live


def events(stream: AsyncIterator[str], count: int) -> list[str]:
    async def take() -> list[str]:
        return [await anext(stream) for _ in range(count)]

    return asyncio.run(take())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.02)


def test_only_the_region_that_changed_is_sent_again() -> None:
    pages: Iterator[dict[str, str]] = iter([{"live": "a", "more": "x"}, {"live": "a", "more": "x"}])
    last = {"live": "b\nc", "more": "x"}
    stream = live._changes(lambda: next(pages, last), object)
    found = [each for each in events(stream, 5) if not each.startswith("event: beat")]
    assert found[0].count("<hx-partial") == 2
    assert found[1] == 'data: <hx-partial hx-target="#live" hx-swap="innerMorph">b\ndata: c</hx-partial>\n\n'
    assert len(found) == 2


def test_nothing_is_rendered_while_what_it_is_made_of_stays_the_same() -> None:
    values, rendered = iter([1, 1, 2, 2]), []

    def render() -> dict[str, str]:
        rendered.append(1)
        return {"live": str(len(rendered))}

    stream = live._changes(render, lambda: next(values, 2))
    found = [each for each in events(stream, 5) if not each.startswith("event: beat")]
    assert len(found) == len(rendered) == 2


def test_it_beats_while_nothing_changes() -> None:
    found = events(live._changes(lambda: {"live": "a"}, object), 4)
    assert found[1:] == ["event: beat\ndata: \n\n"] * 3


def test_a_log_goes_on_where_the_browser_lost_it() -> None:
    asked = []

    def more(since: str | None) -> tuple[str, str]:
        asked.append(since)
        return ("line", "gate:9")

    [event] = events(live._parts(more, "gate:5"), 1)
    assert event == "id: gate:9\ndata: line\n\n"
    assert asked == ["gate:5"]


def test_no_text_can_begin_an_event_of_its_own() -> None:
    assert live._event("a\r\n\nevent: evil\r\ndata: x").split("\n\n")[:-1] == [
        "data: a\ndata: \ndata: event: evil\ndata: data: x"
    ]
