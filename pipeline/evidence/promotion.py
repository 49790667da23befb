"""The promotion that a release is part of: which one it is, who approved, who can sign, where bundles are kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.evidence.bundle import Signer


@dataclass(frozen=True, kw_only=True)
class Approval:
    """One decision to go on. ``at``: UTC, ISO 8601; ``comment``: what the person wrote, where that can be."""

    step: str
    by: str
    at: str
    comment: str | None


class Promotion(Protocol):
    """What only the engine that runs the promotion can tell and do."""

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
    def signer(self) -> Signer | None: ...

    def approval(self, stage: str, step: str) -> Approval:
        """Who let the release into ``stage``. Raises ``EvidenceError`` if that can't be told, or nobody did."""

    def keep(self, environment: str, name: str, bundle: bytes) -> str:
        """Store the bundle, never in place of another; where it is. Raises ``EvidenceError``."""
