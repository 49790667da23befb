"""Looks payments up as an operator. The API masks cards, and checks every right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from console import text
from console.platforms import NotRunning, Platforms
from environments import environment as settings_of
from names import Staff
from pipeline.aws import PlatformNotDeployed, PlatformOutputs
from pipeline.release.aws import PROMPT_CONFIG
from pipeline.transactions.client import Client, Reply, assumed

STATUSES = ("review", "pending", "approved", "declined", "voided", "partly_refunded", "refunded")
PAGE = 50
"""Payments that one look-up shows."""
CUSTOMER_DAYS = 30
"""A look-up by customer goes back so far: the API answers 31 days at most. One by status shows a day."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """One of id, customer and status."""

    id: str = ""
    customer: str = ""
    status: str = ""

    @property
    def text(self) -> str:
        return self.id or self.customer or self.status


@dataclass(frozen=True, kw_only=True)
class Found:
    """The answer to a look-up. ``trouble``: why there is none."""

    payments: Sequence[Mapping[str, Any]] = ()
    more: bool = False
    """There are more than these."""
    trouble: str = ""


class Payments(Protocol):
    def look_up(self, environment: str, query: Query) -> Found: ...


class ApiPayments:
    """``Payments`` by the routes under ``/transactions``, in the role payment-operator."""

    def __init__(self, platforms: Platforms) -> None:
        self._platforms = platforms

    def look_up(self, environment: str, query: Query) -> Found:
        try:
            client = self._client(environment)
            if query.id:
                return _found(client.get(query.id))
            if query.customer:
                since = (datetime.now(UTC) - timedelta(days=CUSTOMER_DAYS)).date().isoformat()
                return _found(client.search(customer_id=query.customer, limit=str(PAGE), **{"from": since}))
            return _found(client.search(status=query.status, limit=str(PAGE)))
        except (NotRunning, PlatformNotDeployed) as error:
            return Found(trouble=str(error))
        except (BotoCoreError, ClientError, HTTPError, OSError) as error:
            return Found(trouble=f"the payments of {environment} can't be read: {error}")

    def _client(self, environment: str) -> Client:
        """A new one for each look-up: a role's credentials end, and people look up seldom."""
        session = self._platforms.session(environment)
        outputs = PlatformOutputs.read(settings_of(environment).stack_name, session, PROMPT_CONFIG)
        role = outputs[f"{Staff.OPERATOR.capitalize()}RoleArn"]
        return Client(outputs["ApiGatewayUrl"], assumed(session, role), self._platforms.variables(environment))


def _found(reply: Reply) -> Found:
    body = reply.body if isinstance(reply.body, dict) else {}
    if reply.status == 404:
        return Found()
    if reply.status >= 300:
        faults = "; ".join(f"{each.get('field')}: {each.get('detail')}" for each in body.get("errors", []))
        title = body.get("title") or body.get("message") or body.get("Message") or "no answer"
        return Found(trouble=text.line(f"{title} (status {reply.status}){f': {faults}' if faults else ''}"))
    return Found(payments=tuple(map(_shown, body.get("transactions", [body]))), more="cursor" in body)


def _shown(value: Any) -> Any:
    """The payment, with the text of others made ready for the page."""
    if isinstance(value, str):
        return text.line(value)
    if isinstance(value, dict):
        return {name: _shown(each) for name, each in value.items()}
    return [_shown(each) for each in value] if isinstance(value, list) else value
