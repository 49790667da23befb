"""The route of evidence and compliance."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.evidence.reading import SOON_DAYS, Evidence
from console.pages import Pages

AT = "/evidence"


@dataclass(frozen=True, kw_only=True)
class EvidenceRoutes:
    pages: Pages
    evidence: Evidence

    def routes(self) -> list[Route]:
        return [Route(AT, self.show)]

    def show(self, request: Request) -> Response:
        return self.pages.html(
            "evidence.html",
            at=AT,
            bundles=self.evidence.bundles(),
            compliance=self.evidence.compliance(),
            table=self.evidence.acknowledgements(),
            soon=SOON_DAYS,
        )
