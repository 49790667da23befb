"""A source that is read in the background: its age, its silence, and that nobody waits for it."""

import threading
import time

from console.reading import FIRST_WAIT_SECONDS, Cached, Reading


def until(reading: Cached[int], wanted: int | None, failure: str | None = None) -> Reading[int]:
    for _ in range(200):
        found = reading.get()
        if (found.value, found.failure) == (wanted, failure):
            return found
        time.sleep(0.01)
    raise AssertionError(found)


def test_the_first_value_is_waited_for_and_kept() -> None:
    asked = []
    cached = Cached(lambda: asked.append(1) or len(asked), seconds=lambda: 60)
    assert cached.get().value == 1
    assert cached.get().value == 1
    assert asked == [1]


def test_how_often_it_is_read_may_change_at_any_time() -> None:
    # Given a source that is spared
    asked, pause = [], [60.0]
    cached = Cached(lambda: asked.append(1) or len(asked), seconds=lambda: pause[0])
    assert [cached.get().value for _ in range(3)] == [1, 1, 1]
    # When it need not be any more, then it is read at the next look
    pause[0] = 0.0
    until(cached, 2)


def test_a_failure_keeps_the_last_value_and_its_age() -> None:
    # Given a source that has answered
    answer: list[int | Exception] = [7]

    def read() -> int:
        if isinstance(answer[0], Exception):
            raise answer[0]
        return answer[0]

    cached = Cached(read, seconds=lambda: 0)
    first = cached.get()
    assert (first.value, first.failure) == (7, None)
    # When it fails, then its last value stays, with its age
    answer[0] = OSError("gone")
    failed = until(cached, 7, "gone")
    assert failed.at is not None
    # And when it answers again, then the failure is over
    answer[0] = 8
    assert (until(cached, 8).at or 0) > failed.at


def test_a_source_that_hangs_keeps_no_page_waiting_and_is_asked_once() -> None:
    # Given a source that does not answer
    hangs, asked = threading.Event(), []

    def read() -> int:
        asked.append(1)
        hangs.wait(10)
        return 1

    cached = Cached(read, seconds=lambda: 0)
    # When a page asks for it again and again
    begun = time.monotonic()
    found = [cached.get() for _ in range(3)]
    took = time.monotonic() - begun
    hangs.set()
    # Then it is told that there is no value yet, and since when it is asked
    assert [each.value for each in found] == [None] * 3
    assert found[-1].asked is not None
    assert asked == [1]
    assert took < 3 * FIRST_WAIT_SECONDS + 1
