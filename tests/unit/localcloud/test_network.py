"""Security groups and routes of the local cloud's VPC: which connections they let through."""

from typing import Any

import pytest

from localcloud.emulator.network import AWS_SERVICE, EVERYWHERE, Peer, Routes, refusal

VPC = "vpc-1"


def rule(port: int | None, *, group: str | None = None, cidr: str | None = None, protocol: str = "tcp") -> Any:
    """A rule in EC2's form. Without a port it is for all of them."""
    return {
        "IpProtocol": protocol if port else "-1",
        **({"FromPort": port, "ToPort": port} if port else {}),
        "IpRanges": [{"CidrIp": cidr}] if cidr else [],
        "UserIdGroupPairs": [{"GroupId": group}] if group else [],
    }


def group(id: str, *, ingress: Any = (), egress: Any = ()) -> dict[str, Any]:
    return {"GroupId": id, "Description": id, "IpPermissions": list(ingress), "IpPermissionsEgress": list(egress)}


TO_DATABASE, FROM_FUNCTIONS = rule(5432, group="database"), rule(5432, group="functions")


def connection(egress: list[Any], ingress: list[Any]) -> str | None:
    """Why a function can't reach the database."""
    functions = Peer([group("functions", egress=egress)], ["10.0.0.0/24", "10.0.1.0/24"])
    database = Peer([group("database", ingress=ingress)], ["10.0.8.0/24"])
    return refusal(functions, database, 5432)


def test_a_connection_needs_a_rule_at_both_ends() -> None:
    assert connection([TO_DATABASE], [FROM_FUNCTIONS]) is None
    assert connection([], [FROM_FUNCTIONS]) == (
        "no egress rule of functions (functions) admits port 5432 of database (database)"
    )
    assert connection([TO_DATABASE], []) == (
        "no ingress rule of database (database) admits functions (functions) to port 5432"
    )


@pytest.mark.parametrize(
    ("useless", "why"),
    [
        (rule(5433, group="functions"), "another port"),
        (rule(5432, group="database"), "another group"),
        (rule(5432, group="functions", protocol="udp"), "another protocol"),
        (rule(5432, cidr="10.0.0.0/24"), "one of the client's two subnets"),
        (rule(5432, cidr="192.168.0.0/16"), "another network"),
    ],
)
def test_a_rule_for_something_else_admits_nothing(useless: Any, why: str) -> None:
    assert connection([TO_DATABASE], [useless]), why


@pytest.mark.parametrize(
    "enough",
    [
        rule(None, group="functions"),
        rule(5432, cidr="10.0.0.0/16"),
        rule(5432, cidr=EVERYWHERE),
        rule(5432, group="functions", protocol="6"),
        {**FROM_FUNCTIONS, "FromPort": 1024, "ToPort": 65535},
    ],
)
def test_a_wider_rule_admits_the_connection_too(enough: Any) -> None:
    assert connection([TO_DATABASE], [enough]) is None


def test_one_of_several_groups_is_enough() -> None:
    client = Peer([group("other"), group("functions", egress=[TO_DATABASE])], ["10.0.0.0/24"])
    database = Peer([group("closed"), group("database", ingress=[FROM_FUNCTIONS])], ["10.0.8.0/24"])

    assert refusal(client, database, 5432) is None


def test_a_service_of_aws_needs_a_rule_to_any_address() -> None:
    def to_aws(*egress: Any) -> str | None:
        return refusal(Peer([group("functions", egress=egress)], ["10.0.0.0/24"]), AWS_SERVICE, 443)

    assert to_aws(rule(443, cidr=EVERYWHERE)) is None
    assert to_aws(rule(443, cidr="10.0.0.0/8")) == (
        "no egress rule of functions (functions) admits port 443 of AWS services"
    )
    # The rule that CDK puts into a group without egress. It admits nothing.
    assert to_aws({**rule(252, cidr="255.255.255.255/32", protocol="icmp"), "ToPort": 86})


def routes(*, private: list[Any], public: list[Any], gateway_endpoint: bool = False) -> Routes:
    """A private subnet, a public one with a NAT gateway, and S3's gateway endpoint for the private one."""
    tables = [
        {"RouteTableId": "rtb-main", "VpcId": VPC, "Routes": [], "Associations": [{"Main": True}]},
        {"RouteTableId": "rtb-private", "VpcId": VPC, "Routes": private, "Associations": [{"SubnetId": "private"}]},
        {"RouteTableId": "rtb-public", "VpcId": VPC, "Routes": public, "Associations": [{"SubnetId": "public"}]},
    ]
    endpoint = {"ServiceName": "com.amazonaws.us-east-1.s3", "RouteTableIds": ["rtb-private"]}
    return Routes(
        tables,
        endpoints=[endpoint] if gateway_endpoint else [],
        nat_gateways=[{"NatGatewayId": "nat-1", "SubnetId": "public"}],
    )


TO_NAT = {"DestinationCidrBlock": EVERYWHERE, "NatGatewayId": "nat-1"}
TO_INTERNET = {"DestinationCidrBlock": EVERYWHERE, "GatewayId": "igw-1"}
PRIVATE = {"SubnetId": "private", "VpcId": VPC}


def test_a_private_subnet_reaches_aws_by_a_nat_gateway_in_a_public_one() -> None:
    assert routes(private=[TO_NAT], public=[TO_INTERNET]).missing(PRIVATE, "ssm") is None
    assert routes(private=[TO_NAT], public=[]).missing(PRIVATE, "ssm") == (
        "the NAT gateway nat-1 has no route to an internet gateway"
    )
    assert routes(private=[], public=[TO_INTERNET]).missing(PRIVATE, "ssm") == (
        "subnet private has neither an endpoint for ssm nor a route to a NAT gateway"
    )


def test_a_gateway_endpoint_is_a_way_to_its_own_service_only() -> None:
    network = routes(private=[], public=[TO_INTERNET], gateway_endpoint=True)

    assert network.missing(PRIVATE, "s3") is None
    assert network.missing(PRIVATE, "dynamodb")
    assert network.missing({"SubnetId": "unassociated", "VpcId": VPC}, "s3"), "it has the main route table"


def test_a_function_has_no_public_address_in_a_public_subnet() -> None:
    assert routes(private=[TO_NAT], public=[TO_INTERNET]).missing({"SubnetId": "public", "VpcId": VPC}, "ssm")
