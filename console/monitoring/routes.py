"""The routes of the platform's dashboard and alarms."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.live import live
from console.monitoring import page
from console.monitoring.reading import Monitoring
from console.pages import Pages
from console.show import part

AT = "/platform"


@dataclass(frozen=True, kw_only=True)
class PlatformRoutes:
    pages: Pages
    monitoring: Monitoring

    def routes(self) -> list[Route]:
        return [
            Route(AT, self.pages.of_prod),
            Route(f"{AT}/{{environment}}", self.show),
            Route(f"{AT}/{{environment}}/live", self.live),
        ]

    def show(self, request: Request) -> Response:
        values = self._values(self.pages.environment(request))
        return self.pages.html("platform.html", at=AT, environments=self.pages.platforms.names(), **values)

    def live(self, request: Request) -> Response:
        environment = self.pages.environment(request)
        return live(
            lambda: {"live": part("platform_live.html", **self._values(environment))},
            of=lambda: (self.monitoring.view(environment).version, self.pages.platforms.is_measured(environment)),
        )

    def _values(self, environment: str) -> Mapping[str, Any]:
        measured = self.pages.platforms.is_measured(environment)
        return page.view(environment, self.monitoring.view(environment), measured=measured)
