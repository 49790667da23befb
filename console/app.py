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
from console.payments import page as payments_page
from console.payments.reading import Payments, Query
from console.platforms import PERMANENT, NotRunning, Platforms
from console.promotions import page as promotion_page
from console.promotions.model import CannotDecide, NotFound, Promotions
from console.releases import page as release_page
from console.releases.commands import COMMANDS
from console.releases.reading import Releases
from console.security import REPORT_POLICY, Forbidden, Guard, Keys, form, refusal
from console.show import Frame, part
from pipeline.release.ports import Unavailable
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
    payments: Payments

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
            except (CannotDecide, NotAllowed, NotFound, OSError, Unavailable) as error:
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
        return await self._confirmed(
            request,
            module="pipeline.release",
            words=[*command.words, "--env", environment],
            environment=environment,
            target=f"release of {environment}",
            at="/release",
            back=f"/release/{environment}",
            title=f"{command.title} the release of {environment}",
            effect=[command.effect],
            facts=[],
            grave=command.grave,
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

    # Payments

    def payment(self, request: Request) -> Response:
        environment, actions = self._environment(request), self.frame.actions
        values = payments_page.view(environment, request.query_params, self.payments, self.platforms, actions)
        return self._html("payments.html", at="/payments", environments=self.releases.names(), **values)

    async def decide_payment(self, request: Request) -> Response:
        environment, id = self._environment(request), str(request.path_params["id"])
        decision = str(request.path_params["decision"])
        if decision not in payments_page.DECISIONS or not payments_page.ID.fullmatch(id):
            raise HTTPException(404)
        words = ["--env", environment, "decide", id, decision]
        title, effect = payments_page.DECISIONS[decision]
        found = await run_in_threadpool(self.payments.look_up, environment, Query(id=id))
        facts = [f"{name}: {value}" for each in found.payments for name, value in each.items() if name != "history"]
        return await self._confirmed(
            request,
            module="pipeline.transactions",
            words=words,
            environment=environment,
            target=f"payment of {environment}: {id}",
            at="/payments",
            back=f"/payments/{environment}",
            title=f"{title} {id}",
            effect=[effect],
            facts=facts or [found.trouble or "There is no such payment."],
            grave=decision == "decline",
        )

    # Frame

    async def _confirmed(
        self,
        request: Request,
        *,
        module: str,
        words: list[str],
        environment: str,
        target: str,
        at: str,
        back: str,
        title: str,
        effect: list[str],
        facts: list[str],
        grave: bool,
    ) -> Response:
        """The page that asks for a reason; with it, the start of ``python -m module words``."""
        fields = await form(request, self.keys) if request.method == "POST" else {}
        reason, refused = fields.get("reason", "")[:500].strip(), ""
        if request.method == "POST":
            try:
                if not reason:
                    raise NotAllowed("Say why: the reason is recorded.")
                await run_in_threadpool(self._start, module, words, reason, environment, target)
                return RedirectResponse(back, 303)
            except (NotAllowed, NotRunning, OSError) as error:
                refused = str(error)
        return self._html(
            "confirm.html",
            status=409 if refused else 200,
            at=at,
            title=title,
            refusal=refused,
            effect=effect,
            facts=facts,
            facts_title="What it is about",
            grave=grave,
            action=request.url.path,
            hidden={},
            asks_name=False,
            reason=reason,
            command=f"python -m {module} {shlex.join(words)} --reason …",
            back=back,
        )

    def _start(self, module: str, words: list[str], reason: str, environment: str, target: str) -> None:
        variables = self.platforms.variables(environment)
        self.frame.actions.start(
            module, *words, f"--reason={reason}", target=target, reason=reason, environment=variables
        )

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
            Route("/payments", self.of_prod),
            Route("/payments/{environment}", self.payment),
            Route("/payments/{environment}/{id}/{decision}", self.decide_payment, methods=get_and_post),
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
