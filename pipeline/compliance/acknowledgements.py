"""The findings that people have looked at and accepted, read from the one table ``acknowledgements.toml``.

An entry accepts each of its ``findings`` at each of its ``constructs``, pair by pair, with a reason, an owner and a
date on which it must be looked at again. A construct of a platform is named by its path inside of the environment's
stage (``Platform/...``) and then meant in every environment, or only in those that the entry lists under
``environments``; ``{environment}`` stands for the environment's name. An entry with a ``part`` is about a part that not
every platform has, and is meant where it exists. Any other construct is named by its whole path.

Whoever looks for findings, the synthesis (validation.py) or checkov (checkov.py), takes its part of the table from
``claims`` and asks ``outlived`` which of it no longer holds.
"""

import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

from environments import DEV, PROMOTION_ORDER

TABLE = Path(__file__).with_name("acknowledgements.toml")
FIELDS = {"findings": list, "constructs": list, "reason": str, "owner": str, "expires": date}
NAME = "{environment}"
PLATFORM = "Platform"
CHECKOV = "checkov"
"""The pack that is checkov: all others run in the synthesis."""
PACKS = frozenset({"AwsSolutions", "NIST.800.53.R5", "PCI.DSS.321", "PCI.DSS.401"})
"""Those others, by the names that their validation reports have."""
LEDGER = "Acknowledgements"
"""Who reports, beside them, the acknowledgements that hold no longer."""
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
    part: str = PLATFORM
    """Path inside of the stage: the entry is about this part of it."""

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


@dataclass(frozen=True)
class Claim:
    """That one finding at one construct of an app is acknowledged."""

    finding: str
    path: str
    source: Acknowledgement

    @property
    def pack(self) -> str:
        return self.finding.split("::")[0]


@dataclass(frozen=True)
class Outlived:
    """A claim that holds no longer, and why."""

    claim: Claim
    rule: Literal["Unused", "Expired"]
    description: str


def claims(
    entries: Iterable[Acknowledgement], *, top: Collection[str], stages: Iterable[str], exists: Callable[[str], bool]
) -> Iterator[Claim]:
    """What the table says about an app, be it the whole promotion or one environment alone.

    ``top``: ids of the constructs right below the app; ``stages``: those of them that hold a platform; ``exists``:
    whether the app has a construct with this path.
    """
    for each in entries:
        for finding, construct in each.pairs():
            if construct.split("/")[0] in top:
                yield Claim(finding, construct, each)
        for stage in stages:
            if each.covers(stage.lower()) and exists(f"{stage}/{each.part}"):
                for finding, construct in each.pairs_in(stage.lower()):
                    if construct.split("/")[0] == PLATFORM:
                        yield Claim(finding, f"{stage}/{construct}", each)


def outlived(claims: Iterable[Claim], found: Collection[tuple[str, str]], today: date) -> Iterator[Outlived]:
    """The claims without a finding (long id and path of the construct) in ``found``, and those past their date."""
    for claim in claims:
        where = f"acknowledgements.toml, entry {claim.source.entry}: {claim.finding}"
        if (claim.finding, claim.path) not in found:
            yield Outlived(claim, "Unused", f"{where} is not found here any more: remove it")
        if claim.source.expires < today:
            message = f"{where} expired on {claim.source.expires}: {claim.source.owner} must look at it again"
            yield Outlived(claim, "Expired", message)


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
    if unknown := set(raw) - set(FIELDS) - {"environments", "part"}:
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
    part = raw.get("part", PLATFORM)
    if not str(part).startswith(PLATFORM):
        raise fault(f"part {part!r} is not inside of {PLATFORM}")
    return Acknowledgement(
        entry=number,
        findings=tuple(raw["findings"]),
        constructs=tuple(raw["constructs"]),
        reason=" ".join(raw["reason"].split()),
        owner=raw["owner"],
        expires=raw["expires"],
        environments=environments,
        part=part,
    )
