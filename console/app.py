"""The routes. Each page has an address, a stream of its live region, and a page to confirm each action."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from console.actions import NotAllowed
from console.gates.reading import Gates
from console.live import growing, live
from console.monitoring import page as platform_page
from console.monitoring.reading import Monitoring
from console.platforms import PERMANENT, NotRunning, Platforms
from console.promotions import page as promotion_page
from console.promotions.model import CannotDecide, NotFound, Promotions
from console.releases import page as release_page
from console.releases.commands import COMMANDS
from console.releases.reading import Releases
from console.security import REPORT_POLICY, Forbidden, Guard, Keys, form, refusal
from console.show import Frame, part
from reporting.page import TEMPLATES as REPORT_TEMPLATES

HERE = Path(__file__).parent
NODE_MODULES = HERE.parent / "node_modules"
FILES = {
    "console.css": HERE / "static/console.css",
    "console.js": HERE / "static/console.js",
    "icon.svg": HERE / "static/icon.svg",
    "page.css": REPORT_TEMPLATES / "page.css",
    "htmx.js": NODE_MODULES / "htmx.org/dist/htmx.min.js",
    "hx-sse.js": NODE_MODULES / "htmx.org/dist/ext/hx-sse.min.js",
}
DECISIONS = {"approve": "Approve", "reject": "Reject"}
POSITION = re.compile(r"[\w .:/-]+:\d+")
"""Of a log: step and offset."""


@dataclass(frozen=True, kw_only=True)
class Console:
    """The pages, and what stands behind them. The methods are the routes."""

    frame: Frame
    keys: Keys
    promotions: Promotions
    platforms: Platforms
    releases: Releases
    gates: Gates
    monitoring: Monitoring

    # Promotion

    def promotion(self, request: Request) -> Response:
        return self._html("promotion.html", at="/promotion", **self._promotion(request))

    def promotion_live(self, request: Request) -> Response:
        def render() -> dict[str, str]:
            values = self._promotion(request)
            return {id: part(f"promotion_{id}.html", frame=self.frame, **values) for id in ("live", "more")}

        return live(render)

    def promotion_log(self, request: Request) -> Response:
        asked = request.query_params
        since = request.headers.get("last-event-id", "")

        def more(position: str | None) -> tuple[str, str]:
            return promotion_page.log_part(self.promotions, asked.get("promotion"), asked.get("step"), position)

        return growing(more, since if POSITION.fullmatch(since) else None)

    def _promotion(self, request: Request) -> Mapping[str, Any]:
        asked = request.query_params
        return promotion_page.view(self.promotions, asked.get("promotion"), asked.get("step"), self.frame.actions)

    async def decide(self, request: Request) -> Response:
        fields = await form(request, self.keys) if request.method == "POST" else dict(request.query_params)
        promotion, decision = fields.get("promotion", ""), fields.get("decision", "")
        if decision not in DECISIONS:
            raise HTTPException(404)
        refused = ""
        if request.method == "POST":
            try:
                await run_in_threadpool(
                    self.promotions.decide,
                    promotion,
                    "approve" if decision == "approve" else "reject",
                    name=fields.get("name", "")[:100],
                    comment=fields.get("reason", "")[:500],
                )
                return RedirectResponse("/promotion", 303)
            except (CannotDecide, NotAllowed, NotFound, OSError) as error:
                refused = str(error)
        facts = await run_in_threadpool(self.promotions.change, promotion)
        effects = {
            "approve": "The promotion goes on to the environment that waits, with this commit.",
            "reject": "The promotion ends. The environment that waits keeps what it runs.",
        }
        return self._html(
            "confirm.html",
            status=409 if refused else 200,
            at="/promotion",
            title=DECISIONS[decision],
            refusal=refused,
            effect=[effects[decision]],
            facts=facts,
            facts_title="What it is about",
            grave=decision == "reject",
            action="/promotion/decide",
            hidden={"promotion": promotion, "decision": decision},
            asks_name=True,
            name=fields.get("name", self.frame.actions.who),
            reason=fields.get("reason", ""),
            command=f"make {decision}",
            back="/promotion",
        )

    # Release

    def of_prod(self, request: Request) -> Response:
        """From the entry in the navigation to the environment that matters most."""
        return RedirectResponse(f"{request.url.path}/{PERMANENT[-1]}")

    def release(self, request: Request) -> Response:
        environment = self._environment(request)
        values = release_page.view(environment, self.releases.standing(environment), self.frame.actions)
        return self._html("release.html", at="/release", environments=self.releases.names(), **values)

    def release_live(self, request: Request) -> Response:
        environment = self._environment(request)

        def render() -> dict[str, str]:
            values = release_page.view(environment, self.releases.standing(environment), self.frame.actions)
            return {"live": part("release_live.html", frame=self.frame, **values)}

        return live(render)

    async def release_command(self, request: Request) -> Response:
        environment, command = self._environment(request), COMMANDS.get(request.path_params["command"])
        if command is None:
            raise HTTPException(404)
        fields = await form(request, self.keys) if request.method == "POST" else {}
        reason, refused = fields.get("reason", "")[:500].strip(), ""
        words = [*command.words, "--env", environment]
        if request.method == "POST":
            try:
                if not reason:
                    raise NotAllowed("Say why: the reason is recorded.")
                await run_in_threadpool(self._start_release, environment, words, reason)
                return RedirectResponse(f"/release/{environment}", 303)
            except (NotAllowed, NotRunning, OSError) as error:
                refused = str(error)
        return self._html(
            "confirm.html",
            status=409 if refused else 200,
            at="/release",
            title=f"{command.title} the release of {environment}",
            refusal=refused,
            effect=[command.effect, f"It is {environment}."],
            facts=(),
            grave=command.grave,
            action=request.url.path,
            hidden={},
            asks_name=False,
            reason=reason,
            command=f"python -m pipeline.release {shlex.join(words)} --reason …",
            back=f"/release/{environment}",
        )

    def _start_release(self, environment: str, words: list[str], reason: str) -> None:
        self.frame.actions.start(
            "pipeline.release",
            *words,
            f"--reason={reason}",
            target=f"release of {environment}",
            reason=reason,
            environment=self.platforms.variables(environment),
        )

    def _environment(self, request: Request) -> str:
        environment = str(request.path_params["environment"])
        if environment not in self.releases.names():
            raise HTTPException(404, f"There is no environment {environment}.")
        return environment

    # Gate

    def gate(self, request: Request) -> Response:
        return self._html("gate.html", at="/gate", gates=self.gates.latest())

    def gate_live(self, request: Request) -> Response:
        return live(lambda: {"live": part("gate_live.html", gates=self.gates.latest())})

    def report(self, request: Request) -> Response:
        """A report in the frame of the console; with ``?raw``, the report alone, as that frame shows it."""
        named = request.path_params
        file = self.gates.report(named["promotion"], named["environment"], named["name"])
        if file is None:
            raise HTTPException(404)
        if "raw" in request.query_params:
            return FileResponse(file, headers={"Content-Security-Policy": REPORT_POLICY})
        title = f"{named['name']} of {named['environment']}"
        return self._html("report.html", at="/gate", title=title, source=f"{request.url.path}?raw", back="/gate")

    # Platform

    def platform(self, request: Request) -> Response:
        environment = self._environment(request)
        values = platform_page.view(environment, self.monitoring.view(environment))
        return self._html("platform.html", at="/platform", environments=self.releases.names(), **values)

    def platform_live(self, request: Request) -> Response:
        environment = self._environment(request)

        def render() -> dict[str, str]:
            values = platform_page.view(environment, self.monitoring.view(environment))
            return {"live": part("platform_live.html", **values)}

        return live(render)

    # Frame

    def home(self, request: Request) -> Response:
        return RedirectResponse("/promotion")

    def icon(self, request: Request) -> Response:
        return FileResponse(FILES["icon.svg"])

    def static(self, request: Request) -> Response:
        file = FILES.get(request.path_params["name"])
        if file is None:
            raise HTTPException(404)
        return FileResponse(file, headers={"Cache-Control": "no-cache"})

    def _html(self, template: str, *, at: str, status: int = 200, **values: object) -> Response:
        return HTMLResponse(self.frame.page(template, at=at, **values), status_code=status)

    def app(self, *, port: int, hosts: tuple[str, ...]) -> ASGIApp:
        """The application behind its guard."""
        get_and_post = ["GET", "POST"]
        routes = [
            Route("/", self.home),
            Route("/favicon.ico", self.icon),
            Route("/static/{name}", self.static),
            Route("/promotion", self.promotion),
            Route("/promotion/live", self.promotion_live),
            Route("/promotion/log", self.promotion_log),
            Route("/promotion/decide", self.decide, methods=get_and_post),
            Route("/release", self.of_prod),
            Route("/release/{environment}", self.release),
            Route("/release/{environment}/live", self.release_live),
            Route("/release/{environment}/{command}", self.release_command, methods=get_and_post),
        ]
        routes += [
            Route("/gate", self.gate),
            Route("/gate/live", self.gate_live),
            Route("/gate/{promotion}/{environment}/{name}", self.report),
            Route("/platform", self.of_prod),
            Route("/platform/{environment}", self.platform),
            Route("/platform/{environment}/live", self.platform_live),
        ]
        handlers = {Forbidden: _forbidden, HTTPException: _http_error, 500: _defect}
        return Guard(
            Starlette(routes=routes, exception_handlers=handlers),  # type: ignore[arg-type]
            keys=self.keys,
            port=port,
            hosts=hosts,
        )


def _forbidden(request: Request, error: Exception) -> Response:
    return refusal(403, str(error))


def _http_error(request: Request, error: HTTPException) -> Response:
    return refusal(error.status_code, "There is no such page here." if error.status_code == 404 else "Not possible.")


def _defect(request: Request, error: Exception) -> Response:
    return refusal(500, "This is a defect of the console. Its terminal shows where. Reload the page to try again.")
