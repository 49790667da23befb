"""Secrets Manager's four steps for the card keys, each of which may be repeated."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from lambdas.adapters import aws
from lambdas.payments.card_keys import CardKeys
from lambdas.payments.velocity import KEPT_SECONDS
from lambdas.rotation import card_keys

FIRST = "k" * 64


class NotFound(Exception):
    pass


class SecretsManager:
    """One secret, with its versions and their stages."""

    exceptions = SimpleNamespace(ResourceNotFoundException=NotFound)

    def __init__(self, current: str) -> None:
        self.texts = {"first": current}
        self.stages = {"AWSCURRENT": "first"}

    def describe_secret(self, SecretId: str) -> dict[str, Any]:
        versions: dict[str, list[str]] = {}
        for stage, version in self.stages.items():
            versions.setdefault(version, []).append(stage)
        return {"VersionIdsToStages": versions}

    def get_secret_value(self, SecretId: str, VersionStage: str, VersionId: str | None = None) -> dict[str, str]:
        version = self.stages[VersionStage]
        if VersionId not in (None, version) or version not in self.texts:
            raise NotFound
        return {"SecretString": self.texts[version]}

    def put_secret_value(
        self, SecretId: str, ClientRequestToken: str, SecretString: str, VersionStages: list[str]
    ) -> None:
        assert ClientRequestToken not in self.texts, "a version's value never changes"
        self.texts[ClientRequestToken] = SecretString

    def update_secret_version_stage(self, VersionStage: str, MoveToVersionId: str, **_: str) -> None:
        self.stages[VersionStage] = MoveToVersionId

    def rotate(self, token: str) -> CardKeys:
        """As Secrets Manager does, with each step twice."""
        self.stages["AWSPENDING"] = token
        for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
            for _ in range(2):
                self.step(step, token)
        return self.current

    def step(self, step: str, token: str) -> None:
        card_keys.handler({"SecretId": "arn", "ClientRequestToken": token, "Step": step}, None)

    @property
    def current(self) -> CardKeys:
        return CardKeys.parse(self.texts[self.stages["AWSCURRENT"]])


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> SecretsManager:
    service = SecretsManager(FIRST)
    monkeypatch.setattr(aws, "patient_client", lambda name: service)
    return service


def test_each_rotation_adds_a_random_version(secrets: SecretsManager) -> None:
    first = secrets.current
    second, third = secrets.rotate("second"), secrets.rotate("third")
    assert [each.number for each in third.versions] == [1, 2, 3]
    assert third.versions[:2] == second.versions
    assert second.follows(first)
    assert len({each.key for each in third.versions}) == 3
    assert abs(third.newest.since - time.time()) < 60
    assert third.ids_key == first.ids_key


def test_a_rotation_says_what_it_dropped(
    secrets: SecretsManager, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets.rotate("second")
    later = time.time() + KEPT_SECONDS + 60
    monkeypatch.setattr(card_keys.time, "time", lambda: later)
    assert [each.number for each in secrets.rotate("third").versions] == [2, 3]
    said = capsys.readouterr().out
    assert '"kept": [2, 3], "dropped": [1]' in said
    assert FIRST not in said


@pytest.mark.parametrize("text", [FIRST, CardKeys.parse(FIRST).rotated("2" * 64, 1_790_000_000).to_json()])
def test_secrets_manager_may_try_the_schedule_with_a_copy_of_the_current_version(
    text: str, secrets: SecretsManager
) -> None:
    # As with RotateImmediatelyOnUpdate: false, when the schedule is created
    secrets.texts |= {"first": text, "copy": text}
    secrets.stages["AWSPENDING"] = "copy"
    secrets.step("testSecret", "copy")


def test_keys_that_would_change_a_version_are_not_made_current(secrets: SecretsManager) -> None:
    secrets.stages["AWSPENDING"] = "second"
    secrets.texts["second"] = CardKeys.parse("x" * 64).rotated("2" * 64, int(time.time())).to_json()
    with pytest.raises(ValueError, match="changes or takes back"):
        secrets.step("testSecret", "second")


def test_a_rotation_that_hung_too_long_is_not_finished(
    secrets: SecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a version that was created, and would have decided when it became current
    secrets.stages["AWSPENDING"] = "second"
    secrets.step("createSecret", "second")
    late = time.time() + 2 * 3600
    monkeypatch.setattr(card_keys.time, "time", lambda: late)
    with pytest.raises(ValueError, match="AWSPENDING, and rotate again"):
        secrets.step("testSecret", "second")


def test_an_unusable_secret_is_not_rotated(secrets: SecretsManager) -> None:
    secrets.texts["first"], secrets.stages["AWSPENDING"] = "garbage", "second"
    with pytest.raises(ValueError, match="card keys"):
        secrets.step("createSecret", "second")
    assert secrets.texts == {"first": "garbage"}
