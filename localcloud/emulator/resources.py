"""CloudFormation resource types for which MiniStack has no handler. These handlers call MiniStack's own APIs.

A handler gets the properties and returns the physical id and the attributes. An update creates the resource again, as
a replacement does on AWS. For APIs that put a resource under a fixed name, that overwrites it in place.
"""

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from ministack.core.responses import get_account_id, get_region, new_uuid
from ministack.services.cloudformation import provisioners

from localcloud.emulator import private_integration
from localcloud.emulator.own_api import client
from localcloud.emulator.reachability import Interface
from localcloud.emulator.upstream import UpstreamChanged, original

_cfn_bool = provisioners._cfn_bool
Made = tuple[str, dict[str, Any]]
Create = Callable[[str, Any, str], Made]
Delete = Callable[[str, Any], None]

original(provisioners, "_update_resource")
original(provisioners, "_delete_resource")


def _register(resource_type: str, create: Create, delete: Delete) -> None:
    if resource_type in provisioners._RESOURCE_HANDLERS:
        raise UpstreamChanged(f"MiniStack now has a handler for {resource_type}: delete the local one")
    provisioners._RESOURCE_HANDLERS[resource_type] = {
        "create": create,
        "update": lambda _id, _old, new, stack, logical_id: create(logical_id, new, stack),
        "update_with_logical_id": True,
        "delete": lambda physical_id, props: _tolerating_absence(delete, physical_id, props),
    }


def _tolerating_absence(delete: Delete, physical_id: str, props: Any) -> None:
    try:
        delete(physical_id, props)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if "NotFound" not in code and "Nonexistent" not in code:
            raise


def _ec2() -> Any:
    return client("ec2", get_region())


def _unique(prefix: str) -> str:
    return f"{prefix}-{new_uuid().replace('-', '')[:17]}"


def _delete_nothing(_physical_id: str, _props: Any) -> None:
    """Nothing to delete: the resource ends with the one it belongs to."""


def _address(_logical_id: str, props: Any, _stack: str) -> Made:
    made = _ec2().allocate_address(Domain=props.get("Domain", "vpc"))
    return made["PublicIp"], {"AllocationId": made["AllocationId"], "PublicIp": made["PublicIp"]}


def _release_address(ip: str, _props: Any) -> None:
    for address in _ec2().describe_addresses(PublicIps=[ip])["Addresses"]:
        _ec2().release_address(AllocationId=address["AllocationId"])


def _nat_gateway(_logical_id: str, props: Any, _stack: str) -> Made:
    made = _ec2().create_nat_gateway(SubnetId=props["SubnetId"], AllocationId=props["AllocationId"])
    identifier = made["NatGateway"]["NatGatewayId"]
    return identifier, {"NatGatewayId": identifier}


def _flow_log(_logical_id: str, props: Any, _stack: str) -> Made:
    optional = {
        name: props[name]
        for name in ("LogDestinationType", "LogDestination", "LogGroupName", "DeliverLogsPermissionArn")
        if props.get(name)
    }
    made = _ec2().create_flow_logs(
        ResourceIds=[props["ResourceId"]],
        ResourceType=props["ResourceType"],
        TrafficType=props.get("TrafficType", "ALL"),
        **optional,
    )
    return made["FlowLogIds"][0], {"Id": made["FlowLogIds"][0]}


def _permissions(props: Any) -> list[dict[str, Any]]:
    permission: dict[str, Any] = {"IpProtocol": str(props["IpProtocol"])}
    if props.get("FromPort") is not None:
        permission |= {"FromPort": int(props["FromPort"]), "ToPort": int(props["ToPort"])}
    description = {"Description": props["Description"]} if props.get("Description") else {}
    if props.get("CidrIp"):
        permission["IpRanges"] = [{"CidrIp": props["CidrIp"], **description}]
    if props.get("CidrIpv6"):
        permission["Ipv6Ranges"] = [{"CidrIpv6": props["CidrIpv6"], **description}]
    if group := props.get("SourceSecurityGroupId") or props.get("DestinationSecurityGroupId"):
        permission["UserIdGroupPairs"] = [{"GroupId": group, **description}]
    return [permission]


EVERYTHING_OUT: list[dict[str, Any]] = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
"""The egress rules of a group whose template declares none. CloudFormation removes them with the first egress rule that
is a resource of its own (aws-cdk issue 987)."""


def _security_group_rule(direction: str) -> tuple[Create, Delete]:
    def create(_logical_id: str, props: Any, _stack: str) -> Made:
        if direction == "egress":
            _ec2().revoke_security_group_egress(GroupId=props["GroupId"], IpPermissions=EVERYTHING_OUT)
        authorize = getattr(_ec2(), f"authorize_security_group_{direction}")
        authorize(GroupId=props["GroupId"], IpPermissions=_permissions(props))
        identifier = _unique("sgr")
        return identifier, {"Id": identifier}

    def delete(_identifier: str, props: Any) -> None:
        revoke = getattr(_ec2(), f"revoke_security_group_{direction}")
        revoke(GroupId=props["GroupId"], IpPermissions=_permissions(props))

    return create, delete


def _composite_alarm(logical_id: str, props: Any, stack: str) -> Made:
    name = props.get("AlarmName") or provisioners._physical_name(stack, logical_id, max_len=255)
    optional = {
        key: props[key]
        for key in ("AlarmDescription", "ActionsEnabled", "AlarmActions", "OKActions", "InsufficientDataActions")
        if props.get(key) is not None
    }
    client("cloudwatch", get_region()).put_composite_alarm(AlarmName=name, AlarmRule=props["AlarmRule"], **optional)
    return name, {"Arn": f"arn:aws:cloudwatch:{get_region()}:{get_account_id()}:alarm:{name}"}


def _delete_alarm(name: str, _props: Any) -> None:
    client("cloudwatch", get_region()).delete_alarms(AlarmNames=[name])


def _vpc_link(_logical_id: str, props: Any, _stack: str) -> Made:
    """An id and its network interfaces. A request stays inside the emulator, which asks whether they let it pass."""
    if not props.get("SubnetIds"):
        raise ValueError("a VPC link needs SubnetIds")
    identifier = new_uuid().replace("-", "")[:10]
    private_integration.links[identifier] = Interface(
        f"VPC link {identifier}", tuple(props["SubnetIds"]), tuple(props.get("SecurityGroupIds") or ())
    )
    return identifier, {"VpcLinkId": identifier}


def _delete_vpc_link(identifier: str, _props: Any) -> None:
    private_integration.links.pop(identifier, None)


def _rotation_schedule(_logical_id: str, props: Any, _stack: str) -> Made:
    """Store the schedule. The emulator never rotates the secret by itself."""
    rules = {key: value for key, value in (props.get("RotationRules") or {}).items()}
    if "AutomaticallyAfterDays" in rules:
        rules["AutomaticallyAfterDays"] = int(rules["AutomaticallyAfterDays"])
    function = {"RotationLambdaARN": props["RotationLambdaARN"]} if props.get("RotationLambdaARN") else {}
    client("secretsmanager", get_region()).rotate_secret(
        SecretId=props["SecretId"], RotationRules=rules, RotateImmediately=False, **function
    )
    return props["SecretId"], {"Id": props["SecretId"]}


def _secret_policy(_logical_id: str, props: Any, _stack: str) -> Made:
    policy = props["ResourcePolicy"]
    text = policy if isinstance(policy, str) else json.dumps(policy)
    client("secretsmanager", get_region()).put_resource_policy(SecretId=props["SecretId"], ResourcePolicy=text)
    return props["SecretId"], {"Id": props["SecretId"]}


def _delete_secret_policy(secret: str, _props: Any) -> None:
    client("secretsmanager", get_region()).delete_resource_policy(SecretId=secret)


def _web_acl_association(_logical_id: str, props: Any, _stack: str) -> Made:
    """Store the association. No rule of the web ACL is applied to requests."""
    client("wafv2", get_region()).associate_web_acl(WebACLArn=props["WebACLArn"], ResourceArn=props["ResourceArn"])
    return f"{props['WebACLArn']}|{props['ResourceArn']}", {}


def _delete_web_acl_association(_identifier: str, props: Any) -> None:
    client("wafv2", get_region()).disassociate_web_acl(ResourceArn=props["ResourceArn"])


def _web_acl_logging(_logical_id: str, props: Any, _stack: str) -> Made:
    """Accept the configuration. No rule runs, so there is nothing to log."""
    if not props.get("LogDestinationConfigs"):
        raise ValueError("WAF logging needs LogDestinationConfigs")
    return props["ResourceArn"], {}


def _trail(_logical_id: str, props: Any, _stack: str) -> Made:
    """Store the trail. The emulator records no calls, so nothing is delivered."""
    trails, name = client("cloudtrail", get_region()), props["TrailName"]
    trails.create_trail(
        Name=name,
        S3BucketName=props["S3BucketName"],
        KmsKeyId=props["KMSKeyId"],
        CloudWatchLogsLogGroupArn=props["CloudWatchLogsLogGroupArn"],
        CloudWatchLogsRoleArn=props["CloudWatchLogsRoleArn"],
        IsMultiRegionTrail=_cfn_bool(props["IsMultiRegionTrail"]),
        IncludeGlobalServiceEvents=_cfn_bool(props["IncludeGlobalServiceEvents"]),
        EnableLogFileValidation=_cfn_bool(props["EnableLogFileValidation"]),
        TagsList=[dict(tag) for tag in props.get("Tags") or []],
    )
    selectors = [
        {
            "ReadWriteType": each["ReadWriteType"],
            "IncludeManagementEvents": _cfn_bool(each["IncludeManagementEvents"]),
            "DataResources": [{"Type": of["Type"], "Values": list(of["Values"])} for of in each["DataResources"]],
        }
        for each in props["EventSelectors"]
    ]
    trails.put_event_selectors(TrailName=name, EventSelectors=selectors)
    if _cfn_bool(props["IsLogging"]):
        trails.start_logging(Name=name)
    return name, {"Arn": trails.get_trail(Name=name)["Trail"]["TrailARN"]}


_register("AWS::CloudTrail::Trail", _trail, lambda name, _: client("cloudtrail", get_region()).delete_trail(Name=name))
_register("AWS::EC2::EIP", _address, _release_address)
_register("AWS::EC2::NatGateway", _nat_gateway, lambda i, _: _ec2().delete_nat_gateway(NatGatewayId=i))
_register("AWS::EC2::FlowLog", _flow_log, lambda i, _: _ec2().delete_flow_logs(FlowLogIds=[i]))
_register("AWS::EC2::SecurityGroupIngress", *_security_group_rule("ingress"))
_register("AWS::EC2::SecurityGroupEgress", *_security_group_rule("egress"))
_register("AWS::CloudWatch::CompositeAlarm", _composite_alarm, _delete_alarm)
_register("AWS::ApiGatewayV2::VpcLink", _vpc_link, _delete_vpc_link)
_register("AWS::SecretsManager::RotationSchedule", _rotation_schedule, _delete_nothing)
_register("AWS::SecretsManager::ResourcePolicy", _secret_policy, _delete_secret_policy)
_register("AWS::WAFv2::WebACLAssociation", _web_acl_association, _delete_web_acl_association)
_register("AWS::WAFv2::LoggingConfiguration", _web_acl_logging, _delete_nothing)
