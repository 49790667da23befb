"""The routes of the gates."""

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from console.gates.reading import Gates
from console.live import live
from console.pages import Pages
from console.security import REPORT_POLICY
from console.show import part

AT = "/gate"


@dataclass(frozen=True, kw_only=True)
class GateRoutes:
    pages: Pages
    gates: Gates

    def routes(self) -> list[Route]:
        return [
            Route(AT, self.show),
            Route(f"{AT}/live", self.live),
            Route(f"{AT}/{{promotion}}/{{environment}}/{{name}}", self.report),
        ]

    def show(self, request: Request) -> Response:
        return self.pages.html("gate.html", at=AT, gates=self.gates.latest())

    def live(self, request: Request) -> Response:
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
        return self.pages.html("report.html", at=AT, title=title, source=f"{request.url.path}?raw", back=AT)
