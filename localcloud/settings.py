"""The settings that a local cloud's process gets at its start, in one private file of its folder."""

import dataclasses
import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from environments import DEFAULT_REGION
from localcloud.files import write_private

INDEX_LAG_MS = 50
"""AWS: indexes follow "within a fraction of a second, under normal conditions" (DynamoDB Developer Guide)."""
ACCOUNTS = {"dev": "111111111111", "staging": "222222222222", "prod": "333333333333"}


def account_of(environment_name: str) -> str:
    """The made-up AWS account of an environment whose settings name none.

    The account of an ephemeral environment is derived from the environment's name.
    """
    digest = int(hashlib.sha256(environment_name.encode()).hexdigest(), 16)
    return ACCOUNTS.get(environment_name, str(10**11 + digest % (9 * 10**11)))


def _index_lag(text: str) -> int:
    if text and not text.isdecimal():
        raise ValueError(f"INDEX_LAG_MS={text}: use a whole number of milliseconds, from 0")
    return int(text or INDEX_LAG_MS)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One start of one local cloud. Its credentials are generated at the start and are valid until it stops."""

    environment: str
    folder: str
    port: int
    account: str
    access_key_id: str
    secret_access_key: str
    region: str
    index_lag_ms: int
    """How long DynamoDB's global secondary indexes take to follow their table (variable ``INDEX_LAG_MS``)."""

    @classmethod
    def generate(
        cls, environment: str, folder: Path, port: int, *, account: str | None = None, region: str | None = None
    ) -> "Settings":
        return cls(
            environment=environment,
            folder=str(folder),
            port=port,
            account=account or account_of(environment),
            region=region or DEFAULT_REGION,
            access_key_id="AKIA" + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16)),
            secret_access_key=secrets.token_urlsafe(30),
            index_lag_ms=_index_lag(os.environ.get("INDEX_LAG_MS", "")),
        )

    @classmethod
    def read(cls, folder: Path) -> "Settings":
        """Raises ``OSError`` or ``ValueError`` when the file is missing or incomplete."""
        try:
            return cls(**json.loads((folder / "settings.json").read_text()))
        except TypeError as error:
            raise ValueError(f"{folder / 'settings.json'} is of another version: {error}") from error

    def write(self) -> None:
        write_private(Path(self.folder) / "settings.json", json.dumps(dataclasses.asdict(self), indent=1))

    @property
    def endpoint(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def tls(self) -> Path:
        return Path(self.folder) / "tls"

    @property
    def ca(self) -> str:
        return str(self.tls / "ca.pem")
