"""The region in which the commands of the pipeline work."""

from pathlib import Path

import pytest

from environments import DEFAULT_REGION
from pipeline import aws


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
