"""The small custom resources of a deployment: aliases, default security group, private certificate, steady state."""

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.adapters import aws
from lambdas.deployment import blue_alias, custom_resource, default_security_group, integration_tls, steady_state


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
    """A fake API Gateway with one integration."""

    def __init__(self) -> None:
        self.patched: list[dict[str, Any]] = []

    def update_integration(self, **request: Any) -> None:
        self.patched.append(request)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The answers to CloudFormation."""
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
    monkeypatch.setattr(aws, "patient_client", lambda service: {"ec2": ec2}[service])
    # When it is closed
    invoke(default_security_group, request_type, {"SecurityGroupId": "sg-default"})
    # Then none is left
    assert ec2.group == {"IpPermissions": [], "IpPermissionsEgress": []}
    assert '"SUCCESS"' in answers[0]


def test_closing_a_closed_group_changes_nothing(monkeypatch: pytest.MonkeyPatch, answers: list[str]) -> None:
    monkeypatch.setattr(aws, "patient_client", lambda service: FakeEc2(inbound=[], outbound=[]))
    invoke(default_security_group, "Update", {"SecurityGroupId": "sg-default"})
    assert '"SUCCESS"' in answers[0]


def test_a_rule_that_an_unanswered_request_has_removed_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, answers: list[str]
) -> None:
    # Given EC2 that did what it was operations, and got the request again
    code = "InvalidPermission.NotFound"

    def again(**_: Any) -> None:
        raise ClientError({"Error": {"Code": code, "Message": ""}}, "RevokeSecurityGroupEgress")

    ec2 = FakeEc2(inbound=[], outbound=[{"IpProtocol": "-1"}])
    monkeypatch.setattr(ec2, "revoke_security_group_egress", again)
    monkeypatch.setattr(aws, "patient_client", lambda service: ec2)
    invoke(default_security_group, "Create", {"SecurityGroupId": "sg-default"})
    # Then that is no failure, while any other refusal is one
    code = "UnauthorizedOperation"
    invoke(default_security_group, "Create", {"SecurityGroupId": "sg-default"})
    assert ['"SUCCESS"' in answer for answer in answers] == [True, False]


def test_the_group_is_left_to_its_vpc_on_delete(monkeypatch: pytest.MonkeyPatch, answers: list[str]) -> None:
    ec2 = FakeEc2(inbound=[], outbound=[{"IpProtocol": "-1"}])
    monkeypatch.setattr(aws, "patient_client", lambda service: ec2)
    invoke(default_security_group, "Delete", {"SecurityGroupId": "sg-default"})
    assert ec2.group["IpPermissionsEgress"] == [{"IpProtocol": "-1"}]
    assert '"SUCCESS"' in answers[0]


def test_the_integration_gets_the_setting_of_certificate_verification(
    monkeypatch: pytest.MonkeyPatch, answers: list[str]
) -> None:
    api = FakeApiGateway()
    monkeypatch.setattr(aws, "patient_client", lambda service: {"apigateway": api}[service])
    method = {"RestApiId": "api", "ResourceId": "resource", "HttpMethod": "POST"}
    # When the integration is written, then written again, then the setting changes
    invoke(integration_tls, "Create", method | {"Revision": "1", "InsecureSkipVerification": "true"})
    invoke(integration_tls, "Update", method | {"Revision": "2", "InsecureSkipVerification": "true"})
    invoke(integration_tls, "Update", method | {"Revision": "3", "InsecureSkipVerification": "false"})
    # Then the setting is made each time
    assert {(p["restApiId"], p["resourceId"], p["httpMethod"]) for p in api.patched} == {("api", "resource", "POST")}
    operations = [operation for patch in api.patched for operation in patch["patchOperations"]]
    assert {(each["op"], each["path"]) for each in operations} == {("replace", "/tlsConfig/insecureSkipVerification")}
    assert [each["value"] for each in operations] == ["true", "true", "false"]
    # And the physical id stays, because with a new one CloudFormation would delete the old resource
    assert len({answer.split('"PhysicalResourceId": ')[1].split(",")[0] for answer in answers}) == 1


def test_a_delete_calls_no_api(monkeypatch: pytest.MonkeyPatch, answers: list[str]) -> None:
    monkeypatch.setattr(aws, "patient_client", lambda service: None)
    invoke(integration_tls, "Delete", {"RestApiId": "api", "ResourceId": "resource", "HttpMethod": "POST"})
    assert '"SUCCESS"' in answers[0]


class FakeAliases:
    """A fake Lambda with one alias during a shift. Its first answer to an update may be lost."""

    class exceptions:
        class ResourceNotFoundException(Exception):
            pass

        class PreconditionFailedException(Exception):
            pass

    def __init__(self, *, took_effect: bool) -> None:
        self.took_effect = took_effect
        self.weights = {"8": 0.5}

    def get_alias(self, **_: str) -> dict[str, Any]:
        routing = {"AdditionalVersionWeights": self.weights}
        return {"Name": "stable", "FunctionVersion": "7", "RevisionId": "1", "RoutingConfig": routing}

    def update_alias(self, **_: Any) -> None:
        if self.took_effect:
            self.weights = {}
        raise self.exceptions.PreconditionFailedException("the alias has another revision")


@pytest.mark.parametrize("took_effect", [True, False])
def test_a_repeated_update_succeeds_if_the_alias_has_the_wanted_state(
    monkeypatch: pytest.MonkeyPatch, answers: list[str], took_effect: bool
) -> None:
    aliases = FakeAliases(took_effect=took_effect)
    monkeypatch.setattr(aws, "patient_client", lambda service: aliases)
    monkeypatch.setattr(steady_state, "_all_weight_to_stable", lambda *names: None)
    invoke(
        steady_state,
        "Update",
        {
            "Environment": "dev",
            "LoadBalancer": "balancer",
            "StableTargetGroup": "stable",
            "StableAlias": "stable",
            "Functions": ["function"],
        },
    )
    assert ('"SUCCESS"' in answers[0]) is took_effect


class FakeTraffic:
    """ELB and Lambda in the middle of a release: one listener, and the aliases of two functions."""

    class exceptions:
        class ResourceNotFoundException(Exception):
            pass

        class LoadBalancerNotFoundException(Exception):
            pass

        class TargetGroupNotFoundException(Exception):
            pass

        class PreconditionFailedException(Exception):
            pass

    def __init__(self, *, main: str, second: str) -> None:
        self.weights = {"stable-group": 50, "candidate-group": 50}
        self.aliases: dict[tuple[str, str], tuple[str, dict[str, float]]] = {
            ("routed", "stable"): (main, {second: 0.5}),
            ("balanced", "stable"): (main, {}),
            ("balanced", "candidate"): (second, {}),
        }
        self.calls: list[str] = []

    def describe_target_groups(self, **_: Any) -> Any:
        return {"TargetGroups": [{"TargetGroupArn": "stable-group"}]}

    def describe_load_balancers(self, **_: Any) -> Any:
        return {"LoadBalancers": [{"LoadBalancerArn": "balancer"}]}

    def describe_listeners(self, **_: Any) -> Any:
        groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in self.weights.items()]
        return {
            "Listeners": [{"ListenerArn": "listener", "DefaultActions": [{"ForwardConfig": {"TargetGroups": groups}}]}]
        }

    def modify_listener(self, *, DefaultActions: Any, **_: Any) -> None:
        self.calls.append("weights")
        groups = DefaultActions[0]["ForwardConfig"]["TargetGroups"]
        self.weights = {group["TargetGroupArn"]: group["Weight"] for group in groups}

    def get_alias(self, *, FunctionName: str, Name: str) -> Any:
        version, extra = self.aliases[FunctionName, Name]
        routing = {"RoutingConfig": {"AdditionalVersionWeights": extra}} if extra else {}
        return {"Name": Name, "FunctionVersion": version, "RevisionId": "1", **routing}

    def update_alias(self, *, FunctionName: str, Name: str, FunctionVersion: str, **_: Any) -> None:
        self.calls.append(FunctionName)
        self.aliases[FunctionName, Name] = (FunctionVersion, {})


@pytest.mark.parametrize(("main", "second"), [("9", "10"), ("10", "9")], ids=["shift", "undo"])
def test_a_deployment_puts_all_traffic_on_the_older_of_two_versions(
    monkeypatch: pytest.MonkeyPatch, answers: list[str], main: str, second: str
) -> None:
    # Given a release from one version to another, half-way: a shift to the newer, or an undo of the newer
    traffic = FakeTraffic(main=main, second=second)
    monkeypatch.setattr(aws, "patient_client", lambda service: traffic)

    invoke(
        steady_state,
        "Update",
        {
            "Environment": "dev",
            "LoadBalancer": "balancer",
            "StableTargetGroup": "stable",
            "StableAlias": "stable",
            "CandidateAlias": "candidate",
            "BalancedFunction": "balanced",
            "Functions": ["routed", "balanced"],
        },
    )

    # Then the one that was proven has all traffic, and never the other one more than before
    assert '"SUCCESS"' in answers[0]
    assert traffic.weights == {"stable-group": 100, "candidate-group": 0}
    assert traffic.aliases["routed", "stable"] == traffic.aliases["balanced", "stable"] == ("9", {})
    assert traffic.calls == (["balanced"] if main == "10" else []) + ["weights", "routed"]


def test_deployments_have_longer_time_limits_than_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    request, deployment = (make("apigateway").meta.config for make in (aws.client, aws.patient_client))
    assert request.connect_timeout + request.read_timeout < 3
    assert deployment.read_timeout >= 30
    assert deployment.retries["total_max_attempts"] > request.retries["total_max_attempts"]


class FakeFunction:
    """Lambda with one function. ``fails``: the call that fails once."""

    class exceptions:
        class ResourceNotFoundException(Exception):
            pass

        class ResourceConflictException(Exception):
            pass

    def __init__(self, *, blue: str | None = None, fails: str = "") -> None:
        self.latest, self.published = "the function's handler", [""]
        self.aliases = {} if blue is None else {"blue": blue}
        self.fails = fails
        self.loses_an_answer = False

    def _call(self, operation: str) -> None:
        if operation == self.fails:
            self.fails = ""
            raise ClientError({"Error": {"Code": "ServiceException", "Message": ""}}, operation)

    def get_alias(self, *, FunctionName: str, Name: str) -> dict[str, str]:
        if Name not in self.aliases:
            raise self.exceptions.ResourceNotFoundException
        return {"AliasArn": f"{FunctionName}:{Name}"}

    def create_alias(self, *, FunctionName: str, Name: str, FunctionVersion: str, **_: str) -> dict[str, str]:
        self._call("CreateAlias")
        repeated = Name in self.aliases or self.loses_an_answer
        self.aliases.setdefault(Name, FunctionVersion)
        if repeated:
            raise self.exceptions.ResourceConflictException
        return {"AliasArn": f"{FunctionName}:{Name}"}

    def update_function_configuration(self, *, FunctionName: str, Handler: str) -> None:
        self._call(f"UpdateFunctionConfiguration {Handler}")
        self.latest = Handler

    def publish_version(self, *, FunctionName: str, Description: str) -> dict[str, str]:
        """Like Lambda's: nothing is published when nothing has changed."""
        self._call("PublishVersion")
        if self.published[-1] != self.latest:
            self.published.append(self.latest)
        return {"Version": str(len(self.published) - 1)}

    def get_waiter(self, name: str) -> Any:
        assert name == "function_updated"
        return SimpleNamespace(wait=lambda **_: None)


BLUE = {"FunctionName": "function", "Handler": "the function's handler", "ClosedHandler": "closed"}


def test_a_new_function_gets_a_stable_version_that_is_closed(
    monkeypatch: pytest.MonkeyPatch, answers: list[str]
) -> None:
    functions = FakeFunction()
    monkeypatch.setattr(aws, "patient_client", lambda service: {"lambda": functions}[service])

    invoke(blue_alias, "Create", BLUE)

    assert '"SUCCESS"' in answers[0]
    assert functions.published[int(functions.aliases["blue"])] == "closed"
    # And CloudFormation, which publishes the candidate next, finds the function as it made it
    assert functions.latest == "the function's handler"


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_a_stable_version_that_serves_customers_is_never_closed(
    monkeypatch: pytest.MonkeyPatch, answers: list[str], request_type: str
) -> None:
    # Given the alias of an installation from before stable began closed
    functions = FakeFunction(blue="7")
    monkeypatch.setattr(aws, "patient_client", lambda service: functions)

    invoke(blue_alias, request_type, BLUE)
    invoke(blue_alias, "Update", {"FunctionName": "function", "Version": "8"})  # its template, when that rolls back

    assert ['"SUCCESS"' in answer for answer in answers] == [True, True]
    assert (functions.aliases, functions.published) == ({"blue": "7"}, [""])


@pytest.mark.parametrize(
    "call", ["PublishVersion", "UpdateFunctionConfiguration the function's handler", "CreateAlias"]
)
def test_a_creation_that_was_cut_off_can_be_repeated(
    monkeypatch: pytest.MonkeyPatch, answers: list[str], call: str
) -> None:
    functions = FakeFunction(fails=call)
    monkeypatch.setattr(aws, "patient_client", lambda service: functions)

    invoke(blue_alias, "Create", BLUE)
    invoke(blue_alias, "Create", BLUE)

    assert ['"SUCCESS"' in answer for answer in answers] == [False, True]
    assert functions.published[int(functions.aliases["blue"])] == "closed"
    assert functions.latest == "the function's handler"


def test_an_alias_whose_creation_was_not_answered_is_there(monkeypatch: pytest.MonkeyPatch, answers: list[str]) -> None:
    functions = FakeFunction()
    functions.loses_an_answer = True
    monkeypatch.setattr(aws, "patient_client", lambda service: functions)

    invoke(blue_alias, "Create", BLUE)

    assert '"SUCCESS"' in answers[0]
