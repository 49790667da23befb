"""The settings of a local cloud's process, in one private file of its folder."""

import dataclasses
import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from environments import DEFAULT_REGION
from localcloud.files import read_object, write_private

INDEX_LAG_MS = 50
"""AWS: indexes follow "within a fraction of a second, under normal conditions" (DynamoDB Developer Guide)."""
SETTINGS_FILE = "settings.json"
FUNCTION_ENVIRONMENTS = max(2, os.cpu_count() or 1)
"""More would only wait for the processor. Races between more requests need more."""
ACCOUNTS = {"dev": "111111111111", "staging": "222222222222", "prod": "333333333333"}


TIME_SCALE = 1 / 60
"""Where AWS makes people wait, a minute is a second here: the bakes of a release, and the minutes of CloudWatch."""


LEAST_SCHEDULE_SECONDS, MOST_MINUTE_SECONDS = 5.0, 60.0
CHANGEABLE = (
    f"use metric_minute_seconds=0 to {MOST_MINUTE_SECONDS:g}, schedule_minute_seconds={LEAST_SCHEDULE_SECONDS:g} to "
    f"{MOST_MINUTE_SECONDS:g}, or executed_version=weighted or always"
)


class ExecutedVersion(StrEnum):
    """The invocations that Lambda counts under the metrics' dimension ``ExecutedVersion``."""

    WEIGHTED = "weighted"
    """Those of an alias that divides them between two versions. For these the dimension is documented."""
    ALWAYS = "always"
    """Those of every alias."""


def account_of(environment_name: str) -> str:
    """The made-up AWS account of an environment whose settings name none.

    The account of an ephemeral environment is derived from the environment's name.
    """
    digest = int(hashlib.sha256(environment_name.encode()).hexdigest(), 16)
    return ACCOUNTS.get(environment_name, str(10**11 + digest % (9 * 10**11)))


def _whole_number(variable: str, default: int, unit: str, least: int = 0) -> int:
    """The number in a variable of the environment. Raises ``ValueError`` for something else."""
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or int(text) < least:
        raise ValueError(f"{variable}={text}: use a whole number of {unit}, from {least}")
    return int(text)


def _yes_or_no(variable: str) -> bool:
    """Raises ``ValueError`` for something else."""
    text = os.environ.get(variable) or "no"
    if text not in ("yes", "no"):
        raise ValueError(f"{variable}={text}: use yes or no")
    return text == "yes"


class UnknownSetting(ValueError):
    """No setting that can be changed has this name, or not this value."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One start of one local cloud. Its credentials are generated at the start and are valid until it stops.

    Those with a default say how it behaves, and may be changed while it runs: see ``change``.
    """

    environment: str
    folder: str
    port: int
    account: str
    access_key_id: str
    secret_access_key: str
    region: str
    index_lag_ms: int
    """How long DynamoDB's global secondary indexes take to follow their table (variable ``INDEX_LAG_MS``)."""
    function_environments: int
    """How many requests one version of a function serves at once (variable ``FUNCTION_ENVIRONMENTS``)."""
    limit_processor: bool
    """Whether functions get the processor share of their memory, as on AWS (variable ``LIMIT_PROCESSOR``)."""
    metric_minute_seconds: float = 60 * TIME_SCALE
    """The length of CloudWatch's minutes: metrics appear by whole minutes, two minutes late. 0: they appear at once."""
    schedule_minute_seconds: float = 60.0
    """The length of a minute in EventBridge's rates, such as ``rate(5 minutes)``."""
    executed_version: ExecutedVersion = ExecutedVersion.WEIGHTED

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
            index_lag_ms=_whole_number("INDEX_LAG_MS", INDEX_LAG_MS, "milliseconds"),
            function_environments=_whole_number(
                "FUNCTION_ENVIRONMENTS", FUNCTION_ENVIRONMENTS, "environments of each version of a function", least=1
            ),
            limit_processor=_yes_or_no("LIMIT_PROCESSOR"),
        )

    @classmethod
    def read(cls, folder: Path) -> "Settings":
        """Raises ``OSError`` or ``ValueError`` when the file is missing or incomplete."""
        try:
            stored = read_object(folder / SETTINGS_FILE)
            return cls(**stored | {"executed_version": ExecutedVersion(stored["executed_version"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"{folder / SETTINGS_FILE} is of another version: {error}") from error

    def write(self) -> None:
        write_private(Path(self.folder) / SETTINGS_FILE, json.dumps(dataclasses.asdict(self), indent=1))

    def change(self, assignment: str) -> "Settings":
        """These settings with one changed, from text such as ``executed_version=always``. The cloud that runs with
        them obeys as soon as they are written. Raises ``UnknownSetting``."""
        name, _, value = assignment.partition("=")
        try:
            if name == "metric_minute_seconds" and 0 <= float(value) <= MOST_MINUTE_SECONDS:
                return dataclasses.replace(self, metric_minute_seconds=float(value))
            if name == "schedule_minute_seconds" and LEAST_SCHEDULE_SECONDS <= float(value) <= MOST_MINUTE_SECONDS:
                return dataclasses.replace(self, schedule_minute_seconds=float(value))
            if name == "executed_version":
                return dataclasses.replace(self, executed_version=ExecutedVersion(value))
        except ValueError:
            pass  # no number, or none of the modes
        raise UnknownSetting(f"{assignment!r}: {CHANGEABLE}")

    @property
    def endpoint(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def tls(self) -> Path:
        return Path(self.folder) / "tls"

    @property
    def ca(self) -> str:
        return str(self.tls / "ca.pem")
