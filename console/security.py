"""Who may call the console: the browser of the person who started it, from pages of its own.

A console on loopback can be reached by every page that this person's browser shows, and by every user of the machine:

- *Another user or program*: needs the token of the printed link. It is made at each start and kept as a cookie.
- *A page of another site* (CSRF): the cookie is ``SameSite=Strict``, ``Origin`` and ``Sec-Fetch-Site`` are checked, and
  each form holds a value that only our pages know.
- *A name that is made to resolve to 127.0.0.1* (DNS rebinding): only the console's own names are answered as ``Host``.
- *Markup in a commit, a log or an answer*: the content security policy runs no script but our files.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST_FORM = 16_384
"""Bytes."""
CSRF_FIELD = "csrf"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'self'"
"""Of an HTML report in a run's folder: the commit's own code wrote it. It runs nothing and belongs to no origin."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # With "no-referrer" a browser would send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cache-Control": "no-store",
}


class Forbidden(Exception):
    """The request is not one of our own pages. The message says what to do."""


class Keys:
    """The secrets of one start: the token in the link, the value of the cookie, and that of the forms."""

    def __init__(self, token: str | None = None) -> None:
        self.token = token or secrets.token_urlsafe(32)
        self.cookie = self._derived("cookie")
        self.csrf = self._derived("csrf")

    def _derived(self, purpose: str) -> str:
        return hmac.new(self.token.encode(), purpose.encode(), hashlib.sha256).hexdigest()


class Guard:
    """ASGI middleware: passes on what comes from the person's own pages, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, *, keys: Keys, port: int, hosts: Iterable[str]) -> None:
        self.app, self.keys = app, keys
        self.authorities = {f"{host}:{port}" for host in hosts}
        self.cookie_name = f"console-{port}"
        """Cookies know no ports: two consoles of one machine must not overwrite each other's."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._answer(Request(scope))
        await (answer or self.app)(scope, receive, with_headers)

    def _answer(self, request: Request) -> Response | None:
        """The answer to a request that goes no further."""
        headers = request.headers
        if headers.get("host") not in self.authorities:
            return refusal(421, "This console answers only under the address that it printed at its start.")
        if not self._is_own(headers, safe=request.method in ("GET", "HEAD")):
            return refusal(403, "This request came from another site, so it was refused.")
        token = request.query_params.get("token")
        if token is not None and request.method == "GET":
            return self._enter(token)
        if not _same(request.cookies.get(self.cookie_name, ""), self.keys.cookie):
            text = "Open the link that the console printed in its terminal. It holds a token that is new at each start."
            return refusal(401, text)
        return None

    def _is_own(self, headers: Headers, *, safe: bool) -> bool:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None or not safe:
            return origin is not None and urlsplit(origin).netloc == headers["host"] and origin.startswith("http://")
        return site in (None, "none", "same-origin") or headers.get("sec-fetch-mode") == "navigate"

    def _enter(self, token: str) -> Response:
        if not _same(token, self.keys.token):
            return refusal(401, "This link is of an earlier start. The console printed a new one in its terminal.")
        # Not a redirect: a browser that comes from another site would follow it without a strict cookie.
        answer = HTMLResponse(page("Opening the console …", ""), headers={"Refresh": "0; url=/promotion"})
        answer.set_cookie(self.cookie_name, self.keys.cookie, httponly=True, samesite="strict", path="/")
        return answer


async def form(request: Request, keys: Keys) -> dict[str, str]:
    """The fields of one of our own forms. Raises ``Forbidden`` for any other body."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise Forbidden("This is no form of the console.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            raise Forbidden("The form is too long.")
    try:
        fields = {name: values[-1] for name, values in parse_qs(body.decode(), max_num_fields=50).items()}
    except ValueError as error:
        raise Forbidden("The form can't be read.") from error
    if not _same(fields.pop(CSRF_FIELD, ""), keys.csrf):
        raise Forbidden("The page is of an earlier start of the console: reload it, and try again.")
    return fields


def refusal(status: int, text: str) -> Response:
    return HTMLResponse(page("Console", text), status_code=status)


def page(title: str, text: str) -> str:
    """A page without any data. ``title`` and ``text`` are ours."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><h1>{title}</h1><p>{text}</p></html>"
    )


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())
