"""The console in a real browser: ``python -m benchmarks console``. Seven minutes.

* First paint of each page (``first-contentful-paint``, W3C Paint Timing), its layout shifts until it is live (Layout
  Instability), and the time from the write of a record or a log until the page shows it.
* Memory of the console's process after that: its proportional set size.
* What it costs the gate: pairs of gates on a local cloud, without it and with four windows of it, open and live, in the
  order ABBA. The ratio of the p99s of each route, and of all by their geometric mean.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
ORDER = (False, True, True, False)
"""Of the gates: is the console open?"""
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
            found = {True: [], False: []}  # type: dict[bool, list[dict[str, float]]]
            for is_open in ORDER:
                found[is_open].append(_gate(platform, run, state, browser, is_open=is_open))
        print("p99 of the gate            without          with   ratio")
        ratios = []
        for route in found[False][0]:
            without, beside = (statistics.geometric_mean(p99s[route] for p99s in found[each]) for each in (False, True))
            ratios.append(beside / without)
            print(f"{route:20}  {without:9.1f} ms  {beside:9.1f} ms  {ratios[-1]:6.3f}")
        same = [
            statistics.geometric_mean(b / a for a, b in zip(*map(dict.values, each), strict=True))
            for each in found.values()
        ]
        print(f"all, geometric mean   {statistics.geometric_mean(ratios):33.3f}")
        print(f"two gates of the same kind differ by {', '.join(f'{each:.3f}' for each in same)}")


def _gate(platform: Platform, run: Run, state: State, browser: Browser, *, is_open: bool) -> dict[str, float]:
    """The p99 of each route, ms."""
    reports = run.source / "reports/dev"
    reports.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "loadtest.gate", "--env", "dev", "--reports", str(reports), *GATE.split()]
    with _open(state, browser) if is_open else tempfile.TemporaryDirectory():
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
def _console(state: State, browser: Browser) -> Iterator[Console]:
    environ: dict[str, Any] = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "console", "--port", "0"],
        cwd=state.root, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        assert process.stdout
        link = process.stdout.readline().split()[-1]
        page = context.new_page()
        page.goto(link)
        page.wait_for_url("**/promotion")
        page.close()
        yield Console(link.partition("/?")[0], psutil.Process(process.pid), context)
    finally:
        context.close()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)


if __name__ == "__main__":
    main()
