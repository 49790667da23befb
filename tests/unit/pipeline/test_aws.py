"""Where the commands of the pipeline work."""

import pytest

from pipeline import aws
from pipeline.environments import DEFAULT_REGION


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({"PLATFORM_REGION": "eu-west-1", "AWS_REGION": "us-west-2"}, "eu-west-1"),
        ({"AWS_REGION": "us-west-2"}, "us-west-2"),
        ({}, DEFAULT_REGION),
    ],
    ids=["a platform elsewhere than the pipeline", "where the step runs", "nothing named"],
)
def test_a_command_works_in_the_platform_s_region(
    variables: dict[str, str], region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PLATFORM_REGION", "AWS_REGION", "AWS_DEFAULT_REGION", "PLATFORM_ROLE_ARN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert aws.session().region_name == region
