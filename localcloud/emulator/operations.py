"""Delay CloudFormation's answer to a call that changes a stack until the operation ends, up to ``MOMENT_SECONDS``.

The CDK CLI polls a stack every five seconds, while bootstrapping an account takes half a second here. A longer
operation continues after the answer, as on AWS. What an operation leaves in memory is dropped when it ends.
"""

import asyncio
import threading
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, handlers, stacks

from localcloud.emulator import memory
from localcloud.emulator.upstream import Function, replaces

MOMENT_SECONDS = 2.0

_begun: ContextVar[list[asyncio.Task[Any]] | None] = ContextVar("begun", default=None)
"""The operations of the request that is being answered."""


@replaces(stacks, "_create_stack_task_in_region", changesets, handlers)
def begin(_: Function, operation: Coroutine[Any, Any, Any], stack: Any, stack_id: str | None = None) -> None:
    with stacks._stack_region_context(stack, stack_id):
        task = asyncio.get_running_loop().create_task(operation)
    task.add_done_callback(lambda _: threading.Thread(target=memory.clean, name="memory").start())
    mine = _begun.get()
    if mine is not None:
        mine.append(task)


@replaces(cloudformation, "handle_request")
async def answer(handle: Function, *request: Any) -> Any:
    tasks: list[asyncio.Task[Any]] = []
    scope = _begun.set(tasks)
    try:
        answered = await handle(*request)
    finally:
        _begun.reset(scope)
    if tasks:
        await asyncio.wait(tasks, timeout=MOMENT_SECONDS)
    return answered
