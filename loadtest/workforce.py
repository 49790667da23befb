"""Which processes generate the load."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Workforce:
    """Who generates: ``processes`` of this machine and ``remote`` locust workers, which connect to ``bind``:``port``.

    One process and no remote workers: this process itself. Port 0: any free one.
    """

    processes: int = 1
    remote: int = 0
    bind: str = "127.0.0.1"
    port: int = 0

    @property
    def is_alone(self) -> bool:
        return self.processes == 1 and self.remote == 0
