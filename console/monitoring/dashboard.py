"""The body of a CloudWatch dashboard, read as widgets.

The form is that of "Dashboard body structure and syntax" (CloudWatch API Reference): a metric is a list of namespace,
name, pairs of a dimension's name and value, and at last options. ``.`` stands for the value at this place in the
metric before, and ``...`` for all that are left out.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

SEARCHED = re.compile(r"(\s*SEARCH\('[^']*',\s*'[^']*',\s*)(\d+)\)\s*")
"""A search holds its period, and names no other metric of its graph."""
ID = re.compile(r"\b[a-z]\w*\b")
STATISTIC, PERIOD = "Average", 300
"""Where neither metric nor widget names one."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """A line of a graph: a metric, or an expression over those of the same graph."""

    id: str
    label: str
    """Empty for an expression that has none: CloudWatch names what it finds."""
    right: bool = False
    visible: bool = True
    expression: str = ""
    namespace: str = ""
    name: str = ""
    dimensions: Mapping[str, str] = field(default_factory=dict)
    statistic: str = STATISTIC
    period: int = PERIOD

    def query(self, scale: float, prefix: str = "", ids: Collection[str] = ()) -> dict[str, Any]:
        """The query of GetMetricData. ``scale``: how long a second of CloudWatch is here. ``prefix``: of its id, and of
        ``ids``, those of the same graph, in its expression; so that one call can ask for several graphs."""

        def scaled(seconds: int) -> int:
            return max(1, round(seconds * scale))

        own = {"Id": prefix + self.id, "ReturnData": self.visible} | ({"Label": self.label} if self.label else {})
        if search := SEARCHED.fullmatch(self.expression):
            return {**own, "Expression": f"{search[1]}{scaled(int(search[2]))})", "Period": scaled(self.period)}
        if self.expression:
            expression = ID.sub(lambda found: prefix + found[0] if found[0] in ids else found[0], self.expression)
            return {**own, "Expression": expression, "Period": scaled(self.period)}
        metric = {
            "Namespace": self.namespace,
            "MetricName": self.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in self.dimensions.items()],
        }
        return {**own, "MetricStat": {"Metric": metric, "Period": scaled(self.period), "Stat": self.statistic}}


@dataclass(frozen=True, kw_only=True)
class Widget:
    """One field of the dashboard. ``width``: of 24 columns."""

    kind: str
    title: str
    width: int
    series: Sequence[Series] = ()
    text: str = ""
    greatest: Mapping[str, float] = field(default_factory=dict)
    """The end of an axis, ``left`` or ``right``, where it is given."""


def widgets(body: str) -> list[Widget]:
    """Those of a dashboard, row by row. Raises ``ValueError`` for a body that is none."""
    try:
        found = sorted(json.loads(body)["widgets"], key=lambda raw: (raw.get("y", 0), raw.get("x", 0)))
        return [_widget(raw) for raw in found]
    except (AttributeError, IndexError, KeyError, TypeError, RecursionError, json.JSONDecodeError) as error:
        raise ValueError(f"the dashboard's body can't be read: {error!r}") from error


def _widget(raw: Mapping[str, Any]) -> Widget:
    properties = raw.get("properties", {})
    axes = properties.get("yAxis", {})
    return Widget(
        kind=str(raw["type"]),
        title=str(properties.get("title", "")),
        width=min(24, max(1, int(raw.get("width", 6)))),
        series=_labelled(list(_series(properties))) if raw["type"] == "metric" else (),
        text=str(properties.get("markdown", "")),
        greatest={side: float(axis["max"]) for side, axis in axes.items() if "max" in axis},
    )


def _series(properties: Mapping[str, Any]) -> Iterator[Series]:
    before: list[str] = []
    for number, raw in enumerate(properties.get("metrics", [])):
        options = raw[-1] if isinstance(raw[-1], dict) else {}
        words = [each for each in raw if isinstance(each, str)]
        if words:
            words = before = _spelled_out(words, before)
        yield Series(
            id=str(options.get("id", f"m{number}")),
            label=str(options.get("label", "")),
            right=options.get("yAxis") == "right",
            visible=options.get("visible", True) is not False,
            expression=str(options.get("expression", "")),
            namespace=words[0] if words else "",
            name=words[1] if words else "",
            dimensions=dict(zip(words[2::2], words[3::2], strict=True)),
            statistic=str(options.get("stat", properties.get("stat", STATISTIC))),
            period=int(options.get("period", properties.get("period", PERIOD))),
        )


def _labelled(series: Sequence[Series]) -> tuple[Series, ...]:
    """As CloudWatch does, a metric without a label is called by that in which it differs from the others: of its
    name and its dimensions."""
    unnamed = [each for each in series if each.namespace and not each.label]
    words = [[each.name, *each.dimensions.values()] for each in unnamed]
    shared = set.intersection(*map(set, words)) if len(words) > 1 else set()
    labels = {
        each.id: " ".join(word for word in found if word not in shared) if shared else each.name
        for each, found in zip(unnamed, words, strict=True)
    }
    return tuple(replace(each, label=labels.get(each.id) or each.label or each.name) for each in series)


def _spelled_out(words: list[str], before: Sequence[str]) -> list[str]:
    if "..." in words:
        at = words.index("...")
        left_out = len(before) - (len(words) - 1)
        words = [*words[:at], *before[at : at + left_out], *words[at + 1 :]]
    return [before[place] if word == "." else word for place, word in enumerate(words)]
