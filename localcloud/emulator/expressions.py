"""Parse each DynamoDB expression once.

MiniStack parses a query's condition, and checks its grammar, again for each item that it compares. Under load that
took two thirds of the emulator's time.
"""

import functools
from typing import Any

from ministack.services import dynamodb

from localcloud.emulator.upstream import Function, original, replaces

DIFFERENT_EXPRESSIONS = 512

_grammar_error = functools.lru_cache(DIFFERENT_EXPRESSIONS)(original(dynamodb, "_condition_syntax_error"))
_tokens = functools.lru_cache(DIFFERENT_EXPRESSIONS)(original(dynamodb, "_tokenize"))


@replaces(dynamodb, "_condition_syntax_error")
def grammar_error(_: Function, expression: str, slot: str) -> Any:
    return _grammar_error(expression, slot)


@replaces(dynamodb, "_tokenize")
def tokenize(_: Function, expression: str) -> list[Any]:
    return list(_tokens(expression))  # a copy, because callers change the list
