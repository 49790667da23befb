"""One controller at a time works on an environment: taking the lease, waiting for a dead holder's, giving it up.

The lease is an item in the table of releases: `aws/records.py` reads and writes it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.release.controller import World
from pipeline.release.ports import LeaseHeld


@contextmanager
def lease(world: World) -> Iterator[None]:
    """Hold the lease. Waits for that of a dead holder; raises ``LeaseHeld`` if it is renewed meanwhile."""
    try:
        world.records.acquire()
    except LeaseHeld as held:
        _wait_for_end(world, held)
    with given_up_afterwards(world):
        yield


@contextmanager
def given_up_afterwards(world: World) -> Iterator[None]:
    """Give the lease, which is held already, up at the end."""
    try:
        yield
    finally:
        try:
            world.records.give_up()
        except Exception as error:  # how the release ended matters more
            world.tell(f"  the lease could not be given up and ends by itself: {error}")


def _wait_for_end(world: World, held: LeaseHeld) -> None:
    """Take the lease when its holder has let it be for long enough. Raises ``LeaseHeld`` when the holder renews it:
    then it is alive."""
    world.tell(f"held by {held}; waiting to see whether it is alive")
    left = held.seconds_left
    while True:
        world.clock.sleep(min(1.0, left + 0.1))
        try:
            return world.records.acquire()
        except LeaseHeld as still:
            if still.seconds_left >= left or world.clock.interrupted:
                raise
            left = still.seconds_left
