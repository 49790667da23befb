"""A promotion on this machine: its record is ``run.json``, and bundles lie beside it. Nobody holds a key here."""

from datetime import UTC, datetime
from pathlib import Path

from pipeline.evidence.bundle import FOLDER
from pipeline.evidence.errors import EvidenceError
from pipeline.evidence.promotion import Approval
from pipeline.local.run import Run


class LocalRun:
    """The run in ``folder``. Raises ``EvidenceError`` when its record can't be read."""

    engine = "local"
    signer = None

    def __init__(self, folder: Path) -> None:
        try:
            self._run = Run.load(folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EvidenceError(f"{folder / 'run.json'} can't be read: {error}") from error
        self.id = self._run.id
        self.commit = self._run.revision
        self.assembly = self._run.assembly

    def approval(self, stage: str, step: str) -> Approval:
        given = [each for each in self._run.approvals if each["step"] == step and each["decision"] == "approved"]
        if not given:
            raise EvidenceError(f"{self._run.folder / 'run.json'} says of nobody that they approved {step}")
        at = datetime.fromtimestamp(given[-1]["at"], UTC).isoformat(timespec="seconds")
        return Approval(step=step, by=given[-1]["by"], at=at, comment=None)

    def keep(self, environment: str, name: str, bundle: bytes) -> str:
        file = self._run.folder / FOLDER / name
        file.parent.mkdir(exist_ok=True)
        try:
            with file.open("xb") as new:
                new.write(bundle)
        except OSError as error:
            raise EvidenceError(f"{file} can't be written: {error.strerror}") from error
        return str(file)
