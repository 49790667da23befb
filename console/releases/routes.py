"""The routes of the releases."""

from dataclasses import dataclass

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
        values = page.view(environment, self.releases.standing(environment), self.pages.frame.actions)
        return self.pages.html("release.html", at=AT, environments=self.pages.platforms.names(), **values)

    def live(self, request: Request) -> Response:
        environment, frame = self.pages.environment(request), self.pages.frame

        def render() -> dict[str, str]:
            values = page.view(environment, self.releases.standing(environment), frame.actions)
            return {"live": part("release_live.html", frame=frame, **values)}

        return live(render)

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
