"""Requirements 8.6.2 and 8.6.3: no secret stands in a template, and secrets change."""

import re
from collections.abc import Iterator
from typing import Any

from pipeline.compliance.pci_dss_4.declaration import SECRET, rule
from pipeline.compliance.resolution import number, text
from pipeline.compliance.template_pack import EVERY_KIND, Resource

SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)|secret|token|credential|(api|private|access|signing)_?key|authtoken", re.I
)
LOCATOR = re.compile(
    r"(arns?|names?|ids?|urls?|paths?|days|seconds|length|type|policy|template|version|stage|rotation)$", re.I
)
"""Ends of names that say where a secret is, or how it is treated, not what it is."""
PLAIN_SECRET = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY-----|[a-z]+://[^/\s:@{]+:[^/\s:@{]+@"
    r"|(?i:passw(or)?d|secret|token|api_?key)[\"']?\s*[:=]\s*[\"'][^\"'{}$\s]{4,}[\"']"
)
"""Keys, addresses with a password, and secrets that a program or JSON text in a property assigns."""
LOOKED_UP = re.compile(r"\{\{resolve:(secretsmanager|ssm-secure):")
VARIABLES = ("Variables", "EnvironmentVariables", "Environment")
PASSWORDS = frozenset(
    "MasterUserPassword MasterPassword AdminPassword SecretString Password AuthToken OAuthToken SecretToken "
    "AccessToken AuthenticationConfiguration".lower().split()
)
"""Properties of AWS's resource types that hold a secret."""
API_KEY, ACCESS_KEY = "AWS::ApiGateway::ApiKey", "AWS::IAM::AccessKey"
READABLE = ("PLAINTEXT", "String", "StringList")
"""The types of variables of builds, and of parameters, whose value is the text itself."""
SHORTEST = 20
"""Characters of a generated secret. PCI DSS asks people for 12."""
LONGEST_DAYS = 365
RATE = re.compile(r"rate\((\d+) (hour|day)s?\)")
YEARLY_CRON = re.compile(r"cron\([^)]* \*\)")


@rule("8.6.2", "NoEmbeddedSecrets", EVERY_KIND, fault="A secret stands in the code")
def no_embedded_secrets(holder: Resource) -> bool:
    if holder.kind == API_KEY and "Value" in holder.body["Properties"]:
        return False
    return not any(
        _embedded(name, value, in_variables) for name, value, in_variables in _values(holder.body["Properties"])
    )


@rule("8.6.3", "SecretRotation", SECRET, ACCESS_KEY, fault="The secret changes less than once a year")
def secret_rotation(secret: Resource) -> bool:
    # Nothing changes the key of an IAM user.
    schedules = secret.referrers("AWS::SecretsManager::RotationSchedule", by="SecretId")
    return any(_yearly(each) for each in schedules)


@rule("8.6.3", "StrongSecrets", SECRET, fault="The generated secret is short")
def strong_secrets(secret: Resource) -> bool:
    length = secret.get("GenerateSecretString.PasswordLength")
    return length is None or (number(length) or 0) >= SHORTEST


def _values(value: Any, name: str = "", in_variables: bool = False) -> Iterator[tuple[str, Any, bool]]:
    """Each text or function in the properties, with its name, and whether it is a variable of a program."""
    match value:
        case {"Name": str(variable), "Value": found}:
            plain = value.get("Type", "PLAINTEXT") in READABLE
            yield variable if plain else "", found, plain
        case {"Fn::Join": _} | {"Fn::Unknown": _} | {"Ref": _} | {"Fn::GetAtt": _}:
            yield name, value, in_variables
        case dict():
            for key, each in value.items():
                yield from _values(each, key, name in VARIABLES)
        case list():
            for each in value:
                yield from _values(each, name, in_variables)
        case str():
            yield name, value, in_variables


def _embedded(name: str, value: Any, in_variables: bool) -> bool:
    known = text(value)
    if PLAIN_SECRET.search(known):
        return True
    if LOOKED_UP.search(known):
        return False
    if name.lower() in PASSWORDS:
        return not isinstance(value, dict) or "Fn::Unknown" in value or bool(known.strip("\0"))
    secret = in_variables and bool(SECRET_NAME.search(name)) and not LOCATOR.search(name)
    return secret and bool(known.strip("\0"))


def _yearly(schedule: Resource) -> bool:
    rules = schedule.get("RotationRules") or {}
    days = rules.get("AutomaticallyAfterDays")
    if days is not None:
        found = number(days)
        return found is not None and 0 < found <= LONGEST_DAYS
    expression = text(rules.get("ScheduleExpression"))
    if match := RATE.fullmatch(expression):
        return int(match.group(1)) <= LONGEST_DAYS * (24 if match.group(2) == "hour" else 1)
    return bool(YEARLY_CRON.fullmatch(expression))
