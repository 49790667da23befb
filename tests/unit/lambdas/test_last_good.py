"""An unusable configuration is reported, and changes nothing where a usable one was read before."""

import json
from typing import Any

import pytest

import names
from lambdas.adapters import aws, configuration
from lambdas.adapters.last_good import LastGood
from lambdas.payments.card_keys import CardKeys
from lambdas.payments.errors import Unavailable

FIRST = "k" * 64
SET = CardKeys.parse(FIRST).rotated("2" * 64, 1_790_000_000)
NEXT = SET.rotated("3" * 64, 1_790_000_060)


class Secret:
    """Secrets Manager with one secret."""

    def __init__(self, text: str) -> None:
        self.text = text

    def get_secret_value(self, **_: Any) -> dict[str, str]:
        return {"SecretString": self.text}


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> Secret:
    """The secret of a function that has not read it yet, and never reads it from a cache."""
    stored = Secret(FIRST)
    monkeypatch.setattr(configuration, "_providers", {})
    monkeypatch.setattr(configuration, "_last_card_keys", LastGood("card keys", CardKeys.parse, CardKeys.follows))
    monkeypatch.setattr(aws, "client", lambda service: stored)
    for name, value in {
        "FINGERPRINT_SECRET_ARN": "it", "ENVIRONMENT": "dev", "POWERTOOLS_METRICS_NAMESPACE": "Payments",
        "POWERTOOLS_SERVICE_NAME": "payment-processing",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return stored


def read() -> list[int]:
    return [each.number for each in configuration.card_keys(fresh=True).versions]


@pytest.mark.parametrize(
    "unusable",
    ["", "garbage", "{", FIRST, SET.to_json().replace("2222", "4444"), SET.to_json().replace("kkkk", "llll")],
    ids=["nothing", "a word", "half a set", "taken back", "another newest key", "another first key"],
)
def test_keys_that_became_unusable_are_reported_and_the_last_good_ones_go_on(
    unusable: str, secret: Secret, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a function that has read a set
    secret.text = SET.to_json()
    assert read() == [1, 2]
    assert capsys.readouterr().out == ""
    # When the secret becomes unusable
    secret.text = unusable
    # Then the function goes on, and says so in its log and in a metric, once a minute, without any part of the secret
    assert (read(), read()) == ([1, 2], [1, 2])
    said = capsys.readouterr().out
    line, metric = (json.loads(each) for each in said.splitlines())
    assert line["level"] == "ERROR"
    assert metric[names.CONFIGURATION_REFUSED] == [1.0]
    assert (metric["Environment"], metric["service"]) == ("dev", "payment-processing")
    assert "llll" not in said
    assert "4444" not in said
    # And when it is usable again, the function reads it
    secret.text = NEXT.to_json()
    assert read() == [1, 2, 3]


def test_a_function_that_has_read_no_usable_keys_is_unavailable(secret: Secret) -> None:
    secret.text = "garbage"
    for _ in range(2):
        with pytest.raises(Unavailable, match="card keys"):
            read()
    secret.text = FIRST
    assert read() == [1]


def test_what_stays_unusable_is_reported_every_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENVIRONMENT", "dev")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Payments")
    now = 0.0
    numbers = LastGood("numbers", int, clock=lambda: now)
    numbers.of("1")
    for moment in (0.0, 59.0, 60.0, 61.0):
        now = moment
        assert numbers.of("one") == 1
    assert capsys.readouterr().out.count(names.CONFIGURATION_REFUSED + '":[') == 2
