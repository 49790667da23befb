"""A console in a process of its own, over recorded promotions, and a real browser."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from pipeline.local.state import State
from tests.browser.chromium import chromium
from tests.browser.platforms import Platforms, serving

ROOT = Path(__file__).parents[2]


class Served:
    """``python -m console`` in the folder of ``state``."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.host, self.port = "", 0
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Start it, at the same port as before, and return its link."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "console", "--port", str(self.port)],
            cwd=self.state.root,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout
        printed = ""
        for line in self._process.stdout:
            printed += line
            if found := re.search(r"http://(\S+):(\d+)/\?token=\S+", line):
                self.host, self.port = found[1], int(found[2])
                return found[0]
        raise AssertionError(printed)

    def stop(self) -> str:
        """End it as Ctrl-C does, and return what it printed since its start."""
        if self._process is None or self._process.poll() is not None:
            return ""
        self._process.send_signal(signal.SIGINT)
        return self._process.communicate(timeout=10)[0]

    def address(self, path: str) -> str:
        return f"http://{self.host}:{self.port}{path}"


@pytest.fixture
def state(tmp_path: Path) -> State:
    found = State(tmp_path)
    found.prepare()
    return found


@pytest.fixture
def served(state: State) -> Iterator[Served]:
    console = Served(state)
    yield console
    console.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = chromium()
    with sync_playwright() as playwright:
        # Without its sandbox, because root has none. Only our own pages are opened.
        launched = playwright.chromium.launch(
            executable_path=found.program,
            args=["--no-sandbox"],
            env={**os.environ, **found.variables},  # type: ignore[arg-type]
        )
        yield launched
        launched.close()


Open = Callable[..., Page]


@pytest.fixture
def link(state: State) -> Iterator[str]:
    """Of a console in this process, which starts sooner."""
    with serving(state, Platforms()) as found:
        yield found


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens a console's link in a browser. Fails the test if a page breaks its policy or has an error."""
    troubles: list[str] = []
    contexts = []

    def note(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            troubles.append(message.text)

    def open(link: str, *, scheme: str = "light", width: int = 1280, unchecked: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
            bypass_csp=unchecked,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", note)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: troubles.append(dialog.message))
        page.goto(link)
        page.wait_for_url("**/promotion")
        return page

    yield open
    for context in contexts:
        context.close()
    assert troubles == []
