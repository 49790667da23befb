"""Who may call the console: the browser of the person who started it, from pages of its own.

A console on loopback can be reached by every page that this person's browser shows, and by every user of the machine:

- *Another user or program*: needs the token of the printed link. It opens one browser, which then has a cookie.
- *Another server of this machine*, which the person's browser visits: cookies know no ports (RFC 6265, section 8.5),
  and would be sent to it. So the console has a host name of its own at each start, which browsers take for loopback.
- *A page of another site* (CSRF): the cookie is ``SameSite=Strict``, ``Origin`` and ``Sec-Fetch-Site`` are checked, and
  each form holds a value that only our pages know.
- *A name that is made to resolve to 127.0.0.1* (DNS rebinding): only the console's own names are answered as ``Host``.
- *Markup in a commit, a log or an answer*: the content security policy runs no script but our files.
"""

import hmac
import secrets
from collections.abc import Callable, Iterable
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST_FORM = 16_384
"""Bytes."""
CSRF_FIELD = "csrf"
SPENT = (
    "This link has opened a browser already, or is of an earlier start. The console printed a new one in its terminal. "
    "If it was not you who opened it, somebody else has: end the console, and start it again."
)

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
    """The secrets of one start: the token in the link, the value of the cookie, that of the forms, and the host name.

    A token is good once: browsers and terminals keep it in their history, and a command that opens a browser shows it
    to every user of the machine. ``announce`` is called with the next one.
    """

    def __init__(self, announce: Callable[[str], None] = lambda _: None) -> None:
        self.token = secrets.token_urlsafe(32)
        self.cookie = secrets.token_urlsafe(32)
        self.csrf = secrets.token_urlsafe(32)
        self.host = f"console-{secrets.token_hex(8)}.localhost"
        self.announce = announce

    def spend(self, token: str) -> bool:
        """Whether ``token`` opens a browser now. If so, it opens no other one."""
        if not _same(token, self.token):
            return False
        self.token = secrets.token_urlsafe(32)
        self.announce(self.token)
        return True


class Guard:
    """ASGI middleware: passes on what comes from the person's own pages, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, *, keys: Keys, port: int, hosts: Iterable[str]) -> None:
        self.app, self.keys = app, keys
        self.authorities = {f"{host}:{port}" for host in hosts}
        self.cookie_name = f"console-{port}"
        """Where a browser does not know our host name, two consoles must not overwrite each other's."""

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
            return refusal(421, "This console answers only under the link that it printed last. Open that one.")
        if not self._is_own(headers, safe=request.method in ("GET", "HEAD")):
            return refusal(403, "This request came from another site, so it was refused.")
        known = _same(request.cookies.get(self.cookie_name, ""), self.keys.cookie)
        if request.url.path == "/" and request.method == "GET":
            return self._enter(request.query_params.get("token"), known=known)
        if not known:
            return refusal(401, "Open the link that the console printed last in its terminal. It opens one browser.")
        return None

    def _is_own(self, headers: Headers, *, safe: bool) -> bool:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None or not safe:
            return origin is not None and urlsplit(origin).netloc == headers["host"] and origin.startswith("http://")
        return site in (None, "none", "same-origin") or headers.get("sec-fetch-mode") == "navigate"

    def _enter(self, token: str | None, *, known: bool) -> Response:
        if token is None:
            # Not a redirect: a browser that comes from another site would follow it without a strict cookie.
            return HTMLResponse(page("Opening the console …", ""), headers={"Refresh": "0; url=/promotion"})
        answer = RedirectResponse("/", 303)  # the address of the tab holds no token
        if not known:
            if not self.keys.spend(token):
                return refusal(401, SPENT)
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
