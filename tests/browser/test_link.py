"""The printed link in a real browser: what its history, other servers of this machine and other browsers get of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from playwright.sync_api import Browser, expect

from pipeline.local.state import State
from tests.browser.platforms import Platforms, serving
from tests.recorded import three


@contextmanager
def neighbour(link: str) -> Iterator[tuple[int, list[str | None]]]:
    """Another server of this machine, whose page links to ``link``: its port, and the cookies that it was sent."""
    cookies: list[str | None] = []

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                cookies.append(self.headers["Cookie"])
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f'<!doctype html><a href="{link}">Console</a>'.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port, cookies
        finally:
            server.shutdown()
            thread.join(10)


def test_the_link_opens_one_browser_and_tells_nobody_else(state: State, browser: Browser) -> None:
    three(state)
    with serving(state, Platforms()) as link, neighbour(link) as (port, cookies):
        context = browser.new_context()
        page = context.new_page()
        # Given a person who follows the link on a page of another site, such as a terminal in a browser
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_role("link", name="Console").click()
        # Then the console is there and live, although a strict cookie is not sent on the way from another site
        page.wait_for_url("**/promotion")
        expect(page.locator("#connection")).to_have_text("live")
        # And the token is not in the tab's history
        history = context.new_cdp_session(page).send("Page.getNavigationHistory")["entries"]
        addresses = [each["url"] for each in history]
        assert addresses[-1] == page.url
        assert [each for each in addresses if "token" in each] == []
        # And no other server of this machine is sent the cookie, under whichever name
        assert [each["name"] for each in context.cookies()] == [f"console-{page.url.split(':')[2].split('/')[0]}"]
        for name in ("127.0.0.1", "localhost", "another.localhost"):
            page.goto(f"http://{name}:{port}/")
        assert cookies == [None] * 4
        # And who finds the link later, opens nothing with it
        other = browser.new_context()
        stranger = other.new_page()
        stranger.goto(link)
        expect(stranger.locator("body")).to_contain_text("This link has opened a browser already")
        assert other.cookies() == []
        other.close()
        context.close()
