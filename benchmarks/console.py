"""The console in a real browser: ``python -m benchmarks console``. Ten minutes.

* First paint of each page (``first-contentful-paint``, W3C Paint Timing), its layout shifts until it is live (Layout
  Instability), and the time from the write of a record or a log until the page shows it.
* Memory of the console's process after that: its proportional set size.
* What it costs the gate: pairs of gates on a local cloud in the order ABCCBA: without it; with a light client, which
  asks for four windows and reads their streams, but draws nothing; with these windows in a browser, open and live. The
  ratios of the p99s of each route, and of all by their geometric mean. The light client tells what the console alone
  costs, because the browser runs on this machine, too.
"""

import html
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psutil
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from benchmarks._platform import ROOT, Platform, deployed
from pipeline.local.run import Run
from pipeline.local.state import State
from tests.browser.chromium import SHIFTS, chromium
from tests.browser.story import told
from tests.recorded import append, record

LOADS = 7
UPDATES = 12
GATE = "--seed 1 --duration 40 --max-duration 40 --no-repeat"
WITHOUT, LIGHT, BROWSER = "without", "light", "browser"
ORDER = (WITHOUT, LIGHT, BROWSER, BROWSER, LIGHT, WITHOUT)
"""Of the gates: who has the console open?"""
RATIOS = ((LIGHT, WITHOUT), (BROWSER, LIGHT), (BROWSER, WITHOUT))
PAGES = ("/promotion", "/release/prod", "/gate", "/platform/prod", "/payments/prod", "/evidence")
WINDOWS = ("/promotion", "/release/dev", "/gate", "/platform/dev")
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
SEEN = """text => new Promise((resolve, reject) => {
  setTimeout(() => reject(text), 30000);
  const look = () => document.body.textContent.includes(text) && resolve(Date.now());
  new MutationObserver(look).observe(document.body, { childList: true, characterData: true, subtree: true });
  look();
})"""


@dataclass(frozen=True)
class Console:
    address: str
    process: psutil.Process
    context: BrowserContext

    def open(self, path: str) -> Page:
        page = self.context.new_page()
        page.goto(self.address + path)
        if page.locator("#live").count():
            page.wait_for_selector('[data-stream="on"]')
        return page


def main() -> None:
    found = chromium()
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=found.program,
            args=["--no-sandbox"],
            env={**os.environ, **found.variables},
        )
        _pages(launched)
        _gates(launched)
        launched.close()


def _pages(browser: Browser) -> None:
    with tempfile.TemporaryDirectory() as name:
        state = State(Path(name))
        told(state)
        with _console(state, browser) as console:
            print("page                    first paint, median and slowest    layout shift, largest")
            for path in PAGES:
                _paint(console, path)
            run = record(state, subject="A promotion that goes on", ends_at="Dev/LoadGate", status="running", ago=60)
            with state.lock("a benchmark"):
                _updates(console, run)
            print(f"memory of the console   {console.process.memory_full_info().pss / 2**20:6.0f} MiB")


def _paint(console: Console, path: str) -> None:
    paints, shifts = [], []
    for _ in range(LOADS):
        page = console.open(path)
        shifts.append(sum(far for far, _ in page.evaluate(SHIFTS)))
        paints.append(page.evaluate(PAINT))
        page.close()
    print(f"{path:22}  {statistics.median(paints):6.0f} ms   {max(paints):6.0f} ms   {max(shifts):25.3f}", flush=True)


def _updates(console: Console, run: Run) -> None:
    page, step = console.open("/promotion"), run.step("Dev", "LoadGate")
    for name in ("record", "log"):
        delays = []
        for number in range(UPDATES):
            time.sleep(1 + number / UPDATES)  # at any time between two looks
            text, begun = f"the {name} says {number}.", time.time()
            if name == "log":
                append(run, "Dev/LoadGate", text)
            else:
                step.detail = text
                run.save()
            delays.append(page.evaluate(SEEN, text) / 1000 - begun)
        print(f"a change of the {name:7} {statistics.median(delays) * 1000:6.0f} ms   {max(delays) * 1000:6.0f} ms")
    page.close()


def _gates(browser: Browser) -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)  # PostgreSQL runs as another user
        state = State(Path(name))
        state.prepare()
        run = record(state, subject="The promotion of this gate", ends_at="Dev/LoadGate", status="running")
        with deployed(state.folder) as platform:
            with _console(state, browser) as console:
                for path in ("/release/dev", "/platform/dev"):
                    _paint(console, path)
            watchers: dict[str, Callable[[], AbstractContextManager[Any]]] = {
                WITHOUT: nullcontext,
                LIGHT: lambda: _read(state),
                BROWSER: lambda: _open(state, browser),
            }
            found: dict[str, list[dict[str, float]]] = {name: [] for name in watchers}
            for name in ORDER:
                found[name].append(_gate(platform, run, watchers[name]))
    _print(found)


def _print(found: dict[str, list[dict[str, float]]]) -> None:
    """The gates' p99s by route, and their ratios."""
    labels = [f"{one}/{other}" for one, other in RATIOS]
    print(f"{'p99 of the gate, ms':22}", *(f"{name:>10}" for name in found), *(f"{label:>16}" for label in labels))
    ratios: dict[str, list[float]] = {label: [] for label in labels}
    for route in found[WITHOUT][0]:
        p99 = {name: statistics.geometric_mean(gate[route] for gate in gates) for name, gates in found.items()}
        for label, (one, other) in zip(labels, RATIOS, strict=True):
            ratios[label].append(p99[one] / p99[other])
        print(
            f"{route:22}",
            *(f"{each:10.1f}" for each in p99.values()),
            *(f"{each[-1]:16.3f}" for each in ratios.values()),
        )
    means = [statistics.geometric_mean(each) for each in ratios.values()]
    print(f"{'all, geometric mean':22}", *(f"{'':10}" for _ in found), *(f"{mean:16.3f}" for mean in means))
    same = [statistics.geometric_mean(last[route] / first[route] for route in first) for first, last in found.values()]
    print(f"two gates of the same kind differ by {', '.join(f'{each:.3f}' for each in same)}")


def _gate(platform: Platform, run: Run, watched: Callable[[], AbstractContextManager[Any]]) -> dict[str, float]:
    """The p99 of each route, ms."""
    reports = run.source / "reports/dev"
    reports.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "loadtest.gate", "--env", "dev", "--reports", str(reports), *GATE.split()]
    with watched():
        done = subprocess.run(command, cwd=ROOT, env=platform.environ, capture_output=True, text=True)
    try:
        routes = json.loads((reports / "gate.json").read_text())["routes"]
        return {each["route"]: float(each["p99_ms"]) for each in routes}
    except (OSError, KeyError, TypeError) as error:
        raise SystemExit(f"the gate measured nothing:\n{done.stdout[-3000:]}{done.stderr[-3000:]}") from error


@contextmanager
def _open(state: State, browser: Browser) -> Iterator[Sequence[Page]]:
    """Windows, each in sight, as on several screens: a tab in the background would pause."""
    with _console(state, browser) as console:
        yield [console.open(path) for path in WINDOWS]


@contextmanager
def _read(state: State) -> Iterator[None]:
    """The requests of the same windows without a browser: link, pages, their files once, and their streams."""
    with ThreadPoolExecutor(16) as readers, httpx2.Client(timeout=None, trust_env=False) as client:
        with _started(state) as (link, _):
            address = f"http://127.0.0.1:{urlsplit(link).port}"  # httpx2 may not find the name of the link
            client.get(f"{address}/?{urlsplit(link).query}")
            files: set[str] = set()
            streams = []
            for path in WINDOWS:
                page = client.get(address + path).raise_for_status().text
                for file in set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page)) - files:
                    client.get(address + html.unescape(file)).raise_for_status()
                    files.add(file)
                for stream in re.findall(r'hx-sse:connect="([^"]+)"', page):
                    streams.append(readers.submit(_events, client, address + html.unescape(stream)))
            yield
            broken = [stream for stream in streams if stream.done()]
        if broken or not all(stream.result() for stream in streams):
            raise SystemExit("a stream of the console ended while the gate ran, or told nothing")


def _events(client: httpx2.Client, address: str) -> int:
    """How many events a stream tells until the console ends it."""
    with client.stream("GET", address, headers={"Accept": "text/event-stream"}) as answer:
        return sum(part.count(b"\n\n") for part in answer.raise_for_status().iter_raw())


@contextmanager
def _console(state: State, browser: Browser) -> Iterator[Console]:
    with _started(state) as (link, process):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        try:
            page = context.new_page()
            page.goto(link)
            page.wait_for_url("**/promotion")
            page.close()
            yield Console(link.partition("/?")[0], process, context)
        finally:
            context.close()


@contextmanager
def _started(state: State) -> Iterator[tuple[str, psutil.Process]]:
    """A console: its link, and its process."""
    environ: dict[str, Any] = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "console", "--port", "0"],
        cwd=state.root, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert process.stdout
        yield process.stdout.readline().split()[-1], psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)


if __name__ == "__main__":
    main()
