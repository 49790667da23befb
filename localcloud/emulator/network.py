"""Which TCP connections a VPC lets through: pure functions over the records that EC2's APIs keep.

A connection needs an egress rule of the client's security groups and an ingress rule of the server's (VPC User Guide,
"Control traffic to your AWS resources using security groups"). A connection to a service of AWS also needs a way out:
a gateway endpoint, or a NAT gateway, because a function's network interface has no public address (Lambda Developer
Guide, "Enable internet access for VPC-connected Lambda functions"). Network ACLs, endpoint policies and rules that name
prefix lists are not looked at.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

Record = Mapping[str, Any]

EVERYWHERE = "0.0.0.0/0"


@dataclass(frozen=True)
class Peer:
    """One end of a connection. ``groups``: its security groups. A service of AWS has none.

    ``networks``: the address ranges of its subnets. Its address may be any of them.
    """

    groups: Sequence[Record] = ()
    networks: Sequence[str] = (EVERYWHERE,)


AWS_SERVICE = Peer()


def refusal(client: Peer, server: Peer, port: int) -> str | None:
    """The rule that a TCP connection lacks; ``None`` when the security groups admit it."""
    if not _any_rule_admits(client.groups, "IpPermissionsEgress", server, port):
        return f"no egress rule of {_named(client)} admits port {port} of {_named(server)}"
    if server.groups and not _any_rule_admits(server.groups, "IpPermissions", client, port):
        return f"no ingress rule of {_named(server)} admits {_named(client)} to port {port}"
    return None


def _any_rule_admits(groups: Iterable[Record], rules: str, other: Peer, port: int) -> bool:
    return any(_admits(rule, other, port) for group in groups for rule in group[rules])


def _admits(rule: Record, other: Peer, port: int) -> bool:
    if rule["IpProtocol"] not in ("-1", "tcp", "6"):
        return False
    if rule["IpProtocol"] != "-1" and not rule["FromPort"] <= port <= rule["ToPort"]:
        return False
    if {pair.get("GroupId") for pair in rule["UserIdGroupPairs"]} & {group["GroupId"] for group in other.groups}:
        return True
    ranges = [IPv4Network(each["CidrIp"], strict=False) for each in rule["IpRanges"]]
    covered = [any(IPv4Network(network).subnet_of(each) for each in ranges) for network in other.networks]
    return bool(covered) and all(covered)


def _named(peer: Peer) -> str:
    names = (f"{group['GroupId']} ({group['Description']})" for group in peer.groups)
    return " and ".join(names) or "AWS services"


@dataclass(frozen=True)
class Routes:
    """What decides over the way from a subnet to a service of AWS: EC2's records of one region."""

    tables: Sequence[Record]
    endpoints: Sequence[Record]
    nat_gateways: Sequence[Record]

    def missing(self, subnet: Record, service: str) -> str | None:
        """The route that the subnet lacks to ``service``, such as ``s3``; ``None`` when there is a way."""
        table = self._table(subnet)
        if self._has_gateway_endpoint(table, service):
            return None
        nat_id = _default_route(table).get("NatGatewayId")
        nat = next((each for each in self.nat_gateways if each["NatGatewayId"] == nat_id), None)
        if nat is None:
            return f"subnet {subnet['SubnetId']} has neither an endpoint for {service} nor a route to a NAT gateway"
        public = self._table({"SubnetId": nat["SubnetId"], "VpcId": subnet["VpcId"]})
        if not str(_default_route(public).get("GatewayId", "")).startswith("igw-"):
            return f"the NAT gateway {nat_id} has no route to an internet gateway"
        return None

    def _table(self, subnet: Record) -> Record:
        """The subnet's own route table, or the main one of its VPC."""
        of_vpc = [table for table in self.tables if table["VpcId"] == subnet["VpcId"]]
        for table in of_vpc:
            if any(each.get("SubnetId") == subnet["SubnetId"] for each in table["Associations"]):
                return table
        return next(table for table in of_vpc if any(each.get("Main") for each in table["Associations"]))

    def _has_gateway_endpoint(self, table: Record, service: str) -> bool:
        return any(
            endpoint["ServiceName"].endswith(f".{service}") and table["RouteTableId"] in endpoint["RouteTableIds"]
            for endpoint in self.endpoints
        )


def _default_route(table: Record) -> Record:
    return next((route for route in table["Routes"] if route.get("DestinationCidrBlock") == EVERYWHERE), {})
