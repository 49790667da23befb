"""Configuration and secrets, cached by Powertools for a limited time."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lambdas.adapters import aws
from lambdas.adapters.breaker import Breaker
from lambdas.adapters.last_good import LastGood
from lambdas.payments.card_keys import CardKeys
from lambdas.payments.errors import Unavailable
from lambdas.payments.rules import Rules, in_force, shipped

_RULES_SECONDS = 60
_SECRET_SECONDS = 300


_parameter_store = Breaker("configuration")
_last_rules = LastGood("fraud rules", lambda text: in_force(text, shipped()), first=shipped())


def fraud_rules() -> Rules:
    """The fraud rules that this version ships, or an override of them, at most a minute old.

    Nothing in the parameter makes a payment fail: the last good rules go on. Raises ``Unavailable`` only while the
    parameter was never read, because then there may be an override.
    """
    from botocore.exceptions import ClientError

    try:
        with _parameter_store.guarded():
            return _last_rules.of(_parameter(os.environ["FRAUD_RULES_PARAMETER"]))
    except Unavailable:
        if not _last_rules.was_read:
            raise
        return _last_rules.refuse("the parameter can't be read")
    except ClientError as error:
        return _last_rules.refuse(f"the parameter can't be read: {error.response['Error']['Code']}")


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


def _parameter(name: str) -> str:
    from aws_lambda_powertools.utilities.parameters import SSMProvider

    with aws.available("configuration"), _original_error_raised():
        return str(_provider("ssm", SSMProvider).get(name, max_age=_RULES_SECONDS))


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
