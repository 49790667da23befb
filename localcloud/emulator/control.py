"""What ``python -m localcloud`` asks of the emulator and no AWS API offers: ``POST /_localcloud/<command>``.

Arguments and result are JSON. The caller shows the secret access key, which only the owner of the local cloud can read.
"""

import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.core.responses import set_request_account_id

from localcloud.emulator.own_api import settings

PATH = "/_localcloud/"

Application = Callable[[Any, Any, Any], Awaitable[None]]
Command = Callable[..., Any]

_commands: dict[str, Command] = {}


def command(act: Command) -> Command:
    """Decorator: answer requests to the path of the function's name with what the function returns."""
    _commands[act.__name__] = act
    return act


def with_commands(application: Application) -> Application:
    """``application`` (ASGI), and the commands beside it."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PATH):
            await application(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        status, answer = _answer(scope["path"].removeprefix(PATH), dict(scope["headers"]), body)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    return serve


def _answer(name: str, headers: dict[bytes, bytes], body: bytes) -> tuple[int, Any]:
    shown = headers.get(b"authorization", b"")
    if not hmac.compare_digest(shown, f"Bearer {settings().secret_access_key}".encode()):
        return 403, {"error": "not the owner of this local cloud"}
    if name not in _commands:
        return 404, {"error": f"no command {name!r}"}
    set_request_account_id(settings().account)
    return 200, _commands[name](**json.loads(body))
