"""Messages to chat rooms by web hooks. Their addresses are secrets, and stand in Secrets Manager.

The secret ``payment/release-webhooks-<env>`` holds a list of ``{"url": …, "format": "slack" or "teams", "from":
"warning"}``; ``from`` is the least severity. Without the secret nothing is sent. People make it; the stack does not.

- slack: ``{"text": …}``, which Mattermost, Rocket.Chat and Google Chat take too. ``&``, ``<`` and ``>`` are escaped
  (Slack's reference, "Formatting text for app surfaces").
- teams: an Adaptive Card in a message, as Workflows and the former connectors of Microsoft Teams take it (Microsoft
  Teams developer documentation, "Create Incoming Webhooks").
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import names
from pipeline.release.aws import PROMPT_CONFIG, calling
from pipeline.release.notice import Notice, Severity
from pipeline.release.ports import Missing, Unavailable

if TYPE_CHECKING:
    import boto3

POST_SECONDS = 3.0
"""For all web hooks together: a release waits for so long at each message, and for no longer."""
LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """One chat room."""

    url: str
    format: str
    least: Severity

    @classmethod
    def of(cls, raw: Any) -> Webhook:
        """Raises ``ValueError`` that does not name the address, because it is a secret."""
        if not isinstance(raw, Mapping) or not {"url", "format"} <= raw.keys() <= {"url", "format", "from"}:
            raise ValueError("needs `url` and `format`, may have `from`, and nothing else")
        hook = cls(url=str(raw["url"]), format=raw["format"], least=Severity(raw.get("from", Severity.WARNING)))
        address = urlsplit(hook.url)
        if hook.format not in BODIES:
            raise ValueError(f"format {hook.format!r}: use {' or '.join(BODIES)}")
        if not address.hostname or (address.scheme != "https" and address.hostname not in LOOPBACK):
            raise ValueError("its url needs https")
        return hook

    def post(self, notice: Notice) -> None:
        """Raises ``OSError``; its text may have the address in it."""
        body = json.dumps(BODIES[self.format](notice)).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "payment-pipeline"}
        # The scheme was checked: https, or this machine.
        request = urllib.request.Request(self.url, data=body, headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=POST_SECONDS):  # noqa: S310
            pass


class Webhooks:
    """The chat rooms of an environment."""

    def __init__(self, aws: boto3.Session):
        self._secrets = aws.client("secretsmanager", config=PROMPT_CONFIG)
        self._hooks: Sequence[Webhook] | None = None

    def post(self, notice: Notice) -> None:
        """Tell each room that wants to hear of it, all at once, within ``POST_SECONDS``.

        Raises ``Unavailable`` that names the rooms that were not told by their number in the secret.
        """
        secret = names.release_webhooks(notice.release.environment)
        if self._hooks is None:
            self._hooks = []  # what can't be read is said once, and not asked for at each event
            self._hooks = self._read(secret)
        wanted = [
            (number, hook) for number, hook in enumerate(self._hooks, 1) if notice.severity.rank >= hook.least.rank
        ]
        left = {number: f"no answer within {POST_SECONDS:g} s" for number, _ in wanted}

        def tell(number: int, hook: Webhook) -> None:
            try:
                hook.post(notice)
                del left[number]
            except Exception as error:
                # The message of the exception may name the address.
                left[number] = f"{type(error).__name__} {getattr(error, 'code', '')}".strip()

        # A look-up of a name has no time limit of its own. Nobody waits for the end of such a thread.
        threads = [threading.Thread(target=tell, args=each, daemon=True) for each in wanted]
        until = time.monotonic() + POST_SECONDS
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        if failed := dict(left):
            told = "; ".join(f"web hook {number} of {secret}: {why}" for number, why in failed.items())
            raise Unavailable(told)

    def _read(self, secret: str) -> Sequence[Webhook]:
        try:
            with calling("reading the web hooks"):
                text = self._secrets.get_secret_value(SecretId=secret)["SecretString"]
        except Missing:
            return []
        try:
            raw = json.loads(text)
            if not isinstance(raw, list):
                raise ValueError("it is no list")
            return [Webhook.of(each) for each in raw]
        except ValueError as error:
            reason = "it is no JSON" if isinstance(error, json.JSONDecodeError) else error
            raise Unavailable(f"secret {secret} can't be used: {reason}") from None


def _slack(notice: Notice) -> dict[str, Any]:
    event, sign = notice.release.events[-1], SIGNS[notice.severity]
    lines = [f"{sign} *{_escaped(notice.headline)}*", _escaped(event.text), f"Next: {_escaped(notice.next_command)}"]
    links = [f"<{_escaped(url)}|{what}>" if "://" in url else _escaped(url) for what, url in notice.links.items()]
    return {"text": "\n".join([*lines, "  ".join(links)]).rstrip()}


def _teams(notice: Notice) -> dict[str, Any]:
    def block(text: str, **more: Any) -> dict[str, Any]:
        # A plain text run is no markup: the texts of others stay what they are.
        return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **more}]}

    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            block(notice.headline, weight="Bolder", color=COLOURS[notice.severity]),
            block(notice.release.events[-1].text),
            block(f"Next: {notice.next_command}"),
        ],
        "actions": [
            {"type": "Action.OpenUrl", "title": what.capitalize(), "url": url}
            for what, url in notice.links.items()
            if "://" in url
        ],
    }
    return {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    }


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


BODIES = {"slack": _slack, "teams": _teams}
SIGNS = {Severity.INFO: ":white_check_mark:", Severity.WARNING: ":warning:", Severity.ERROR: ":rotating_light:"}
COLOURS = {Severity.INFO: "Good", Severity.WARNING: "Warning", Severity.ERROR: "Attention"}
