"""The variables that lead commands to a local cloud."""

import pytest

from localcloud.__main__ import main


def test_without_a_local_cloud_the_variables_lead_nowhere(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    # Given no local cloud
    # When its variables are asked for, as in eval "$(… env dev)"
    assert main(["env", "dev", "--state", str(tmp_path)]) == 1
    # Then what is called next reaches neither a local cloud nor the person's own account
    said = capsys.readouterr().out
    assert "AWS_ENDPOINT_URL=https://127.0.0.1:9" in said
    assert "unset AWS_SESSION_TOKEN AWS_PROFILE" in said
