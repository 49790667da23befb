"""The application: the routes of all pages behind the guard.

A page has an address, a stream of its live regions, and a page that asks for the confirmation of each action.
"""

from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from console.evidence.reading import Evidence
from console.evidence.routes import EvidenceRoutes
from console.gates.reading import Gates
from console.gates.routes import GateRoutes
from console.monitoring.reading import Monitoring
from console.monitoring.routes import PlatformRoutes
from console.pages import Pages
from console.payments.reading import Payments
from console.payments.routes import PaymentRoutes
from console.platforms import Platforms
from console.promotions.model import Promotions
from console.promotions.routes import PromotionRoutes
from console.releases.reading import Releases
from console.releases.routes import ReleaseRoutes
from console.security import Forbidden, Guard, Keys, refusal
from console.show import Frame
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


@dataclass(frozen=True, kw_only=True)
class Console:
    """What stands behind the pages."""

    frame: Frame
    keys: Keys
    platforms: Platforms
    promotions: Promotions
    releases: Releases
    gates: Gates
    monitoring: Monitoring
    payments: Payments
    evidence: Evidence

    def app(self, *, port: int, hosts: tuple[str, ...]) -> ASGIApp:
        """The application as it answers at ``port`` under the names ``hosts``."""
        pages = Pages(frame=self.frame, keys=self.keys, platforms=self.platforms)
        parts = (
            PromotionRoutes(pages=pages, promotions=self.promotions),
            ReleaseRoutes(pages=pages, releases=self.releases),
            GateRoutes(pages=pages, gates=self.gates),
            PlatformRoutes(pages=pages, monitoring=self.monitoring),
            PaymentRoutes(pages=pages, payments=self.payments),
            EvidenceRoutes(pages=pages, evidence=self.evidence),
        )
        own = [Route("/favicon.ico", _icon), Route("/static/{name}", _static)]
        routes = [*own, *(route for each in parts for route in each.routes())]
        handlers = {Forbidden: _forbidden, HTTPException: _http_error, 500: _defect}
        app = Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type]
        return Guard(app, keys=self.keys, port=port, hosts=hosts)


def _icon(request: Request) -> Response:
    return FileResponse(FILES["icon.svg"])


def _static(request: Request) -> Response:
    file = FILES.get(request.path_params["name"])
    if file is None:
        raise HTTPException(404)
    return FileResponse(file, headers={"Cache-Control": "max-age=31536000, immutable"})  # its address is of this start


def _forbidden(request: Request, error: Exception) -> Response:
    return refusal(403, str(error))


def _http_error(request: Request, error: HTTPException) -> Response:
    return refusal(error.status_code, "There is no such page here." if error.status_code == 404 else "Not possible.")


def _defect(request: Request, error: Exception) -> Response:
    return refusal(500, "This is a defect of the console. Its terminal shows where. Reload the page to try again.")
