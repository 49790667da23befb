"""CloudWatch metric math on the values of one period: the part that alarms and dashboards use.

Source: "Using math expressions with CloudWatch metrics". Supported are arithmetic, comparisons, ``&&``, ``||``,
``AND``, ``OR``, ``IF``, ``FILL``, ``MAX``, ``MIN``, ``SUM``, ``AVG``, ``ABS``, ``CEIL`` and ``FLOOR``. A metric without
data is ``None``. An expression that depends on it is ``None`` too.
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

Value = float | None

_ARITHMETIC: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Pow: operator.pow,
}  # fmt: skip
_COMPARISONS: dict[type[ast.AST], Callable[[float, float], bool]] = {
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
_OVER_LISTS: dict[str, Callable[[list[float]], float]] = {
    "MAX": max, "MIN": min, "SUM": sum, "AVG": lambda values: sum(values) / len(values),
}  # fmt: skip
_OF_ONE: dict[str, Callable[[float], float]] = {"ABS": abs, "CEIL": math.ceil, "FLOOR": math.floor}
_PYTHON_OPERATORS = {"&&": " and ", "||": " or ", "AND": "and", "OR": "or"}


class UnsupportedExpression(ValueError):
    """An expression that the local cloud can't evaluate."""


def evaluate(expression: str, values: Mapping[str, Value]) -> Value:
    """The value of ``expression``; ``values`` are the metrics by id. Raises ``UnsupportedExpression``."""
    try:
        result = _Evaluation(values).visit(_parsed(expression))
    except (SyntaxError, KeyError, IndexError, TypeError) as error:
        raise UnsupportedExpression(f"metric math the local cloud does not know: {expression!r} ({error})") from error
    return None if isinstance(result, list) else result


@lru_cache(maxsize=256)
def _parsed(expression: str) -> ast.expr:
    """A graph evaluates the same expression for each of its points."""
    python = re.sub(r"&&|\|\||\bAND\b|\bOR\b", lambda found: _PYTHON_OPERATORS[found[0]], expression).strip()
    return ast.parse(python, mode="eval").body


class _Evaluation(ast.NodeVisitor):
    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def generic_visit(self, node: ast.AST) -> Any:
        raise TypeError(type(node).__name__)

    def visit_Constant(self, node: ast.Constant) -> Value:
        if isinstance(node.value, int | float):
            return float(node.value)
        raise TypeError(f"constant {node.value!r}")

    def visit_Name(self, node: ast.Name) -> Value:
        return self._values[node.id]

    def visit_List(self, node: ast.List) -> list[Value]:
        return [self.visit(item) for item in node.elts]

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Value:
        if not isinstance(node.op, ast.USub):
            raise TypeError(type(node.op).__name__)
        value: Value = self.visit(node.operand)
        return None if value is None else -value

    def visit_BinOp(self, node: ast.BinOp) -> Value:
        left, right = self.visit(node.left), self.visit(node.right)
        if isinstance(node.op, ast.Div):
            return None if left is None or not right else left / right  # a division by zero gives no data
        apply = _ARITHMETIC[type(node.op)]
        return None if left is None or right is None else apply(left, right)

    def visit_BoolOp(self, node: ast.BoolOp) -> Value:
        values = [self.visit(value) for value in node.values]
        if None in values:
            return None
        return float(all(values) if isinstance(node.op, ast.And) else any(values))

    def visit_Compare(self, node: ast.Compare) -> Value:
        left, right = self.visit(node.left), self.visit(node.comparators[0])
        if len(node.ops) > 1:
            raise TypeError("a chain of comparisons")
        compare = _COMPARISONS[type(node.ops[0])]
        return None if left is None or right is None else float(compare(left, right))

    def visit_Call(self, node: ast.Call) -> Value:
        if not isinstance(node.func, ast.Name):
            raise TypeError("call")
        name = node.func.id.upper()
        arguments: list[Any] = [self.visit(argument) for argument in node.args]
        if name == "FILL":
            value: Value = arguments[1] if arguments[0] is None else arguments[0]
            return value
        if name == "IF":
            condition, *branches = [*arguments, None]
            chosen: Value = None if condition is None else branches[0 if condition else 1]
            return chosen
        if name in _OF_ONE:
            return None if arguments[0] is None else float(_OF_ONE[name](arguments[0]))
        over = _OVER_LISTS[name]
        flat = [v for a in arguments for v in (a if isinstance(a, list) else [a]) if v is not None]
        return float(over(flat)) if flat else None
