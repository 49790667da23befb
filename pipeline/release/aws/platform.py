"""What a controller knows of its platform: the outputs of the stack, or in an emergency what names alone tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import names
from names import Colour, Function, Table
from pipeline.aws import PlatformOutputs
from pipeline.release.aws import CLIENT_CONFIG, calling

if TYPE_CHECKING:
    import boto3


def found_by_names(aws: boto3.Session, environment: str, stack_name: str) -> PlatformOutputs:
    """The outputs that move traffic, without CloudFormation. There is no alarm and no topic among them."""
    with calling("finding the load balancer"):
        balancers = aws.client("elbv2", config=CLIENT_CONFIG).describe_load_balancers(
            Names=[names.platform(environment)]
        )
        [balancer] = balancers["LoadBalancers"]
        [listener] = aws.client("elbv2", config=CLIENT_CONFIG).describe_listeners(
            LoadBalancerArn=balancer["LoadBalancerArn"]
        )["Listeners"]
    groups = [group["TargetGroupArn"] for group in listener["DefaultActions"][-1]["ForwardConfig"]["TargetGroups"]]
    of = {colour: next(arn for arn in groups if f"/{colour.target_group(environment)}/" in arn) for colour in Colour}
    return PlatformOutputs(
        stack_name=stack_name,
        values={
            **{function.name_output: function.of(environment) for function in Function},
            "ListenerArn": listener["ListenerArn"],
            "BlueTargetGroupArn": of[Colour.STABLE],
            "GreenTargetGroupArn": of[Colour.CANDIDATE],
            "ReleaseTableName": Table.RELEASES.of(environment),
            "RollbackAlarmNames": "",
            "AlertTopicArn": "",
        },
    )
