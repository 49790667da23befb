"""Removes every rule of a VPC's default security group, which CloudFormation can neither name nor change.

Property: ``SecurityGroupId``. On delete nothing happens: the group goes with its VPC.
"""

from lambdas.adapters import aws
from lambdas.custom_resource import Event, Outcome, custom_resource


@custom_resource
def handler(event: Event) -> Outcome:
    group_id = event["ResourceProperties"]["SecurityGroupId"]
    if event["RequestType"] != "Delete":
        _close(group_id)
    return group_id, {}


def _close(group_id: str) -> None:
    client = aws.client("ec2")
    [group] = client.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    if inbound := group["IpPermissions"]:
        client.revoke_security_group_ingress(GroupId=group_id, IpPermissions=inbound)
    if outbound := group["IpPermissionsEgress"]:
        client.revoke_security_group_egress(GroupId=group_id, IpPermissions=outbound)
