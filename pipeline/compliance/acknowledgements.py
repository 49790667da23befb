"""The findings that people have looked at and accepted, read from the one table ``acknowledgements.toml``.

An entry accepts each of its ``findings`` at each of its ``constructs``, pair by pair, with a reason, an owner and a
date on which it must be looked at again. A construct of a platform is named by its path inside of the environment's
stage (``Platform/...``) and then meant in every environment, or only in those that the entry lists under
``environments``; ``{environment}`` stands for the environment's name. Any other construct is named by its whole path.
"""

import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from pipeline.environments import DEV, PROMOTION_ORDER

TABLE = Path(__file__).with_name("acknowledgements.toml")
FIELDS = {"findings": list, "constructs": list, "reason": str, "owner": str, "expires": date}
NAME = "{environment}"
SHORTEST_REASON = 20
ENVIRONMENTS = tuple(each.name for each in PROMOTION_ORDER)


class MalformedAcknowledgements(ValueError):
    """The table can't be read as acknowledgements; the message names file, entry and fault."""


@dataclass(frozen=True, kw_only=True)
class Acknowledgement:
    """One entry of the table; ``entry`` counts from 1."""

    entry: int
    findings: tuple[str, ...]
    """Long ids: ``AwsSolutions::AwsSolutions-IAM5[Resource::*]``."""
    constructs: tuple[str, ...]
    reason: str
    owner: str
    expires: date
    environments: tuple[str, ...] = field(default=ENVIRONMENTS)

    def covers(self, environment: str) -> bool:
        """Whether a platform's construct is meant in ``environment``. Ephemeral environments are like dev."""
        return (environment if environment in ENVIRONMENTS else DEV.name) in self.environments

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Each finding at each construct, as written in the table."""
        return ((finding, construct) for construct in self.constructs for finding in self.findings)

    def pairs_in(self, environment: str) -> Iterator[tuple[str, str]]:
        """The same, as found in one environment."""
        return (
            (finding.replace(NAME, environment), where.replace(NAME, environment)) for finding, where in self.pairs()
        )


def load(table: Path = TABLE) -> list[Acknowledgement]:
    """Read the table. Raises ``MalformedAcknowledgements``."""
    try:
        document = tomllib.loads(table.read_text())
    except tomllib.TOMLDecodeError as error:
        raise MalformedAcknowledgements(f"{table.name} is not TOML: {error}") from error
    if unknown := set(document) - {"acknowledgement"}:
        raise MalformedAcknowledgements(f"{table.name}: unknown table {', '.join(sorted(unknown))}")
    entries = [_entry(table, number, each) for number, each in enumerate(document.get("acknowledgement", []), start=1)]
    times = Counter(
        (pair, environment) for each in entries for pair in each.pairs() for environment in each.environments
    )
    for ((finding, construct), _), count in times.items():
        if count > 1:
            raise MalformedAcknowledgements(f"{table.name}: {finding} at {construct} is acknowledged {count} times")
    return entries


def _entry(table: Path, number: int, raw: dict[str, Any]) -> Acknowledgement:
    def fault(message: str) -> MalformedAcknowledgements:
        return MalformedAcknowledgements(f"{table.name}, entry {number}: {message}")

    if missing := set(FIELDS) - set(raw):
        raise fault(f"missing {', '.join(sorted(missing))}")
    if unknown := set(raw) - set(FIELDS) - {"environments"}:
        raise fault(f"unknown {', '.join(sorted(unknown))}")
    for name, kind in FIELDS.items():
        if not isinstance(raw[name], kind) or not raw[name]:
            raise fault(f"{name} must be a {kind.__name__} that is not empty")
    if short := [each for each in raw["findings"] if "::" not in each.split("[")[0]]:
        raise fault(f"{short[0]!r} is not a long id (Pack::Rule or Pack::Rule[...])")
    if len(raw["reason"].strip()) < SHORTEST_REASON:
        raise fault("the reason says too little for a reviewer")
    environments = tuple(raw.get("environments", ENVIRONMENTS))
    if strangers := set(environments) - set(ENVIRONMENTS):
        raise fault(f"unknown environment {', '.join(sorted(strangers))}")
    return Acknowledgement(
        entry=number,
        findings=tuple(raw["findings"]),
        constructs=tuple(raw["constructs"]),
        reason=" ".join(raw["reason"].split()),
        owner=raw["owner"],
        expires=raw["expires"],
        environments=environments,
    )
