"""The routes of the promotions."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from markupsafe import escape
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from console.actions import NotAllowed
from console.live import growing, live
from console.pages import LONGEST_REASON, Pages
from console.promotions import page
from console.promotions.model import CannotDecide, Decision, NotFound, Promotions
from console.security import REPORT_POLICY, form
from console.show import part
from pipeline.release.ports import Unavailable
from reporting.text import visible

AT = "/promotion"
POSITION = re.compile(r"[\w .:/-]+:\d+")
"""Of a log: step and offset."""
TITLES: Mapping[str, str] = {"approve": "Approve", "reject": "Reject"}


@dataclass(frozen=True, kw_only=True)
class PromotionRoutes:
    pages: Pages
    promotions: Promotions

    def routes(self) -> list[Route]:
        return [
            Route(AT, self.show),
            Route(f"{AT}/live", self.live),
            Route(f"{AT}/log", self.log),
            Route(f"{AT}/change", self.change),
            Route(f"{AT}/compare", self.compare),
            Route(f"{AT}/decide", self.decide, methods=["GET", "POST"]),
        ]

    def show(self, request: Request) -> Response:
        return self.pages.html("promotion.html", at=AT, **self._values(request))

    def live(self, request: Request) -> Response:
        def render() -> dict[str, str]:
            values = self._values(request)
            regions = ("live", "more", "comparison")
            return {id: part(f"promotion_{id}.html", frame=self.pages.frame, **values) for id in regions}

        return live(render)

    def log(self, request: Request) -> Response:
        asked = request.query_params
        since = request.headers.get("last-event-id", "")

        said = ""

        def more(position: str | None) -> tuple[str, str]:
            """A failure is said once, and the log goes on where it was when it is over."""
            nonlocal said
            try:
                found = page.log_part(self.promotions, asked.get("promotion"), asked.get("step"), position)
            except (NotFound, OSError, Unavailable) as error:
                before, said = said, str(error)
                line = (
                    f"<span>── the log does not answer: {escape(visible(said))} ──\n</span>" if said != before else ""
                )
                return line, position or page.NO_STEP
            said = ""
            return found

        return growing(more, since if POSITION.fullmatch(since) else None)

    def _values(self, request: Request) -> Mapping[str, Any]:
        asked = request.query_params
        return page.view(self.promotions, asked.get("promotion"), asked.get("step"), self.pages.frame.actions)

    def compare(self, request: Request) -> Response:
        """The review of two promotions in the frame of the console; with ``raw``, it alone, which takes seconds."""
        base, head = request.query_params.get("base", ""), request.query_params.get("head", "")
        if "raw" not in request.query_params:
            source = f"{AT}/compare?{urlencode({'base': base, 'head': head, 'raw': 'yes'})}"
            return self.pages.html("report.html", at=AT, title=f"{base} and {head}", source=source, back=AT)
        policy = {"Content-Security-Policy": REPORT_POLICY}
        try:
            return FileResponse(self.promotions.compare(base, head), headers=policy)
        except (NotFound, OSError, Unavailable, subprocess.SubprocessError) as error:
            return HTMLResponse(f"<pre>{escape(visible(str(error)))}</pre>", headers=policy)

    async def decide(self, request: Request) -> Response:
        fields = await form(request, self.pages.keys) if request.method == "POST" else dict(request.query_params)
        promotion, step, decision = (fields.get(each, "") for each in ("promotion", "step", "decision"))
        name, comment = fields.get("name", "")[:100].strip(), fields.get("reason", "")[:LONGEST_REASON].strip()
        if decision not in TITLES:
            raise HTTPException(404)
        given: Decision = "approve" if decision == "approve" else "reject"
        title, effect, refused = TITLES[given], "", ""
        try:
            stage, asked = await run_in_threadpool(page.question, self.promotions, promotion, step)
            title, effect = f"{title} {asked.name}", page.effect(stage, asked, given)
            if request.method == "POST":
                if not (name and comment):
                    raise NotAllowed("Say who you are, and why: both are recorded.")
                await run_in_threadpool(self.promotions.decide, promotion, step, given, name=name, comment=comment)
                return RedirectResponse(AT, 303)
        except (CannotDecide, NotAllowed, NotFound, OSError, Unavailable) as error:
            refused = str(error)
        return self.pages.confirmation(
            at=AT,
            title=title,
            refused=refused,
            effect=effect,
            facts_at=f"{AT}/change?{urlencode({'promotion': promotion})}" if effect else "",
            grave=decision == "reject",
            action=f"{AT}/decide",
            hidden={"promotion": promotion, "step": step, "decision": decision},
            name=name or self.pages.frame.actions.who,
            reason=comment,
            command=f"make {decision}",
            back=AT,
        )

    def change(self, request: Request) -> Response:
        """What a decision is about. A person may decide without it, but not without knowing that it is missing."""
        try:
            lines = self.promotions.change(request.query_params.get("promotion", ""))
        except (NotFound, OSError, Unavailable, subprocess.SubprocessError) as error:
            lines = [f"what it changes is not known: {error}"]
        return HTMLResponse("".join(f"{escape(visible(line))}\n" for line in lines))
