"""The rules in force: those that ship with the version, or an override of them. Nothing wrong makes a payment fail."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from lambdas.adapters import aws, configuration
from lambdas.adapters.breaker import Breaker
from lambdas.adapters.last_good import LastGood
from lambdas.payments import fraud, rules
from lambdas.payments.errors import Unavailable
from lambdas.payments.rules import BadRules, Rules, in_force, read, shipped, version_of
from stages.parameters import NO_OVERRIDE

OWN = shipped()
NUMBER = OWN.version.removeprefix("shipped-")
STRICT = {"review_at": 1, "decline_at": 20, "rules": {"country_mismatch": {"score": 20}}}


def override(document: Any = STRICT, replaces: Any = (NUMBER,)) -> str:
    return json.dumps(
        {"override": {"replaces": list(replaces), "by": "me", "at": "now", "reason": "attack"}, **document}
    )


def with_rule(**values: Any) -> dict[str, Any]:
    return {"review_at": 40, "decline_at": 80, "rules": {"repeated_declines": values}}


GOOD = {"score": 50, "seconds": 60, "count": 3}


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ([], "must be an object with review_at, decline_at and rules"),
        ({"review_at": 40, "rules": {}}, "decline_at: is missing"),
        (STRICT | {"limit": 1}, "limit: is unknown; allowed are review_at, decline_at, rules"),
        (STRICT | {"review_at": 50, "decline_at": 40}, "review_at: is 50; at most decline_at, which is 40"),
        (STRICT | {"review_at": "40"}, 'review_at: is "40"; allowed is a whole number from 1 to 101'),
        (STRICT | {"decline_at": True}, "decline_at: is true; allowed is a whole number from 1 to 101"),
        (STRICT | {"rules": []}, "rules: must be an object"),
        (
            STRICT | {"rules": {"no_such_rule": {"score": 1}}},
            "rules.no_such_rule: is unknown; allowed are customer_vel",
        ),
        (STRICT | {"rules": {"country_mismatch": 3}}, "rules.country_mismatch: must be an object"),
        (with_rule(score=1, seconds=60), "rules.repeated_declines.count: is missing"),
        (with_rule(**GOOD, cards=3), "rules.repeated_declines.cards: is unknown; allowed are score, seconds, count"),
        (
            with_rule(**GOOD | {"score": -5}),
            "rules.repeated_declines.score: is -5; allowed is a whole number from 0 to",
        ),
        (with_rule(**GOOD | {"score": 1.5}), "rules.repeated_declines.score: is 1.5; allowed"),
        (with_rule(**GOOD | {"seconds": 86_401}), "seconds: is 86401; allowed is a whole number from 1 to 86400"),
        (with_rule(**GOOD | {"count": 0}), "count: is 0; allowed"),
        (with_rule(**GOOD | {"count": 6_001}), "count: is 6001, which no window of 60 seconds reaches; at most 6000"),
        (
            STRICT | {"rules": {"many_cards_on_customer": {"score": 1, "seconds": 60, "cards": 31}}},
            "cards: is 31; allowed is a whole number from 1 to 30",
        ),
        (
            STRICT | {"rules": {"amount_anomaly": {"score": 1, "at_least": 21, "times_median": 8}}},
            "at_least: is 21; allowed is a whole number from 1 to 20",
        ),
    ],
)
def test_a_fault_is_named_with_its_path_and_what_is_allowed(document: Any, fault: str) -> None:
    with pytest.raises(BadRules) as bad:
        Rules.parse(document)
    assert fault in str(bad.value)
    assert len(bad.value.faults) == 1


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", '{"review_at": 1, "review_at": 2}', "[" * 100_000, "9" * 5_000, '{"rules": {"a": {}, "a": {}}}'],
)
def test_what_is_no_sound_json_is_refused(text: str) -> None:
    with pytest.raises(BadRules):
        Rules.parse(read(text))


def test_each_rule_has_its_fields_and_its_case() -> None:
    assert fraud._FIRES.keys() == rules.FIELDS.keys() == OWN.values.keys()


NAMES = st.sampled_from(["override", "replaces", "rules", "score", "review_at", "decline_at", *rules.FIELDS])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES | st.text(), inner),
)


@given(VALUES, st.dictionaries(NAMES, VALUES))
def test_no_value_of_the_parameter_raises_anything_else(document: Any, ours: Any) -> None:
    for value in (document, ours, ours | {"override": {"replaces": [NUMBER]}}):
        with suppress(BadRules):
            in_force(json.dumps(value), OWN)


def test_the_first_value_of_the_parameter_is_no_override() -> None:
    assert version_of(NO_OVERRIDE) == rules.NO_OVERRIDE, "it must never change: an update would take away an override"
    assert in_force(NO_OVERRIDE, OWN) is OWN


def test_an_override_replaces_the_rules_that_it_names_and_no_others() -> None:
    # Given a version, and one with other rules
    newer = Rules(review_at=1, decline_at=2, values={}, version="shipped-0000000000")
    # Then an override of the first is followed by the first only
    followed = in_force(override(), OWN)
    assert (followed.review_at, followed.version) == (1, f"override-{version_of(override())}")
    assert in_force(override(), newer) is newer
    # And also when it says what this version does not know
    assert in_force(override({"rules": {"a rule of the future": {}}}, replaces=["another"]), OWN) is OWN


class Parameter:
    """The parameter, and a function's execution environment that reads it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.value: str | Exception = NO_OVERRIDE
        self.now = 0.0
        self._patch, self._capsys = monkeypatch, capsys
        monkeypatch.setattr(aws, "client", lambda service: self)
        monkeypatch.setenv("FRAUD_RULES_PARAMETER", "it")
        monkeypatch.setenv("ENVIRONMENT", "prod")
        monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Payments")
        last = LastGood("fraud rules", lambda text: in_force(text, OWN), first=OWN, clock=lambda: self.now)
        monkeypatch.setattr(configuration, "_last_rules", last)
        monkeypatch.setattr(configuration, "_parameter_store", Breaker("configuration", lambda: self.now))
        self.now -= 60

    def get_parameter(self, **_: Any) -> Any:
        if isinstance(self.value, Exception):
            raise self.value
        return {"Parameter": {"Value": self.value}}

    def after_a_minute(self, value: str | Exception | None = None) -> Rules:
        self.value, self.now = self.value if value is None else value, self.now + 60
        self._patch.setattr(configuration, "_providers", {})
        return configuration.fraud_rules()

    def reports(self) -> list[str]:
        """The reasons in the log since the last call. Each comes with a count of the metric."""
        lines = self._capsys.readouterr().out.splitlines()
        metrics = [line for line in lines if '"ConfigurationRefused":[1.0]' in line]
        reasons = [json.loads(line)["fault"] for line in lines if '"fault"' in line]
        assert len(metrics) == len(reasons)
        return reasons


@pytest.fixture
def parameter(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Parameter:
    return Parameter(monkeypatch, capsys)


REFUSED = ClientError({"Error": {"Code": "AccessDeniedException"}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "Get")
HUNG = ConnectTimeoutError(endpoint_url="https://x")


@pytest.mark.parametrize(
    "wrong", ["no JSON", "{}", "[]", override(STRICT | {"review_at": 99}), json.dumps(STRICT), REFUSED, HUNG]
)
def test_the_last_good_rules_go_on_while_the_parameter_is_wrong(parameter: Parameter, wrong: str | Exception) -> None:
    # Given an environment that follows an override
    assert parameter.after_a_minute() is OWN
    good = parameter.after_a_minute(override())
    assert good.version.startswith("override-")
    # When the parameter gets a bad value, then the override goes on, and each minute says so
    assert parameter.after_a_minute(wrong) is good
    assert configuration.fraud_rules() is good
    assert len(parameter.reports()) == 1
    assert parameter.after_a_minute() is good
    assert len(parameter.reports()) == 1
    # When it is withdrawn, then the shipped rules are back
    assert parameter.after_a_minute(override(replaces=[])) is OWN
    assert parameter.reports() == []


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("{}", "override.replaces: is missing: use python -m pipeline.rules put"),
        (REFUSED, "the parameter can't be read: AccessDeniedException"),
    ],
)
def test_a_new_environment_has_the_shipped_rules_while_the_parameter_is_wrong(
    parameter: Parameter, wrong: str | Exception, reason: str
) -> None:
    assert parameter.after_a_minute(wrong) is OWN
    assert parameter.reports() == [reason]


def test_a_new_environment_that_cannot_ask_for_an_override_is_unavailable(parameter: Parameter) -> None:
    with pytest.raises(Unavailable):
        parameter.after_a_minute(HUNG)
    assert parameter.after_a_minute(NO_OVERRIDE) is OWN


def test_the_version_is_the_hash_of_the_file() -> None:
    content = Path(rules.__file__).with_name("fraud_rules.json").read_bytes()
    assert OWN.version == f"shipped-{version_of(content.decode())}"
