"""The routes of the releases."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.live import live
from console.pages import Command, Pages
from console.releases import page
from console.releases.commands import COMMANDS
from console.releases.reading import Releases
from console.show import part

AT = "/release"


@dataclass(frozen=True, kw_only=True)
class ReleaseRoutes:
    pages: Pages
    releases: Releases

    def routes(self) -> list[Route]:
        return [
            Route(AT, self.pages.of_prod),
            Route(f"{AT}/{{environment}}", self.show),
            Route(f"{AT}/{{environment}}/live", self.live),
            Route(f"{AT}/{{environment}}/{{command}}", self.command, methods=["GET", "POST"]),
        ]

    def show(self, request: Request) -> Response:
        environment = self.pages.environment(request)
        values = self._values(environment)
        return self.pages.html("release.html", at=AT, environments=self.pages.platforms.names(), **values)

    def live(self, request: Request) -> Response:
        environment, frame = self.pages.environment(request), self.pages.frame

        def made_of() -> object:
            measured = self.pages.platforms.is_measured(environment)
            return self.releases.standing(environment).version, frame.actions.latest(), measured

        return live(
            lambda: {"live": part("release_live.html", frame=frame, **self._values(environment))},
            of=made_of,
        )

    def _values(self, environment: str) -> Mapping[str, Any]:
        measured = self.pages.platforms.is_measured(environment)
        standing = self.releases.standing(environment)
        return page.view(environment, standing, self.pages.frame.actions, measured=measured)

    async def command(self, request: Request) -> Response:
        environment, wanted = self.pages.environment(request), COMMANDS.get(request.path_params["command"])
        if wanted is None:
            raise HTTPException(404)
        command = Command(
            module="pipeline.release",
            words=(*wanted.words, "--env", environment),
            target=f"release of {environment}",
            title=f"{wanted.title} the release of {environment}",
            effect=wanted.effect,
            facts=page.facts(self.releases.standing(environment).value),
            grave=wanted.grave,
        )
        return await self.pages.confirmed(request, command, environment=environment, at=AT, back=f"{AT}/{environment}")
