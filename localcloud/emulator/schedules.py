"""EventBridge's schedules, by minutes of the length that the settings give them."""

from ministack.services import eventbridge

from localcloud.emulator.own_api import settings
from localcloud.emulator.upstream import Function, replaces

TICK_SECONDS = 1
"""How often it is looked for rules that are due. MiniStack's ten seconds would be two of the shortest minutes."""

eventbridge._SCHEDULER_TICK_INTERVAL = TICK_SECONDS


@replaces(eventbridge, "_parse_rate_seconds")
def rate_seconds(parse: Function, expression: str) -> float | None:
    """The seconds of ``rate(5 minutes)``; ``None`` for an expression of another kind."""
    seconds = parse(expression)
    return None if seconds is None else seconds / 60 * settings().schedule_minute_seconds
