"""The region and the environment in which the commands of the pipeline work."""

from collections.abc import Callable
from pathlib import Path

import pytest

from environments import DEFAULT_REGION, PROD
from loadtest.access import platform_output
from loadtest.result import ExitCode, GateError
from pipeline import aws
from pipeline.audit import __main__ as audit
from pipeline.bootstrap import __main__ as bootstrap
from pipeline.release import cli as release
from pipeline.rules import __main__ as rules
from pipeline.transactions import __main__ as transactions


@pytest.mark.parametrize(
    ("settings", "variables", "region"),
    [
        ("eu-west-1", {"AWS_REGION": "us-west-2"}, "eu-west-1"),
        (None, {"AWS_REGION": "us-west-2", "AWS_PROFILE": "payments"}, "us-west-2"),
        (None, {"AWS_DEFAULT_REGION": "ap-south-1"}, "ap-south-1"),
        (None, {"AWS_PROFILE": "payments"}, "eu-north-1"),
        (None, {}, DEFAULT_REGION),
    ],
    ids=["what the settings name", "the variable of AWS", "that of the SDK", "the profile's", "nothing named"],
)
def test_a_command_works_in_the_platform_s_region(
    settings: str | None, variables: dict[str, str], region: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "PLATFORM_ROLE_ARN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    profiles = tmp_path / "config"
    profiles.write_text("[profile payments]\nregion = eu-north-1\n")
    for name, value in {"AWS_CONFIG_FILE": str(profiles), **variables}.items():
        monkeypatch.setenv(name, value)
    assert aws.session(settings).region_name == region


ROLE = "arn:aws:iam::111111111111:role/payment-release-dev"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AWS_ENDPOINT_URL": "https://127.0.0.1:4571", "LOCAL_CLOUD": "dev"}, "those of the local cloud dev"),
        ({"PLATFORM_ROLE_ARN": ROLE}, "PLATFORM_ROLE_ARN is a role of dev, and not of prod"),
        ({"LOCAL_CLOUD": "dev"}, None),
        ({"AWS_ENDPOINT_URL": "https://127.0.0.1:4573", "LOCAL_CLOUD": "prod"}, None),
        ({"PLATFORM_ROLE_ARN": ROLE.replace("-dev", "-prod")}, None),
        ({"PLATFORM_ROLE_ARN": "arn:aws:iam::111111111111:role/of-the-company"}, None),
        ({}, None),
    ],
    ids=[
        "its cloud",
        "its role",
        "a cloud that was left",
        "the cloud of prod",
        "the role of prod",
        "a role",
        "nothing",
    ],
)
def test_variables_of_another_environment_are_recognised(variables: dict[str, str], said: str | None) -> None:
    if said is None:
        aws.require_variables_of("prod", variables)
    else:
        with pytest.raises(aws.OtherEnvironment, match=said):
            aws.require_variables_of("prod", variables)


COMMANDS: list[tuple[Callable[[list[str]], int], list[str]]] = [
    (release.main, ["rollback", "--force", "--env", "prod"]),
    (rules.main, ["show", "--env", "prod"]),
    (bootstrap.main, ["--env", "prod"]),
    (audit.main, ["verify", "--env", "prod"]),
    (transactions.main, ["--env", "prod", "list", "--status", "review"]),
]


@pytest.mark.parametrize(
    ("main", "words"), COMMANDS, ids=lambda each: getattr(each, "__module__", "").rpartition(".")[0]
)
def test_a_command_for_another_environment_than_that_of_the_variables_asks_nobody(
    main: Callable[[list[str]], int],
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Given the variables of dev's local cloud, which nothing answers
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:9")
    monkeypatch.setenv("LOCAL_CLOUD", "dev")

    try:
        code = main(words)
    except SystemExit as end:
        code = int(end.code or 0)

    assert code == (1 if main is rules.main else 2)
    assert 'eval "$(python -m localcloud env prod)"' in capsys.readouterr().err


def test_the_load_gate_recognises_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_ROLE_ARN", ROLE)
    with pytest.raises(GateError, match="PLATFORM_ROLE_ARN is a role of dev") as refusal:
        platform_output(PROD, "ApiGatewayUrl")
    assert refusal.value.code is ExitCode.USAGE
