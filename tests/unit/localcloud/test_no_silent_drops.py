"""The reviewed list of properties that the local cloud ignores."""

import tomllib

import pytest

from localcloud.emulator.no_silent_drops import IGNORED, reviewed


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Environment.Variables", True),
        ("Environment.Variables.TABLE", True),
        ("Environment", False),
        ("EnvironmentVariables", False),
    ],
)
def test_an_entry_covers_the_properties_inside_it(path: str, expected: bool) -> None:
    assert reviewed("AWS::Lambda::Function", path) is expected


def test_every_entry_gives_a_reason() -> None:
    for resource_type, entries in tomllib.loads(IGNORED.read_text()).items():
        assert all(len(reason) > 8 for reason in entries.values()), resource_type
