"""A client's resolver: asks the local cloud's name server, and remembers an answer for its time to live."""

import itertools
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from localcloud.dns_messages import Answer, question, read_answer

ANSWER_SECONDS = 2.0
TRIES = 3


class NoSuchName(LookupError):
    """Nothing is known of the name."""


@dataclass
class Resolver:
    """One client, or all clients behind one resolver. ``ignores_ttl``: one that keeps its first answer for ever."""

    server: tuple[str, int]
    ignores_ttl: bool = False
    now: Callable[[], float] = time.monotonic
    _known: dict[str, tuple[str, float]] = field(default_factory=dict)
    """For each name, where it leads to and until when that holds."""
    _ids: Iterator[int] = field(default_factory=itertools.count)

    def resolve(self, name: str) -> str:
        """The name of the host that ``name`` leads to now. Raises ``NoSuchName``, and ``OSError`` without an answer."""
        target, until = self._known.get(name, ("", 0.0))
        if target and (self.ignores_ttl or self.now() < until):
            return target
        found = self._ask(name)
        if found.target is None:
            raise NoSuchName(name)
        self._known[name] = found.target, self.now() + found.ttl
        return found.target

    def _ask(self, name: str) -> Answer:
        message = question(next(self._ids) % 65536, name)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(ANSWER_SECONDS)
            client.connect(self.server)
            for left in reversed(range(TRIES)):
                client.send(message)
                try:
                    return read_answer(client.recv(512))
                except TimeoutError:
                    if not left:
                        raise
        raise AssertionError("unreachable")
