"""The routes of the payments."""

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.live import live
from console.pages import Command, Pages
from console.payments import page
from console.payments.reading import Payments, Query
from console.show import part

AT = "/payments"


@dataclass(frozen=True, kw_only=True)
class PaymentRoutes:
    pages: Pages
    payments: Payments

    def routes(self) -> list[Route]:
        return [
            Route(AT, self.pages.of_prod),
            Route(f"{AT}/{{environment}}", self.show),
            Route(f"{AT}/{{environment}}/live", self.live),
            Route(f"{AT}/{{environment}}/{{id}}/{{decision}}", self.decide, methods=["GET", "POST"]),
        ]

    def show(self, request: Request) -> Response:
        environment, pages = self.pages.environment(request), self.pages
        asked, actions = request.query_params, pages.frame.actions
        query = page.query_of(asked)
        values = {
            **page.looked_up(environment, query, self.payments, actions),
            **page.form(query, asked.get("day", ""), environment, pages.platforms, actions),
        }
        return pages.html("payments.html", at=AT, environments=pages.platforms.names(), **values)

    def live(self, request: Request) -> Response:
        """Payments are looked up again when an action has begun or ended: an API is not asked twice a second."""
        environment, query = self.pages.environment(request), page.query_of(request.query_params)
        frame = self.pages.frame
        known: object = None
        html = ""

        def render() -> dict[str, str]:
            nonlocal html, known
            now = [(each.id, each.exit_code) for each in page.recorded(environment, frame.actions)]
            if now != known:
                values = page.looked_up(environment, query, self.payments, frame.actions)
                known, html = now, part("payments_live.html", frame=frame, **values)
            return {"found": html}

        return live(render)

    async def decide(self, request: Request) -> Response:
        environment, id = self.pages.environment(request), str(request.path_params["id"])
        decision = str(request.path_params["decision"])
        if decision not in page.DECISIONS or not page.ID.fullmatch(id):
            raise HTTPException(404)
        title, effect = page.DECISIONS[decision]
        found = await run_in_threadpool(self.payments.look_up, environment, Query(id=id))
        command = Command(
            module="pipeline.transactions",
            words=("--env", environment, "decide", id, decision),
            target=f"payment of {environment}: {id}",
            title=f"{title} {id}",
            effect=effect,
            facts=list(page.facts(found)),
            grave=decision == "decline",
        )
        back = f"{AT}/{environment}?id={id}"
        return await self.pages.confirmed(request, command, environment=environment, at=AT, back=back)
