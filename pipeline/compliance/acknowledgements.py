"""The findings that people have reviewed and accepted, read from the table ``acknowledgements.toml``.

An entry accepts each of its ``findings`` at each of its ``constructs``. It has a reason, an owner, and a date on which
it must be reviewed again. An owner is one of ``owners``, the list at the head of the table.

A platform's construct is named by its path inside the environment's stage (``Platform/...``). Its entry applies to
every environment, or to those listed under ``environments``. ``{environment}`` stands for the environment's name. An
entry with a ``part`` applies only to platforms that have this part. Other constructs are named by their whole path.
``{region}`` stands for each region that has a stack of the pipeline's artifacts, because it is not the pipeline's own.

The synthesis (validation.py) and checkov (checkov.py) get their entries from ``claims``, and the entries that no longer
hold from ``stale``.
"""

import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from environments import DEV, PROMOTION_ORDER
from names import REGIONAL_ARTIFACTS

HEADER = "[[acknowledgement]]"
"""The first line of an entry."""
TABLE = Path(__file__).with_name("acknowledgements.toml")
OWNERS = "owners"
"""The list of those who may answer for an entry."""
FIELDS = {"findings": list, "constructs": list, "reason": str, "owner": str, "expires": date}
PLACEHOLDER = "{environment}"
REGION = "{region}"
PLATFORM = "Platform"
CHECKOV = "checkov"
"""The name of checkov's pack. All other packs run in the synthesis."""
PACKS = frozenset({"AwsSolutions", "NIST.800.53.R5", "PCI.DSS.321", "PCI.DSS.401"})
"""The packs of the synthesis, by their names in validation reports."""
STALE_CHECK = "Acknowledgements"
"""The name under which validation reports list the acknowledgements that no longer hold."""
TYPED_CHECK = "TypedResources"
"""The name under which they list the resources that cdk-nag can't see."""
SHORTEST_REASON = 20
LONGEST = timedelta(days=366)
"""An accepted finding is looked at again within a year."""
ENVIRONMENTS = tuple(each.name for each in PROMOTION_ORDER)


class MalformedAcknowledgements(ValueError):
    """The table is invalid. The message names file, line and fault."""


@dataclass(frozen=True, kw_only=True)
class Acknowledgement:
    """One entry of the table."""

    line: int
    """Where the entry begins in the file."""
    findings: tuple[str, ...]
    """Long ids: ``AwsSolutions::AwsSolutions-IAM5[Resource::*]``."""
    constructs: tuple[str, ...]
    reason: str
    owner: str
    expires: date
    environments: tuple[str, ...] = field(default=ENVIRONMENTS)
    part: str = PLATFORM
    """Path inside the stage. The entry applies to platforms that have this part."""

    def covers(self, environment: str) -> bool:
        """Whether the entry applies to ``environment``. An ephemeral environment counts as dev."""
        return (environment if environment in ENVIRONMENTS else DEV.name) in self.environments

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Each finding at each construct, as in the table."""
        return ((finding, construct) for construct in self.constructs for finding in self.findings)

    def pairs_in(self, environment: str) -> Iterator[tuple[str, str]]:
        """The pairs of one environment, with its name in the place of ``{environment}``."""
        return (
            (finding.replace(PLACEHOLDER, environment), construct.replace(PLACEHOLDER, environment))
            for finding, construct in self.pairs()
        )


@dataclass(frozen=True)
class Claim:
    """The acknowledgement of one finding at one construct of an app."""

    finding: str
    path: str
    source: Acknowledgement

    @property
    def pack(self) -> str:
        return self.finding.split("::")[0]


@dataclass(frozen=True)
class StaleClaim:
    """A claim that no longer holds, and the reason."""

    claim: Claim
    rule: Literal["Unused", "Expired", "Unbounded"]
    description: str


def claims(
    entries: Iterable[Acknowledgement], *, top: Collection[str], stages: Iterable[str], exists: Callable[[str], bool]
) -> Iterator[Claim]:
    """The table's claims about an app, which is the whole promotion or one environment.

    ``top``: ids of the app's direct children. ``stages``: the ids of those that contain a platform. ``exists``: whether
    the app has a construct with this path.
    """
    regions = [id.removeprefix(REGIONAL_ARTIFACTS) for id in sorted(top) if id.startswith(REGIONAL_ARTIFACTS)]
    for each in entries:
        for finding, construct in _of_regions(each.pairs(), regions):
            if construct.split("/")[0] in top:
                yield Claim(finding, construct, each)
        for stage in stages:
            if each.covers(stage.lower()) and exists(f"{stage}/{each.part}"):
                for finding, construct in each.pairs_in(stage.lower()):
                    if construct.split("/")[0] == PLATFORM:
                        yield Claim(finding, f"{stage}/{construct}", each)


def claims_about(entries: Iterable[Acknowledgement], paths: Collection[str]) -> Iterator[Claim]:
    """The table's claims about an app that is known only by the ``paths`` of its constructs."""
    split = [path.split("/") for path in paths]
    stages = sorted({first for first, *rest in split if rest and rest[0] == PLATFORM})
    top = {first for first, *_ in split}
    above = {"/".join(parts[:length]) for parts in split for length in range(len(parts))}
    yield from claims(entries, top=top, stages=stages, exists=above.__contains__)


def _of_regions(pairs: Iterable[tuple[str, str]], regions: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The pairs, and one for each region in the place of a pair that has the placeholder of a region."""
    for finding, construct in pairs:
        if REGION in finding + construct:
            for region in regions:
                yield finding.replace(REGION, region), construct.replace(REGION, region)
        else:
            yield finding, construct


def stale(claims: Iterable[Claim], found: Collection[tuple[str, str]], today: date) -> Iterator[StaleClaim]:
    """The claims without a finding (long id, path of the construct) in ``found``, those past their date, and those
    whose date is more than a year away."""
    for claim in claims:
        where = f"{TABLE.name}:{claim.source.line}: {claim.finding}"
        if (claim.finding, claim.path) not in found:
            yield StaleClaim(claim, "Unused", f"{where} is not found here any more: remove it")
        if claim.source.expires < today:
            message = f"{where} expired on {claim.source.expires}: {claim.source.owner} must look at it again"
            yield StaleClaim(claim, "Expired", message)
        if claim.source.expires > today + LONGEST:
            message = f"{where} lasts until {claim.source.expires}: nobody may accept a finding for more than a year"
            yield StaleClaim(claim, "Unbounded", message)


def load(table: Path = TABLE) -> list[Acknowledgement]:
    """Read the table. Raises ``MalformedAcknowledgements``."""
    content, document = _document(table)
    if unknown := set(document) - {OWNERS, "acknowledgement"}:
        raise MalformedAcknowledgements(f"{table.name}: unknown table {', '.join(sorted(unknown))}")
    raw = document.get("acknowledgement", [])
    lines = [number for number, text in enumerate(content.split("\n"), start=1) if text.strip().startswith(HEADER)]
    if len(lines) != len(raw):
        raise MalformedAcknowledgements(f"{table.name}: write each entry below a line {HEADER}")
    known = owners(table)
    entries = [_entry(table, line, each, known) for line, each in zip(lines, raw, strict=True)]
    times = Counter(
        (pair, environment) for each in entries for pair in each.pairs() for environment in each.environments
    )
    for ((finding, construct), _), count in times.items():
        if count > 1:
            raise MalformedAcknowledgements(f"{table.name}: {finding} at {construct} is acknowledged {count} times")
    return entries


def owners(table: Path = TABLE) -> tuple[str, ...]:
    """Who may answer for an entry of the table. Raises ``MalformedAcknowledgements``."""
    _, document = _document(table)
    found = document.get(OWNERS, [])
    if not isinstance(found, list) or not all(isinstance(each, str) and each.strip() for each in found):
        raise MalformedAcknowledgements(f"{table.name}: {OWNERS} must be a list of names")
    return tuple(found)


def _document(table: Path) -> tuple[str, dict[str, Any]]:
    """The table as text, and what TOML makes of it."""
    content = table.read_text(encoding="utf-8")
    try:
        return content, tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise MalformedAcknowledgements(f"{table.name} is not TOML: {error}") from error


def _entry(table: Path, line: int, raw: dict[str, Any], known: Collection[str]) -> Acknowledgement:
    def fault(message: str) -> MalformedAcknowledgements:
        return MalformedAcknowledgements(f"{table.name}:{line}: {message}")

    if missing := set(FIELDS) - set(raw):
        raise fault(f"missing {', '.join(sorted(missing))}")
    if unknown := set(raw) - set(FIELDS) - {"environments", "part"}:
        raise fault(f"unknown {', '.join(sorted(unknown))}")
    if wrong := _wrong_form(raw):
        raise fault(wrong)
    if short := [each for each in raw["findings"] if "::" not in each.split("[")[0]]:
        raise fault(f"{short[0]!r} is not a long id (Pack::Rule or Pack::Rule[...])")
    if len(raw["reason"].strip()) < SHORTEST_REASON:
        raise fault("the reason is too short for a reviewer")
    if raw["owner"] not in known:
        raise fault(f"unknown owner {raw['owner']!r}. Known: {', '.join(known)} ({OWNERS}, at the head of the file)")
    environments = tuple(raw.get("environments", ENVIRONMENTS))
    if undefined := set(environments) - set(ENVIRONMENTS):
        raise fault(f"unknown environment {', '.join(sorted(undefined))}")
    part = raw.get("part", PLATFORM)
    if not str(part).startswith(PLATFORM):
        raise fault(f"part {part!r} is not inside {PLATFORM}")
    return Acknowledgement(
        line=line,
        findings=tuple(raw["findings"]),
        constructs=tuple(raw["constructs"]),
        reason=" ".join(raw["reason"].split()),
        owner=raw["owner"],
        expires=raw["expires"],
        environments=environments,
        part=part,
    )


def _wrong_form(raw: dict[str, Any]) -> str | None:
    for name, kind in FIELDS.items():
        # A date with a time is a date for Python, and can't be compared with one.
        if not isinstance(raw[name], kind) or isinstance(raw[name], datetime) or not raw[name]:
            return f"{name} must be a {kind.__name__} that is not empty"
    for name in ("findings", "constructs", "environments"):
        listed = raw.get(name, [])
        if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
            return f"{name} must be a list of texts"
    return None
