"""What all pages share: their frame, the environments they are of, and the page that asks for a confirmation."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from console.actions import NotAllowed
from console.platforms import PERMANENT, NotRunning, Platforms
from console.security import Keys, form
from console.show import Frame

LONGEST_REASON = 500


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that a page can start, as the person who confirms it sees it."""

    module: str
    words: Sequence[str]
    target: str
    """As the record names it: ``release of prod``."""
    title: str
    effect: str
    facts: Sequence[str] = ()
    grave: bool = False


@dataclass(frozen=True, kw_only=True)
class Pages:
    frame: Frame
    keys: Keys
    platforms: Platforms

    def html(self, template: str, *, at: str, status: int = 200, **values: object) -> Response:
        return HTMLResponse(self.frame.page(template, at=at, **values), status_code=status)

    def environment(self, request: Request) -> str:
        """The environment in the address. Raises 404 for one that is not there."""
        environment = str(request.path_params["environment"])
        if environment not in self.platforms.names():
            raise HTTPException(404)
        return environment

    def of_prod(self, request: Request) -> Response:
        """From the entry in the navigation to the environment that matters most."""
        return RedirectResponse(f"{request.url.path}/{PERMANENT[-1]}")

    async def confirmed(self, request: Request, command: Command, *, environment: str, at: str, back: str) -> Response:
        """The page that asks for the reason of ``command``; with a reason, its start, and the way ``back``."""
        fields = await form(request, self.keys) if request.method == "POST" else {}
        reason, refused = fields.get("reason", "")[:LONGEST_REASON].strip(), ""
        if request.method == "POST":
            try:
                if not reason:
                    raise NotAllowed("Say why: the reason is recorded.")
                await run_in_threadpool(self._start, command, reason, environment)
                return RedirectResponse(back, 303)
            except (NotAllowed, NotRunning, OSError) as error:
                refused = str(error)
        return self.confirmation(
            at=at,
            title=command.title,
            refused=refused,
            effect=command.effect,
            facts=command.facts,
            grave=command.grave,
            action=request.url.path,
            reason=reason,
            command=f"python -m {command.module} {shlex.join(command.words)} --reason …",
            back=back,
        )

    def confirmation(
        self,
        *,
        at: str,
        title: str,
        refused: str,
        effect: str,
        grave: bool,
        action: str,
        reason: str,
        command: str,
        back: str,
        facts: Sequence[str] = (),
        facts_at: str = "",
        hidden: dict[str, str] | None = None,
        name: str | None = None,
    ) -> Response:
        """``facts_at``: the address of facts that take a moment. ``name``: of the person, if the form asks."""
        return self.html(
            "confirm.html",
            status=409 if refused else 200,
            at=at,
            title=title,
            refusal=refused,
            effect=effect,
            facts=facts,
            facts_at=facts_at,
            grave=grave,
            action=action,
            hidden=hidden or {},
            name=name,
            reason=reason,
            command=command,
            back=back,
        )

    def _start(self, command: Command, reason: str, environment: str) -> None:
        variables = self.platforms.variables(environment)
        words = (*command.words, f"--reason={reason}")
        self.frame.actions.start(command.module, *words, target=command.target, reason=reason, environment=variables)
