"""The promotion that a release belongs to: its identity, its approvals, its signer and its store of bundles."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.evidence.bundle import Signer


@dataclass(frozen=True, kw_only=True)
class ApprovalRecord:
    """One approval. ``at``: UTC, ISO 8601. ``comment``: the person's text, if the engine has one."""

    step: str
    by: str
    at: str
    comment: str | None


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the commit came from, as far as the engine can tell. ``None``: it can't.

    Author and committer are texts that whoever made the commit typed. Nobody knows here who pushed and who reviewed it.
    """

    author: str | None = None
    committer: str | None = None
    signature: str | None = None
    """Git's letter for it: ``G`` good, ``N`` none, and others (git-log, ``%G?``)."""
    branch: str | None = None
    started: str | None = None
    """What started the promotion: the kind and detail of CodePipeline's trigger, or the user of the machine."""


class PromotionContext(Protocol):
    """The running promotion, as its engine knows it."""

    @property
    def engine(self) -> str: ...

    @property
    def id(self) -> str: ...

    @property
    def commit(self) -> str: ...

    @property
    def assembly(self) -> Path:
        """The cloud assembly that the promotion deploys."""

    @property
    def assembly_digest(self) -> str | None:
        """The digest of the assembly that was inspected and approved. ``None``: an engine from before inspections."""

    @property
    def signer(self) -> Signer | None: ...

    def source(self) -> Source:
        """Raises ``EvidenceError`` when the engine does not answer."""

    def approval(self, stage: str, step: str) -> ApprovalRecord:
        """The approval of the release for ``stage``. Raises ``EvidenceError`` when there is none or it is unknown."""

    def keep(self, environment: str, name: str, bundle: bytes) -> str:
        """Store the bundle under ``name``, which must be free. Returns its location. Raises ``EvidenceError``."""
