"""Takes the docs' pictures of the console: ``make pictures``.

The pages are the console's own, in a real browser. The promotions, payments and metrics on them are those of ``story``,
and the dashboard is the one in the template of prod, as the last synthesis wrote it.
"""

import base64
import json
import os
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from pipeline.local.state import State
from tests.browser.chromium import ROOT, chromium
from tests.browser.platforms import resolved, serving
from tests.browser.story import loaded, told

FOLDER = Path("docs/pictures")
MOST_BYTES = 60_000
WIDE, NARROW = (1000, 720), (400, 800)
PICTURES = (
    ("promotion", "/promotion", "light", WIDE),
    ("release", "/release/prod", "light", WIDE),
    ("gate", "/gate", "light", WIDE),
    ("platform", "/platform/prod", "light", WIDE),
    ("payments", "/payments/prod", "light", WIDE),
    ("evidence", "/evidence", "light", WIDE),
    ("release-dark", "/release/prod", "dark", WIDE),
    ("promotion-narrow", "/promotion", "light", NARROW),
)
"""Name, page, theme, and size in pixels."""


def main() -> None:
    found = chromium()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        state = State(Path(folder))
        state.prepare()
        run, platforms = told(state)
        platforms.dashboard = dashboard()
        launched = playwright.chromium.launch(
            executable_path=found.program,
            args=["--no-sandbox"],
            env={**os.environ, **found.variables},  # type: ignore[arg-type]
        )
        with serving(state, platforms) as link:
            first = launched.new_page()
            first.goto(link)
            first.wait_for_url("**/promotion")
            opened = first.context.storage_state()
            for name, path, scheme, (width, height) in PICTURES:
                size = {"width": width, "height": height}
                context = launched.new_context(viewport=size, color_scheme=scheme, storage_state=opened)  # type: ignore[arg-type]
                page = context.new_page()
                if path == "/gate":
                    loaded(run, "prod")
                page.goto(link.partition("/?")[0] + path)
                save(page, FOLDER / f"console-{name}.webp")
                context.close()
        launched.close()


def dashboard() -> str:
    """The body in the template of prod."""
    [file] = (ROOT / "cdk.out/assembly-Prod").glob("*.template.json")
    resources = json.loads(file.read_text())["Resources"].values()
    [body] = [r["Properties"]["DashboardBody"] for r in resources if r["Type"] == "AWS::CloudWatch::Dashboard"]
    return resolved(body)


def save(page: Page, file: Path) -> None:
    """What the window shows, when it is live and has come to rest."""
    if page.locator("#live").count():
        page.wait_for_selector('[data-stream="on"]')
    page.wait_for_timeout(1200)
    asked = {"format": "webp", "quality": 80}
    taken = page.context.new_cdp_session(page).send("Page.captureScreenshot", asked)
    content = base64.b64decode(taken["data"])
    if len(content) > MOST_BYTES:
        raise SystemExit(f"{file} would have {len(content)} bytes, and a picture may have {MOST_BYTES}")
    file.write_bytes(content)
    print(file)


if __name__ == "__main__":
    main()
