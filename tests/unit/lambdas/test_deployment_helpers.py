"""The small custom resources of a deployment: closed default security group, private certificate."""

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lambdas import custom_resource
from lambdas.adapters import aws
from lambdas.default_security_group import handler as default_security_group
from lambdas.integration_tls import handler as integration_tls


class FakeEc2:
    """A default security group with the rules that AWS gives it, and a record of what is revoked."""

    def __init__(self, inbound: list[Any], outbound: list[Any]) -> None:
        self.group = {"IpPermissions": inbound, "IpPermissionsEgress": outbound}

    def describe_security_groups(self, *, GroupIds: list[str]) -> dict[str, Any]:
        assert GroupIds == ["sg-default"]
        return {"SecurityGroups": [self.group]}

    def revoke_security_group_ingress(self, *, GroupId: str, IpPermissions: list[Any]) -> None:
        assert IpPermissions, "EC2 refuses to revoke nothing"
        self.group["IpPermissions"] = [rule for rule in self.group["IpPermissions"] if rule not in IpPermissions]

    def revoke_security_group_egress(self, *, GroupId: str, IpPermissions: list[Any]) -> None:
        assert IpPermissions, "EC2 refuses to revoke nothing"
        kept = [rule for rule in self.group["IpPermissionsEgress"] if rule not in IpPermissions]
        self.group["IpPermissionsEgress"] = kept


class FakeApiGateway:
    """One integration."""

    def __init__(self) -> None:
        self.patched: list[dict[str, Any]] = []

    def update_integration(self, **request: Any) -> None:
        self.patched.append(request)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What CloudFormation was told."""
    sent: list[str] = []
    monkeypatch.setattr(custom_resource, "_send", lambda url, body: sent.append(body.decode()))
    return sent


def invoke(function: ModuleType, request: str, properties: dict[str, str]) -> None:
    event = {
        "RequestType": request,
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Resource",
        "PhysicalResourceId": "physical",
        "ResponseURL": "https://cloudformation.test/answer",
        "ResourceProperties": properties,
    }
    function.handler(event, SimpleNamespace(log_stream_name="stream"))


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_the_default_group_loses_every_rule(
    monkeypatch: pytest.MonkeyPatch, answers: list[str], request_type: str
) -> None:
    # Given the rules that AWS gives a default security group
    ec2 = FakeEc2(inbound=[{"IpProtocol": "-1", "UserIdGroupPairs": []}], outbound=[{"IpProtocol": "-1"}])
    monkeypatch.setattr(aws, "client", lambda service: {"ec2": ec2}[service])
    # When it is closed
    invoke(default_security_group, request_type, {"SecurityGroupId": "sg-default"})
    # Then none is left
    assert ec2.group == {"IpPermissions": [], "IpPermissionsEgress": []}
    assert '"SUCCESS"' in answers[0]


def test_closing_a_closed_group_changes_nothing(monkeypatch: pytest.MonkeyPatch, answers: list[str]) -> None:
    monkeypatch.setattr(aws, "client", lambda service: FakeEc2(inbound=[], outbound=[]))
    invoke(default_security_group, "Update", {"SecurityGroupId": "sg-default"})
    assert '"SUCCESS"' in answers[0]


def test_the_group_is_left_to_its_vpc_on_delete(monkeypatch: pytest.MonkeyPatch, answers: list[str]) -> None:
    ec2 = FakeEc2(inbound=[], outbound=[{"IpProtocol": "-1"}])
    monkeypatch.setattr(aws, "client", lambda service: ec2)
    invoke(default_security_group, "Delete", {"SecurityGroupId": "sg-default"})
    assert ec2.group["IpPermissionsEgress"] == [{"IpProtocol": "-1"}]
    assert '"SUCCESS"' in answers[0]


def test_the_integration_accepts_a_private_certificate(monkeypatch: pytest.MonkeyPatch, answers: list[str]) -> None:
    api = FakeApiGateway()
    monkeypatch.setattr(aws, "client", lambda service: {"apigateway": api}[service])
    properties = {"RestApiId": "api", "ResourceId": "resource", "HttpMethod": "POST", "Revision": "1"}
    # When the integration was written, now and at a later deployment
    invoke(integration_tls, "Create", properties)
    invoke(integration_tls, "Update", properties | {"Revision": "2"})
    # Then it is told each time
    assert [request["patchOperations"][0]["path"] for request in api.patched] == [
        "/tlsConfig/insecureSkipVerification"
    ] * 2
    # And its identity stays, or CloudFormation would delete what it takes for an old one
    assert len({answer.split('"PhysicalResourceId": ')[1].split(",")[0] for answer in answers}) == 1


def test_a_deleted_integration_is_not_looked_for(monkeypatch: pytest.MonkeyPatch, answers: list[str]) -> None:
    monkeypatch.setattr(aws, "client", lambda service: None)
    invoke(integration_tls, "Delete", {"RestApiId": "api", "ResourceId": "resource", "HttpMethod": "POST"})
    assert '"SUCCESS"' in answers[0]
