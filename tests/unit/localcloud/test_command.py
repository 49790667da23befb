"""The variables that direct commands to a local cloud."""

import pytest

from localcloud.__main__ import main


def test_without_a_local_cloud_the_variables_reach_no_cloud(
    tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given no local cloud
    # When a shell asks for its variables, as in eval "$(… env dev)"
    assert main(["env", "dev", "--state", str(tmp_path)]) == 1
    # Then the shell's next command reaches neither a local cloud nor the person's own account
    output = capsys.readouterr().out
    assert "AWS_ENDPOINT_URL=https://127.0.0.1:9" in output
    assert "unset AWS_SESSION_TOKEN AWS_PROFILE" in output
