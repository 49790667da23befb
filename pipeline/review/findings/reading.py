"""The findings of one side, from the validation report that its synthesis writes."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.compliance.acknowledgements import PACKS, STALE_CHECK, TYPED_CHECK
from pipeline.review import NotCompared
from pipeline.review.findings.change import UNKNOWN, Changed, Place, place

REPORT = "validation-report.json"
FRAME = re.compile(r"^\S+ \((?P<file>/.+):(?P<line>\d+)\)$", re.MULTILINE)


class NoFindings(NotCompared):
    """The findings of a synthesis can't be read. This never means that there are none."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One rule, broken at one construct."""

    rule: str
    """The long id, such as ``PACK::RULE``."""
    construct: str
    description: str
    reason: str | None = None
    """The reason of its acknowledgement. ``None``: not acknowledged."""
    properties: tuple[str, ...] = ()
    """The paths of the resource's properties that the rule looked at, such as ``A.B.0.C``; empty if it does not say."""
    file: str | None = None
    """The file of the change, or that makes the construct, relative to the repository. ``None``: no trace names it."""
    line: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.rule, self.construct

    @property
    def pack(self) -> str:
        return self.rule.partition("::")[0]

    @property
    def environment(self) -> str:
        """The construct's stage, or its stack if that is outside the stages, in lower case."""
        return self.construct.partition("/")[0].lower()


def read(report: Path, tree: Path, changed: Changed = UNKNOWN) -> list[Finding]:
    """The findings in ``report`` of a synthesis in ``tree``, sorted. Raises ``NoFindings`` if it is unusable.

    ``changed``: the lines that the change under review touches.
    """
    try:
        plugins = {each["pluginName"]: each for each in json.loads(report.read_text())["pluginReports"]}
        # The check for stale acknowledgements reports entries of the table, not constructs. They count, too.
        found = [each for plugin in plugins.values() for each in _of_pack(plugin, tree, changed)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NoFindings(f"{report} is no validation report: {error!r}") from error
    if missing := PACKS - set(plugins):
        raise NoFindings(f"{report} says nothing of {', '.join(sorted(missing))}: the packs did not run")
    if unknown := set(plugins) - PACKS - {STALE_CHECK, TYPED_CHECK}:
        raise NoFindings(f"{report} has findings of {', '.join(sorted(unknown))}, which the review does not know")
    return sorted(found, key=lambda finding: finding.key)


def _of_pack(pack: dict[str, Any], tree: Path, changed: Changed) -> Iterator[Finding]:
    for violation in [*pack["violations"], *pack.get("suppressedViolations", [])]:
        for construct in violation["violatingConstructs"]:
            file, line = place(_frames(construct.get("stackTraces", []), tree), changed) or (None, None)
            resource = construct.get("cloudFormationResource", {})
            yield Finding(
                rule=f"{pack['pluginName']}::{violation['ruleName']}",
                construct=construct["constructPath"],
                description=violation["description"],
                reason=violation.get("reason"),
                properties=tuple(
                    path.removeprefix("Properties.")
                    for path in resource.get("propertyPaths", [])
                    if path != "Properties"
                ),
                file=file,
                line=line,
            )


def _frames(traces: list[str], tree: Path) -> list[Place]:
    """The frames of this repository's own code, the innermost of each trace first. The last trace is the latest."""
    return [
        (str(path.relative_to(tree)), int(frame["line"]))
        for trace in reversed(traces)
        for frame in FRAME.finditer(trace)
        if (path := Path(frame["file"])).is_relative_to(tree) and ".venv" not in path.parts
    ]
