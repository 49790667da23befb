"""How the releases of each environment stand, read from AWS's API: the local cloud has the same."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from console.platforms import Platforms, spared
from console.reading import Cached, Reading
from environments import environment as settings_of
from pipeline.aws import PlatformNotDeployed, PlatformOutputs
from pipeline.release.aws import PROMPT_CONFIG, calling
from pipeline.release.aws.identity import identity
from pipeline.release.aws.world import aws_world
from pipeline.release.clock import SystemClock
from pipeline.release.controller import World
from pipeline.release.ports import Unavailable
from pipeline.release.reading import Attempts
from pipeline.release.record import Release
from pipeline.release.state import State, read_state

HISTORY = 20
"""Releases that the page lists."""
SECONDS = 1.0
"""Between two looks at the record, while somebody looks."""
QUIET_SECONDS = 5.0
"""While no release is under way, what no record tells may be as old as this: alarms, health, weights moved by hand.
Reading all of it each second would cost a local cloud's load gate some of its p99."""
MOST_FAILURES = 3
"""With more parts unknown than these, nothing answers."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """An environment at one moment."""

    state: State
    history: Sequence[Release]
    """The last releases, newest first."""
    unreadable: Sequence[str]
    whose: str
    """The IAM identity that reads."""


class Releases(Protocol):
    def standing(self, environment: str) -> Reading[Standing]: ...


class AwsReleases:
    """``Releases`` by the ports of ``pipeline.release``."""

    def __init__(self, platforms: Platforms) -> None:
        self._platforms = platforms
        self._environments: dict[str, Cached[Standing]] = {}
        self._worlds: dict[str, tuple[World, str]] = {}
        self._last: dict[str, Standing] = {}

    def standing(self, environment: str) -> Reading[Standing]:
        if environment not in self._environments:
            self._environments[environment] = Cached(lambda: self.read(environment), seconds=lambda: SECONDS)
        return self._environments[environment].get()

    def read(self, environment: str) -> Standing:
        """Raises what its ports raise. After a failure everything is opened anew: the cloud may have been restarted."""
        opened = self._worlds.pop(environment) if environment in self._worlds else self._open(environment)
        world, whose = opened
        last = self._last.pop(environment, None)
        most_seconds = spared(self._platforms, environment, QUIET_SECONDS)()
        standing = last if last and _is_quiet(last, world, most_seconds) else self._whole(environment, world, whose)
        self._worlds[environment], self._last[environment] = opened, standing
        return standing

    @staticmethod
    def _whole(environment: str, world: World, whose: str) -> Standing:
        attempts = Attempts()
        state = read_state(environment, world)
        history = attempts(lambda: world.records.latest(HISTORY)) or ()
        unreadable = attempts(lambda: world.records.unreadable(HISTORY)) or ()
        if len(state.failures) > MOST_FAILURES:
            raise state.failures[0]
        return Standing(state=state, history=history, unreadable=unreadable, whose=whose)

    def _open(self, environment: str) -> tuple[World, str]:
        settings = settings_of(environment)
        aws = self._platforms.session(environment)
        try:
            with calling(f"opening environment {environment}"):
                outputs = PlatformOutputs.read(settings.stack_name, aws, PROMPT_CONFIG)
        except PlatformNotDeployed as error:
            raise Unavailable(f"{environment} is not deployed yet: {error}") from error
        holder = f"console@{platform.node()}"
        world = aws_world(settings, aws, outputs, holder=holder, clock=SystemClock(), tell=lambda _: None)
        return world, identity(aws)


def _is_quiet(last: Standing, world: World, most_seconds: float) -> bool:
    """Whether no release is under way, nothing new is on record, and ``last`` is not as old as ``most_seconds``."""
    state, attempts = last.state, Attempts()
    if state.under_way or state.failures or world.clock.now() - state.at >= most_seconds:
        return False
    found = attempts(world.records.last), attempts(world.records.freeze)
    return not attempts.failures and found == (state.last, state.freeze)
