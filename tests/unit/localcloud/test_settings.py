"""The private files of a local cloud: created at each start, readable by their owner only."""

import ssl
import stat
from pathlib import Path

import pytest

from localcloud import LocalCloud, LocalCloudError, certificates
from localcloud.settings import Settings, account_of


def test_each_environment_has_an_account_of_its_own() -> None:
    names = ["dev", "staging", "prod", "pr1", "pr2"]

    accounts = [account_of(name) for name in names]

    assert accounts[:3] == ["111111111111", "222222222222", "333333333333"]
    assert len(set(accounts)) == len(names)
    assert all(len(account) == 12 and account.isdigit() for account in accounts)
    assert accounts == [account_of(name) for name in names]


def test_credentials_differ_from_start_to_start_and_are_private(tmp_path: Path) -> None:
    first, second = (Settings.generate("dev", tmp_path, 4571) for _ in range(2))
    second.write()

    assert Settings.read(tmp_path) == second
    assert first.secret_access_key != second.secret_access_key
    assert stat.S_IMODE((tmp_path / "settings.json").stat().st_mode) == 0o600


def test_a_lag_that_is_no_number_is_named_and_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.generate("dev", tmp_path, 4571).index_lag_ms > 0, "as on AWS, unless somebody wants another lag"
    monkeypatch.setenv("INDEX_LAG_MS", "0")
    assert Settings.generate("dev", tmp_path, 4571).index_lag_ms == 0
    monkeypatch.setenv("INDEX_LAG_MS", "a while")
    with pytest.raises(LocalCloudError, match="INDEX_LAG_MS=a while: use a whole number of milliseconds"):
        LocalCloud("dev", tmp_path).start()


@pytest.mark.parametrize(
    ("variable", "value"), [("FUNCTION_ENVIRONMENTS", "0"), ("FUNCTION_ENVIRONMENTS", "-1"), ("LIMIT_PROCESSOR", "1")]
)
def test_a_variable_with_another_value_starts_nothing(
    variable: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(LocalCloudError, match=f"{variable}={value}: use "):
        LocalCloud("dev", tmp_path).start()


def test_the_processor_is_limited_only_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Settings.generate("dev", tmp_path, 4571).limit_processor
    monkeypatch.setenv("LIMIT_PROCESSOR", "yes")
    assert Settings.generate("dev", tmp_path, 4571).limit_processor


def test_the_certificate_is_trusted_by_its_authority_which_keeps_no_key(tmp_path: Path) -> None:
    certificates.issue(tmp_path, "dev", "eu-west-1")

    trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
        tmp_path / "server.pem", tmp_path / "server.key"
    )
    assert len(trust.get_ca_certs()) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ca.pem", "server.key", "server.pem"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


def test_a_cloud_that_was_never_started_says_so(tmp_path: Path) -> None:
    cloud = LocalCloud("dev", tmp_path)

    assert not cloud.is_running()
    with pytest.raises(LocalCloudError, match="dev was never started here"):
        cloud.environ()
    cloud.stop()
