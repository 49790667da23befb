"""The routes of the payments."""

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.pages import Command, Pages
from console.payments import page
from console.payments.reading import Payments, Query

AT = "/payments"


@dataclass(frozen=True, kw_only=True)
class PaymentRoutes:
    pages: Pages
    payments: Payments

    def routes(self) -> list[Route]:
        return [
            Route(AT, self.pages.of_prod),
            Route(f"{AT}/{{environment}}", self.show),
            Route(f"{AT}/{{environment}}/{{id}}/{{decision}}", self.decide, methods=["GET", "POST"]),
        ]

    def show(self, request: Request) -> Response:
        environment, pages = self.pages.environment(request), self.pages
        values = page.view(environment, request.query_params, self.payments, pages.platforms, pages.frame.actions)
        return pages.html("payments.html", at=AT, environments=pages.platforms.names(), **values)

    async def decide(self, request: Request) -> Response:
        environment, id = self.pages.environment(request), str(request.path_params["id"])
        decision = str(request.path_params["decision"])
        if decision not in page.DECISIONS or not page.ID.fullmatch(id):
            raise HTTPException(404)
        title, effect = page.DECISIONS[decision]
        found = await run_in_threadpool(self.payments.look_up, environment, Query(id=id))
        facts = [f"{name}: {value}" for each in found.payments for name, value in each.items() if name != "history"]
        command = Command(
            module="pipeline.transactions",
            words=("--env", environment, "decide", id, decision),
            target=f"payment of {environment}: {id}",
            title=f"{title} {id}",
            effect=effect,
            facts=facts or [found.trouble or "There is no such payment."],
            grave=decision == "decline",
        )
        return await self.pages.confirmed(request, command, environment=environment, at=AT)
