"""Removes every rule of a VPC's default security group, which CloudFormation can neither name nor change.

Property: ``SecurityGroupId``. On delete nothing happens: the group goes with its VPC.
"""

from collections.abc import Callable
from typing import Any

from lambdas.adapters import aws
from lambdas.deployment.custom_resource import Event, Outcome, custom_resource


@custom_resource
def handler(event: Event) -> Outcome:
    group_id = event["ResourceProperties"]["SecurityGroupId"]
    if event["RequestType"] != "Delete":
        _close(group_id)
    return group_id, {}


def _close(group_id: str) -> None:
    client = aws.patient_client("ec2")
    [group] = client.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    for revoke, rules in (
        (client.revoke_security_group_ingress, group["IpPermissions"]),
        (client.revoke_security_group_egress, group["IpPermissionsEgress"]),
    ):
        if rules:
            _gone(revoke, GroupId=group_id, IpPermissions=rules)


def _gone(revoke: Callable[..., Any], **rules: Any) -> None:
    from botocore.exceptions import ClientError

    try:
        revoke(**rules)
    except ClientError as error:
        # The same request, sent again because its first answer was lost, finds nothing left.
        if error.response["Error"]["Code"] != "InvalidPermission.NotFound":
            raise
