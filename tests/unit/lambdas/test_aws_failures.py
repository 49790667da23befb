"""The failures of AWS that the client may retry (503), and the others (500)."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from lambdas.adapters import aws, configuration
from lambdas.payments.errors import Unavailable

REFUSED = ClientError({"Error": {"Code": "AccessDeniedException"}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "Get")


def failure(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "PutItem")


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "ProvisionedThroughputExceededException", "ConditionalRequestConflict", "SlowDown"]
)
def test_a_transient_failure_is_unavailable(code: str) -> None:
    with pytest.raises(Unavailable), aws.available("transactions"):
        raise failure(code)


def test_a_refusal_is_not_transient() -> None:
    with pytest.raises(ClientError), aws.available("transactions"):
        raise REFUSED


class Store:
    """A failing Secrets Manager."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get_secret_value(self, **_: Any) -> Any:
        raise self.error


@pytest.mark.parametrize("error", [failure("ThrottlingException"), ConnectTimeoutError(endpoint_url="https://x")])
def test_unreachable_configuration_is_unavailable(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    given_a_store(error, monkeypatch)
    with pytest.raises(Unavailable):
        configuration.card_keys()


def test_refused_configuration_is_an_internal_error(monkeypatch: pytest.MonkeyPatch) -> None:
    given_a_store(REFUSED, monkeypatch)
    with pytest.raises(ClientError):
        configuration.card_keys()


def given_a_store(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "_providers", {})
    monkeypatch.setattr(aws, "client", lambda service: Store(error))
    monkeypatch.setenv("FINGERPRINT_SECRET_ARN", "it")
