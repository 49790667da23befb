"""Configuration and secrets, cached by Powertools for a limited time."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lambdas.adapters import aws
from lambdas.adapters.last_good import LastGood
from lambdas.payments.card_keys import CardKeys
from lambdas.payments.card_testing import CARD_TESTING
from lambdas.payments.fraud import Rules

_RULES_SECONDS = 60
_SECRET_SECONDS = 300


def fraud_rules() -> Rules:
    """The fraud rules, at most a minute old. Rules against card testing that the parameter lacks have the values of
    this version, because a parameter that names a new rule would be refused by the stable version."""
    document = _parameter(os.environ["FRAUD_RULES_PARAMETER"])
    return Rules.parse(document | {"rules": CARD_TESTING | document["rules"]})


_last_card_keys = LastGood("card keys", CardKeys.parse, lambda new, former: new.follows(former))


def card_keys(*, fresh: bool = False) -> CardKeys:
    """The keys of card fingerprints, at most five minutes old. ``fresh`` skips the cache, when a record names a newer
    version. A secret that is unusable is reported, and the last usable one goes on; without one raises ``Unavailable``.
    """
    return _last_card_keys.of(_secret(os.environ["FINGERPRINT_SECRET_ARN"], fresh=fresh))


def database_login(*, fresh: bool) -> dict[str, str]:
    """``username`` and ``password`` of the application's database role. ``fresh`` skips the cache, after a rotation."""
    login: dict[str, str] = json.loads(_secret(os.environ["DATABASE_SECRET_ARN"], fresh=fresh))
    return login


def _parameter(name: str) -> Any:
    from aws_lambda_powertools.utilities.parameters import SSMProvider

    with aws.available("configuration"), _original_error_raised():
        return _provider("ssm", SSMProvider).get(name, max_age=_RULES_SECONDS, transform="json")


def _secret(arn: str, *, fresh: bool) -> str:
    from aws_lambda_powertools.utilities.parameters import SecretsProvider

    with aws.available("secrets"), _original_error_raised():
        value = _provider("secretsmanager", SecretsProvider).get(arn, max_age=_SECRET_SECONDS, force_fetch=fresh)
    return value if isinstance(value, str) else value.decode()


@contextmanager
def _original_error_raised() -> Iterator[None]:
    """Raise the SDK's error. Powertools hides it in one of its own, which does not show whether it is transient."""
    from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

    try:
        yield
    except GetParameterError as error:
        raise error.__context__ or error from None


_providers: dict[str, Any] = {}


def _provider(service: str, kind: Any) -> Any:
    if service not in _providers:
        _providers[service] = kind(boto3_client=aws.client(service))
    return _providers[service]
