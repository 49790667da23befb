"""The preparation of a new account, a second run, and the refusals."""

import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from environments import PipelineSettings, environment
from pipeline.bootstrap import __main__ as bootstrap
from pipeline.bootstrap import account as account_module
from pipeline.bootstrap import certificate, connection

NOW = datetime(2030, 1, 1, tzinfo=UTC)
HOST = "payments.dev.internal"
ACCOUNT = "111111111111"


class NotFound(Exception):
    pass


class Refused(Exception):
    pass


class Exceptions:
    ResourceNotFoundException = ParameterNotFound = EntityAlreadyExistsException = NoSuchEntityException = NotFound
    BadRequestException = Refused


class Acm:
    """A fake ACM that can import certificates."""

    exceptions = Exceptions

    def __init__(self) -> None:
        self.held: dict[str, dict[str, bytes]] = {}
        self.described: dict[str, dict[str, Any]] = {}

    def import_certificate(self, CertificateArn: str | None = None, **parts: bytes) -> dict[str, str]:
        arn = CertificateArn or f"arn:certificate/{len(self.held) + 1}"
        self.held[arn] = parts
        return {"CertificateArn": arn}

    def get_certificate(self, CertificateArn: str) -> dict[str, str]:
        if CertificateArn not in self.held:
            raise NotFound
        return {"Certificate": self.held[CertificateArn]["Certificate"].decode()}

    def describe_certificate(self, CertificateArn: str) -> dict[str, Any]:
        if CertificateArn not in self.described:
            raise NotFound
        return {"Certificate": self.described[CertificateArn]}


def test_a_certificate_is_made_for_the_host_name_with_a_chain_that_clients_can_verify(tmp_path: Path) -> None:
    # Given a generated certificate
    made = certificate.issue(HOST, now=datetime.now(UTC))
    (tmp_path / "root.pem").write_bytes(made.chain)
    (tmp_path / "certificate.pem").write_bytes(made.certificate + made.chain)
    (tmp_path / "key.pem").write_bytes(made.private_key)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    server.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    client.load_verify_locations(tmp_path / "root.pem")
    # When a strict client connects to a server with it
    for name, verified in ((HOST, True), ("payments.prod.internal", False)):
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = [
            client.wrap_bio(to_client, to_server, server_hostname=name),
            server.wrap_bio(to_server, to_client, server_side=True),
        ]
        # Then the client accepts it for its own name only
        if verified:
            shake(ends)
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                shake(ends)


def shake(ends: list[ssl.SSLObject]) -> None:
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue


def test_a_certificate_with_time_left_is_kept() -> None:
    acm = Acm()
    arn, _ = certificate.ensure(acm, host_name=HOST, known_arn=None, now=NOW)
    before = dict(acm.held)
    assert certificate.ensure(acm, host_name=HOST, known_arn=arn, now=NOW + timedelta(days=300)) == (
        arn,
        "kept, valid until 2031-02-01",
    )
    assert acm.held == before


def test_an_expiring_certificate_is_renewed_under_the_same_arn() -> None:
    # Deployed stacks contain the ARN. A new ARN would reach the listener only with the next deployment.
    acm = Acm()
    arn, _ = certificate.ensure(acm, host_name=HOST, known_arn=None, now=NOW)
    later = NOW + certificate.VALID - timedelta(days=59)
    renewed, done = certificate.ensure(acm, host_name=HOST, known_arn=arn, now=later)
    assert (renewed, done.split(",")[0]) == (arn, "renewed")
    held = x509.load_pem_x509_certificate(acm.held[arn]["Certificate"])
    assert held.not_valid_after_utc > later + timedelta(days=390)


def test_a_missing_or_foreign_certificate_is_replaced_by_a_new_one() -> None:
    acm = Acm()
    other, _ = certificate.ensure(acm, host_name="pay.example.com", known_arn=None, now=NOW)
    for known in ("arn:certificate/gone", other):
        arn, done = certificate.ensure(acm, host_name=HOST, known_arn=known, now=NOW)
        assert arn not in (known, other)
        assert done.startswith("made and imported")


@pytest.mark.parametrize(
    ("found", "host_name", "message"),
    [
        (None, "pay.example.com", "has no certificate"),
        ({}, "pay.example.org", "is for pay.example.com, not for pay.example.org"),
        ({"Status": "PENDING_VALIDATION"}, "pay.example.com", "is PENDING_VALIDATION, not ISSUED"),
        ({"NotAfter": NOW}, "pay.example.com", "expired on 2030-01-01"),
        ({"DomainName": "*.example.com"}, "a.b.example.com", "not for a.b.example.com"),
    ],
)
def test_a_certificate_of_the_user_that_cannot_serve_is_refused(
    found: dict[str, Any] | None, host_name: str, message: str
) -> None:
    acm = Acm()
    good = {"DomainName": "pay.example.com", "Status": "ISSUED", "NotAfter": NOW + timedelta(days=1)}
    if found is not None:
        acm.described["arn"] = good | found
    with pytest.raises(certificate.UnusableCertificate, match=message):
        certificate.check(acm, arn="arn", host_name=host_name, now=NOW)


class Account:
    """A fake AWS account with the services that the bootstrap uses."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self.parameters = dict(parameters)
        self.writes: list[str] = []
        self.acm = Acm()
        self.log_role: str | None = None
        self.roles: dict[str, dict[str, Any]] = {}
        self.refusals = 0
        self.region_name = "eu-west-1"
        self.exceptions = Exceptions

    def client(self, service: str) -> Any:
        return self.acm if service == "acm" else self

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": ACCOUNT}

    def get_parameter(self, Name: str) -> dict[str, dict[str, str]]:
        if Name not in self.parameters:
            raise NotFound
        return {"Parameter": {"Value": self.parameters[Name]}}

    def put_parameter(self, Name: str, Value: str, **_: Any) -> None:
        self.parameters[Name] = Value
        self.writes.append(Name)

    def get_account(self) -> dict[str, str]:
        return {"cloudwatchRoleArn": self.log_role} if self.log_role else {}

    def get_role(self, RoleName: str) -> dict[str, dict[str, Any]]:
        if RoleName not in self.roles:
            raise NotFound
        return {"Role": self.roles[RoleName]}

    def create_role(self, RoleName: str, **_: Any) -> dict[str, dict[str, str]]:
        self.roles[RoleName] = {"Arn": f"arn:role/{RoleName}"}
        return {"Role": self.roles[RoleName]}

    def attach_role_policy(self, **_: Any) -> None:
        self.writes.append("policy")

    def update_account(self, patchOperations: list[dict[str, str]]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Refused("The role ARN does not have required permissions")
        self.log_role = patchOperations[0]["value"]
        self.writes.append("log role")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    """An account after ``cdk bootstrap``."""
    account = Account({"/cdk-bootstrap/hnb659fds/version": "30"})
    monkeypatch.setattr(bootstrap.aws, "session", lambda *_: account)
    # The test must not depend on the accounts in the settings.
    ours = {"account": None, "alert_email": "ops@acme.test"}
    monkeypatch.setattr(bootstrap, "environment", lambda name: replace(environment(name), **ours))
    monkeypatch.setattr(account_module, "PIPELINE", PipelineSettings())
    return account


def test_an_environments_account_gets_its_stacks_parameters_and_a_second_run_writes_nothing(account: Account) -> None:
    assert bootstrap.main(["--env", "dev"]) == 0
    [arn] = account.acm.held
    assert account.parameters["/payment/alb-certificate-arn-dev"] == arn
    assert account.parameters["/payment/alb-host-name-dev"] == HOST
    assert account.log_role == "arn:role/payment-api-gateway-logs"
    account.writes.clear()
    assert bootstrap.main(["--env", "dev"]) == 0
    assert (account.writes, list(account.acm.held)) == ([], [arn])


def test_setting_the_log_role_is_retried_until_api_gateway_accepts_it(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    # Given IAM that needs less than a minute
    account.refusals = 3
    assert bootstrap.main(["--env", "dev"]) == 0
    assert account.log_role == "arn:role/payment-api-gateway-logs"
    assert 0 < sum(slept) <= 60
    # And a role that API Gateway never accepts
    account.log_role, account.refusals = None, 1000
    slept.clear()
    with pytest.raises(Refused):
        bootstrap.main(["--env", "dev"])
    assert sum(slept) == 60


def test_a_deleted_log_role_is_created_again(account: Account) -> None:
    account.log_role = "arn:aws:iam::111111111111:role/service/deleted"
    assert bootstrap.main(["--env", "dev"]) == 0
    assert account.log_role == "arn:role/payment-api-gateway-logs"


@pytest.mark.parametrize("version", [None, "20"])
def test_an_account_without_cdks_stack_gets_the_command_cdk_bootstrap(
    account: Account, capsys: pytest.CaptureFixture[str], version: str | None
) -> None:
    account.parameters = {"/cdk-bootstrap/hnb659fds/version": version} if version else {}
    assert bootstrap.main(["--env", "dev"]) == 1
    assert "run  cdk bootstrap aws://111111111111/eu-west-1" in capsys.readouterr().err
    assert account.writes == []


def test_an_account_that_does_not_trust_the_pipeline_gets_the_command_cdk_bootstrap(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a pipeline in another account, which this account does not trust
    monkeypatch.setattr(account_module, "PIPELINE", PipelineSettings(account="999999999999", region="eu-west-1"))
    deploy_role = account.roles[f"cdk-hnb659fds-deploy-role-{ACCOUNT}-eu-west-1"] = trusting(ACCOUNT)
    # When the environment is prepared, then the command that adds the trust is printed
    assert bootstrap.main(["--env", "dev"]) == 1
    printed = capsys.readouterr().err
    assert "aws://111111111111/eu-west-1 --trust 999999999999 --cloud" in printed
    assert account.writes == []
    # With the written policies, made first from files that exist, and never with an administrator's
    assert "AdministratorAccess" not in printed
    assert "-policies arn:aws:iam::111111111111:policy/payment-execution --custom-permissions-boundary" in printed
    made = dict(re.findall(r"create-policy --policy-name (\S+) --policy-document file://(\S+)", printed))
    assert list(made) == ["payment-execution", "payment-boundary"]
    for name, file in made.items():
        assert name in printed.partition("cdk bootstrap")[2]
        statements = json.loads((Path(bootstrap.__file__).parents[2] / file).read_text())["Statement"]
        assert {each["Effect"] for each in statements} >= {"Allow"}
    # And after that command, the preparation succeeds
    deploy_role |= trusting(ACCOUNT, "999999999999")
    assert bootstrap.main(["--env", "dev"]) == 0


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("arguments", [["--env", "dev"], ["--pipeline"]])
def test_notices_to_a_placeholder_are_refused_except_on_a_local_cloud(
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    local: bool,
) -> None:
    # Given settings as they come
    monkeypatch.setattr(bootstrap, "environment", lambda name: replace(environment(name), account=None))
    monkeypatch.setattr(bootstrap, "PIPELINE", PipelineSettings())
    for name in ("LOCAL_CLOUD", "AWS_ENDPOINT_URL"):
        if local:
            monkeypatch.setenv(name, "dev")
        else:
            monkeypatch.delenv(name, raising=False)
    # When an account is prepared
    code = bootstrap.main(arguments)
    # Then nothing is written for readers who don't exist, and the setting is named
    said = capsys.readouterr().err
    assert ("nobody reads this address: set" in said) is not local
    if not local:
        assert (code, account.writes) == (1, [])
        assert "alert_email of dev" in said or "PIPELINE.approver_email" in said


def trusting(*accounts: str) -> dict[str, Any]:
    """A role in the format of IAM."""
    principals = [{"AWS": f"arn:aws:iam::{each}:root"} for each in accounts]
    statements = [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": each} for each in principals]
    return {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": statements}}


@pytest.mark.parametrize(
    "arguments", [["--env", "9"], ["--env", "dev", "--host-name", "x"], [], ["--env", "dev", "--pipeline"]]
)
def test_inconsistent_options_are_a_usage_error(account: Account, arguments: list[str]) -> None:
    try:
        code: Any = bootstrap.main(arguments)
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert account.writes == []


class Connections:
    """A fake CodeConnections with one host."""

    exceptions = Exceptions

    def __init__(self, **status: str) -> None:
        self.status = status
        self.created: list[str] = []

    def list_connections(self, NextToken: str = "") -> dict[str, Any]:
        names = list(self.status)
        index = int(NextToken or 0)
        page = [{"ConnectionName": names[index], "ConnectionArn": f"arn:{names[index]}"}] if names else []
        return {"Connections": page, **({"NextToken": str(index + 1)} if index + 1 < len(names) else {})}

    def get_connection(self, ConnectionArn: str) -> dict[str, Any]:
        name = ConnectionArn.removeprefix("arn:")
        if name not in self.status:
            raise NotFound
        return {"Connection": {"ConnectionStatus": self.status[name]}}

    def create_connection(self, ConnectionName: str, ProviderType: str) -> dict[str, str]:
        self.created.append(ProviderType)
        self.status[ConnectionName] = "PENDING"
        return {"ConnectionArn": f"arn:{ConnectionName}"}


OURS = PipelineSettings(repository="acme/payments")


def ready(client: Connections, *, settings: PipelineSettings = OURS, arn: str | None = None) -> str:
    return connection.ensure(client, settings=settings, provider="GitHub", arn=arn)


def test_a_confirmed_connection_is_found_by_its_name_or_its_arn() -> None:
    client = Connections(**{"other": "AVAILABLE", "payment-pipeline": "AVAILABLE"})
    assert ready(client) == "arn:payment-pipeline"
    assert ready(client, arn="arn:other") == "arn:other"
    assert client.created == []


def test_a_missing_connection_is_created_once_and_waits_for_confirmation() -> None:
    client = Connections()
    for _ in range(2):
        with pytest.raises(connection.ConnectionNotReady, match="is PENDING: open the AWS console"):
            ready(client)
    assert client.created == ["GitHub"]


def test_a_connection_that_does_not_exist_is_refused() -> None:
    with pytest.raises(connection.ConnectionNotReady, match="no connection arn:typo"):
        ready(Connections(), arn="arn:typo")


def test_the_placeholder_repository_is_refused_before_anything_is_created() -> None:
    client = Connections()
    with pytest.raises(connection.ConnectionNotReady, match="still the placeholder"):
        ready(client, settings=PipelineSettings())
    assert client.created == []
