"""Stable is blue, candidate is green, and no deployment can move production traffic."""

import re

from names import CLOSED_HANDLER, Colour, Function, Reached
from tests.infrastructure.platform_template import PlatformTemplate, logical_id, references, text


def test_cloudformation_owns_the_green_aliases_only(platform: PlatformTemplate) -> None:
    assert [alias["Name"] for alias in platform.properties("AWS::Lambda::Alias")] == [Colour.CANDIDATE] * len(Function)


def test_the_template_names_no_version_of_blue(platform: PlatformTemplate) -> None:
    # Given every resource that mentions blue
    mentions = {
        id: text(resource["Properties"])
        for id, resource in platform.resources().items()
        if re.search(r"\bblue\b", text(resource["Properties"]), re.IGNORECASE)
    }
    assert mentions
    # Then it contains no version at all: blue begins at one that the template does not know
    for id, properties in mentions.items():
        assert not re.search(r'"(FunctionVersion|Version|ExecutedVersion)": "\d+"', properties), id
    for blue in platform.properties("Custom::BlueAlias"):
        assert "Version" not in blue


def test_the_provider_of_alias_blue_may_act_on_function_and_alias(platform: PlatformTemplate) -> None:
    # Lambda decides about an alias by the function's ARN or by the alias's, depending on the action.
    [allowed] = [text(s["Resource"]) for _, s in platform.statements() if "lambda:DeleteAlias" in s["Action"]]
    for function in Function:
        assert allowed.count(f"function:{function.of(platform.environment)}") == 2
    assert allowed.count(f":{Colour.STABLE}") == len(Function)
    # And to publish a closed version it changes the functions.
    [allowed] = [s["Resource"] for _, s in platform.statements() if "lambda:PublishVersion" in s["Action"]]
    assert len(allowed) == len(Function)
    # And their environment variables are encrypted by a key of this account, which Lambda then uses in its name.
    [key] = [s for _, s in platform.statements() if "kms:CreateGrant" in s["Action"]]
    assert text(key["Resource"]) in {text(f["KmsKeyArn"]) for f in platform.properties("AWS::Lambda::Function")}
    assert list(key["Condition"]["StringEquals"]) == ["kms:ViaService"]


def test_a_candidate_is_published_after_the_closed_version_of_its_function(platform: PlatformTemplate) -> None:
    """Lambda publishes what $LATEST is at that moment, and refuses a second version of the same."""
    functions = platform.resources("AWS::Lambda::Function")
    blue = platform.resources("Custom::BlueAlias")
    after = {}
    for version in platform.resources("AWS::Lambda::Version").values():
        function = functions[logical_id(version["Properties"]["FunctionName"])]["Properties"]
        [before] = {*version["DependsOn"]} & {*blue}
        properties = blue[before]["Properties"]
        assert logical_id(version["Properties"]["FunctionName"]) in blue[before]["DependsOn"]
        assert (properties["FunctionName"], properties["Handler"]) == (function["FunctionName"], function["Handler"])
        assert properties["ClosedHandler"] == CLOSED_HANDLER != function["Handler"]
        after[properties["FunctionName"]] = before
    assert set(after) == {function.of(platform.environment) for function in Function}


def test_versions_outlive_the_deployment_that_replaces_them(platform: PlatformTemplate) -> None:
    for version in platform.resources("AWS::Lambda::Version").values():
        assert version["UpdateReplacePolicy"] == "Retain"


def test_the_listener_in_the_template_has_the_steady_state(platform: PlatformTemplate) -> None:
    [action] = platform.only("AWS::ElasticLoadBalancingV2::Listener")["DefaultActions"]
    groups = platform.resources("AWS::ElasticLoadBalancingV2::TargetGroup")
    weights = {
        groups[logical_id(target["TargetGroupArn"])]["Properties"]["Name"]: target["Weight"]
        for target in action["ForwardConfig"]["TargetGroups"]
    }
    assert weights == {
        Colour.STABLE.target_group(platform.environment): 100,
        Colour.CANDIDATE.target_group(platform.environment): 0,
    }


def test_only_requests_marked_as_the_candidates_reach_green_at_weight_zero(platform: PlatformTemplate) -> None:
    rule = platform.only("AWS::ElasticLoadBalancingV2::ListenerRule")
    assert rule["Conditions"] == [
        {
            "Field": "http-header",
            "HttpHeaderConfig": {"HttpHeaderName": "X-Release", "Values": ["candidate"]},
        }
    ]
    groups = platform.resources("AWS::ElasticLoadBalancingV2::TargetGroup")
    [action] = rule["Actions"]
    candidate = Colour.CANDIDATE.target_group(platform.environment)
    assert groups[logical_id(action["TargetGroupArn"])]["Properties"]["Name"] == candidate


def test_target_groups_lead_to_the_alias_of_their_colour(platform: PlatformTemplate) -> None:
    for properties in platform.properties("AWS::ElasticLoadBalancingV2::TargetGroup"):
        [target] = properties["Targets"]
        resource = platform.body["Resources"][logical_id(target["Id"])]
        if properties["Name"] == Colour.STABLE.target_group(platform.environment):
            assert resource["Type"] == "Custom::BlueAlias"
            assert resource["Properties"]["FunctionName"] == Function.PROCESSING.of(platform.environment)
        else:
            assert (resource["Type"], resource["Properties"]["Name"]) == ("AWS::Lambda::Alias", Colour.CANDIDATE)


def test_both_stages_serve_one_deployment_and_differ_in_the_version_that_answers(platform: PlatformTemplate) -> None:
    stages = platform.properties("AWS::ApiGateway::Stage")
    assert len({logical_id(stage["DeploymentId"]) for stage in stages}) == 1
    variables = {stage["StageName"]: stage["Variables"] for stage in stages}
    for each in variables.values():  # both say where the load balancer is
        assert each.pop("alb_host") == {"Ref": "AlbHostName"}
        assert each.pop("vpc_link") == {"Ref": next(iter(platform.resources("AWS::ApiGatewayV2::VpcLink")))}
    assert variables.pop("candidate") == {"alias": Colour.CANDIDATE, "release": "candidate"}
    assert list(variables.values()) == [{"alias": Colour.STABLE, "release": "stable"}]


def test_the_stage_chooses_the_alias_of_a_function_and_the_mark_of_a_private_request(
    platform: PlatformTemplate,
) -> None:
    integrations = [method["Integration"] for method in platform.properties("AWS::ApiGateway::Method")]
    functions = [each for each in integrations if each["Type"] == "AWS_PROXY"]
    routes = [route for each in Function if each.reached is Reached.ALIAS for route in each.routes]
    assert len(functions) == len(routes)
    for each in functions:
        assert ":${stageVariables.alias}/invocations" in text(each["Uri"])
    [private] = [each for each in integrations if each["Type"] == "HTTP_PROXY"]
    # The API overwrites these headers, so that no client can pose as the candidate or as another caller.
    assert private["RequestParameters"] == {
        "integration.request.header.X-Release": "stageVariables.release",
        "integration.request.header.X-Caller": "context.identity.caller",
        "integration.request.header.X-Caller-Arn": "context.identity.userArn",
        "integration.request.header.X-Request-Id": "context.requestId",
    }


def test_each_alias_may_be_invoked_from_its_own_source_only(dev: PlatformTemplate) -> None:
    seen = set()
    for permission in dev.properties("AWS::Lambda::Permission"):
        if permission["Principal"] in ("secretsmanager.amazonaws.com", "events.amazonaws.com"):
            continue
        alias = dev.body["Resources"][logical_id(permission["FunctionName"])]
        colour = Colour.STABLE if alias["Type"] == "Custom::BlueAlias" else Colour.CANDIDATE
        stage = {Colour.STABLE: "/dev/", Colour.CANDIDATE: "/candidate/"}[colour]
        group = f"/{colour.target_group('dev')}/"
        source = text(permission["SourceArn"])
        assert (group if "elasticloadbalancing" in permission["Principal"] else stage) in source
        seen.add((permission["Principal"], colour, logical_id(permission["FunctionName"])))
    assert len(seen) == len(Function) * len(Colour)


def test_a_target_group_exists_only_after_it_may_invoke_its_alias(dev: PlatformTemplate) -> None:
    permissions = {
        id
        for id, each in dev.resources("AWS::Lambda::Permission").items()
        if each["Properties"]["Principal"] == "elasticloadbalancing.amazonaws.com"
    }
    groups = dev.resources("AWS::ElasticLoadBalancingV2::TargetGroup").values()
    assert len(permissions) == len(groups) == 2
    for group in groups:
        assert permissions <= set(group["DependsOn"])


def test_a_candidate_appears_only_after_its_migrations(platform: PlatformTemplate) -> None:
    [schema] = platform.resources("Custom::DatabaseSchema")
    for alias in platform.resources("AWS::Lambda::Alias").values():
        assert schema in alias["DependsOn"]


def test_a_candidate_with_traffic_is_replaced_only_after_its_traffic_was_removed(platform: PlatformTemplate) -> None:
    # Given the resource that returns traffic to blue
    [(id, reset)] = platform.resources("Custom::SteadyState").items()
    green = platform.resources("AWS::Lambda::Alias").values()
    functions = platform.resources("AWS::Lambda::Function")
    # Then each alias green moves after it
    assert len(green) == len(Function)
    assert all(id in alias["DependsOn"] for alias in green)
    # And it runs at each new version of any of them, for all of them
    [_, versions] = reset["Properties"]["Versions"]["Fn::Join"]
    moved = [alias["Properties"] for alias in green]
    assert sorted(map(logical_id, versions)) == sorted(logical_id(alias["FunctionVersion"]) for alias in moved)
    names = [functions[logical_id(alias["FunctionName"])]["Properties"]["FunctionName"] for alias in moved]
    assert sorted(reset["Properties"]["Functions"]) == sorted(names)
    # And it knows the function whose versions the weights of the listener divide
    assert reset["Properties"]["BalancedFunction"] == Function.PROCESSING.of(platform.environment)


def test_a_changed_private_integration_makes_a_new_deployment(dev: PlatformTemplate) -> None:
    """CloudFormation drops the certificate's setting when it writes the integration, so each deployment sets it."""
    setting = dev.only("Custom::IntegrationTls")
    [deployment] = dev.resources("AWS::ApiGateway::Deployment")
    assert setting["Revision"] == deployment
    [setter] = dev.resources("Custom::IntegrationTls")
    assert setter in dev.body["Resources"][deployment]["DependsOn"]


def test_another_way_to_verify_the_certificate_makes_a_new_deployment(
    dev: PlatformTemplate, verifying_dev: PlatformTemplate
) -> None:
    """A stage serves what its deployment copied, so the old way would stay live with the old deployment."""
    [before], [after] = (each.resources("AWS::ApiGateway::Deployment") for each in (dev, verifying_dev))
    assert before != after


FIXED = {
    "AWS::ApiGateway::RestApi": "replaced together with its methods",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "its name is fixed, so CloudFormation can't replace it",
    "AWS::Lambda::Function": "its name is fixed, so CloudFormation can't replace it",
}
"""Resources that a method may name, because their names and ids stay: each with the reason."""


def test_a_method_names_nothing_that_can_change_after_synthesis(platform: PlatformTemplate) -> None:
    """CDK makes a new deployment for what it knows at synthesis. A stage would serve the old value of anything else."""
    pseudo = {"AWS::AccountId", "AWS::Partition", "AWS::Region", "AWS::URLSuffix"}
    for method in platform.properties("AWS::ApiGateway::Method"):
        for name in references(method["Integration"]) - pseudo:
            resource = platform.body["Resources"].get(name)
            assert resource, f"{name} is a parameter: make it a variable of the stages"
            assert resource["Type"] in FIXED, f"{name} may get another id: make it a variable of the stages"


def test_the_private_route_asks_the_stage_where_the_load_balancer_is(dev: PlatformTemplate) -> None:
    [method] = [m for m in dev.properties("AWS::ApiGateway::Method") if m["Integration"].get("ConnectionType")]
    assert method["Integration"]["Uri"] == "https://${stageVariables.alb_host}:443/process"
    assert method["Integration"]["ConnectionId"] == "${stageVariables.vpc_link}"
