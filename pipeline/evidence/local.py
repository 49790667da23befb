"""A promotion on this machine: its record is ``run.json``, and its bundles are beside it. There is no signing key.

This code belongs to the commit under promotion. The engine that writes the record may be newer, so this code reads only
the fields that it needs.
"""

import json
import os
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

from pipeline.evidence.bundle import FOLDER, LOCAL
from pipeline.evidence.errors import EvidenceError
from pipeline.evidence.promotion import ApprovalRecord, Source

SOURCE = frozenset(each.name for each in fields(Source))


class LocalRun:
    """The run in ``folder``. Raises ``EvidenceError`` when its record can't be read."""

    engine = LOCAL
    signer = None

    def __init__(self, folder: Path) -> None:
        self._folder, self._record = folder, folder / "run.json"
        try:
            record = json.loads(self._record.read_text())
            self.id: str = record["id"]
            self.commit: str = record["revision"]
            self.assembly_digest: str | None = record.get("assembly_digest")
            self._source = {name: each for name, each in record.get("origin", {}).items() if name in SOURCE}
            self._approved = {
                each["step"]: (
                    each["by"],
                    datetime.fromtimestamp(each["at"], UTC),
                    each.get("comment") or ("given before the promotion began" if each.get("beforehand") else None),
                )
                for each in record["approvals"]
                if each["decision"] == "approved"
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise EvidenceError(f"{self._record} can't be read: {error!r}") from error
        self.assembly = folder / "cdk.out"

    def source(self) -> Source:
        return Source(**self._source)

    def approval(self, stage: str, step: str) -> ApprovalRecord:
        if step not in self._approved:
            raise EvidenceError(f"{self._record} has no approval of {step}")
        by, at, comment = self._approved[step]
        return ApprovalRecord(step=step, by=by, at=at.isoformat(timespec="seconds"), comment=comment)

    def keep(self, environment: str, name: str, bundle: bytes) -> str:
        file = self._folder / FOLDER / name
        try:
            file.parent.mkdir(exist_ok=True)
            # The link makes the file appear complete. Unlike a rename, it never replaces an existing file.
            with NamedTemporaryFile(dir=file.parent) as draft:
                draft.write(bundle)
                draft.flush()
                os.link(draft.name, file)
        except OSError as error:
            raise EvidenceError(f"{file} can't be written: {error.strerror}") from error
        return str(file)
