"""A console of a folder of its own, and a browser without a window: Starlette's test client."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from console.actions import Action, Actions
from console.app import Console
from console.evidence.reading import LocalEvidence
from console.gates.reading import LocalGates
from console.monitoring.reading import View
from console.payments.reading import Found, Query
from console.platforms import NotRunning
from console.promotions.local import LocalPromotions
from console.promotions.model import Promotions
from console.reading import Reading
from console.releases.reading import Standing
from console.security import Keys
from console.show import Frame
from pipeline.local.state import State

PORT = 8484
ADDRESS = f"http://127.0.0.1:{PORT}"
OWN = {"origin": ADDRESS, "sec-fetch-site": "same-origin"}
"""What a browser adds to a form of our own page."""
KEYS = Keys()


class Environments:
    """Stands for the environments: each is as a test says."""

    def __init__(self) -> None:
        self.readings: dict[str, Reading[Standing]] = {}
        self.views: dict[str, Reading[View]] = {}
        self.payments: dict[str, Found] = {}
        self.queries: list[Query] = []
        self.measured: set[str] = set()

    def names(self) -> Sequence[str]:
        return ("dev", "staging", "prod")

    def standing(self, environment: str) -> Reading[Standing]:
        return self.readings.get(environment, Reading())

    def view(self, environment: str) -> Reading[View]:
        return self.views.get(environment, Reading())

    def look_up(self, environment: str, query: Query) -> Found:
        self.queries.append(query)
        return self.payments.get(query.text, Found())

    def session(self, environment: str) -> None:
        raise NotRunning(environment)

    def variables(self, environment: str) -> dict[str, str]:
        return {"ENVIRONMENT": environment}

    def is_measured(self, environment: str) -> bool:
        return environment in self.measured


class Recorded(Actions):
    """Records actions and starts nothing."""

    def __init__(self, root: Path, *, allowed: bool = True) -> None:
        super().__init__(root, root / ".pipeline/console", who="ann", allowed=allowed)
        self.started: list[list[str]] = []

    def _run(self, action: Action, environment: object) -> None:
        self.started.append(list(action.command))

    def output(self, module: str, *arguments: str, environment: object = None) -> list[str]:
        return [f"{module} of {arguments[-1]}"]


@pytest.fixture
def state(tmp_path: Path) -> State:
    found = State(tmp_path)
    found.prepare()
    return found


@pytest.fixture
def environments() -> Environments:
    return Environments()


@pytest.fixture
def actions(state: State) -> Recorded:
    return Recorded(state.root)


Open = Callable[..., TestClient]


@pytest.fixture
def stranger(state: State, environments: Environments, actions: Recorded) -> Open:
    """Makes a browser that has not opened the printed link."""

    def make(promotions: Promotions | None = None, acting: Actions = actions) -> TestClient:
        console = Console(
            frame=Frame(actions=acting, csrf=KEYS.csrf, source="this machine"),
            keys=KEYS,
            promotions=promotions or LocalPromotions(state, acting),
            platforms=environments,  # type: ignore[arg-type]
            releases=environments,
            gates=LocalGates(state),
            monitoring=environments,
            payments=environments,
            evidence=LocalEvidence(state),
        )
        app = console.app(port=PORT, hosts=(KEYS.host, "127.0.0.1"))
        return TestClient(app, base_url=ADDRESS, follow_redirects=False, raise_server_exceptions=True)

    return make


@pytest.fixture
def browser(stranger: Open) -> Open:
    """Makes a browser that has opened the printed link."""

    def make(promotions: Promotions | None = None, acting: Actions | None = None) -> TestClient:
        client = stranger(promotions, *([acting] if acting else []))
        assert client.get(f"/?token={KEYS.token}").status_code == 303
        return client

    return make
