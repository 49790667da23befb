"""Requirements 1.3.1 and 1.3.2: which addresses may connect, and to which ports.

Addresses are counted, because one network can be written in many ways: two halves are as open as the whole.
"""

import json
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Any

from pipeline.compliance.pci_dss_4.declaration import VPC, rule
from pipeline.compliance.resolution import flag, number
from pipeline.compliance.template_pack import Resource

GROUP = "AWS::EC2::SecurityGroup"
INGRESS, EGRESS = "SecurityGroupIngress", "SecurityGroupEgress"
ACL_ENTRY = "AWS::EC2::NetworkAclEntry"
PREFIX_LIST = "AWS::EC2::PrefixList"
PRIVATE = [ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]
MOST_PUBLIC = {4: 2**24, 6: 2**96}
"""Public addresses that a group may admit: as many as a /8, or a /32 of IPv6, which is one provider's."""
MOST_PORTS = 100
"""Ports that may be open towards more addresses than that."""
EPHEMERAL = 1024
"""Network ACLs keep no state: answers to calls come in on the ports from here on."""
PORTS = 65536
CONTROL = ("icmp", "icmpv6", "1", "58")
WITH_PORTS = ("tcp", "udp", "6", "17")

Permission = dict[str, Any]
Network = IPv4Network | IPv6Network


class NotKnown(ValueError):
    """An address, prefix list or port that only the deployment knows."""


@rule(
    "1.3.1",
    "NoOpenIngress",
    GROUP,
    "AWS::EC2::SecurityGroupIngress",
    ACL_ENTRY,
    fault="Most addresses may enter",
)
def no_open_ingress(resource: Resource) -> bool:
    if resource.kind == ACL_ENTRY:
        return _limited_entry(resource, egress=False)
    return not _open(_networks(resource, _permissions(resource, INGRESS)))


@rule(
    "1.3.2",
    "NoOpenEgress",
    GROUP,
    "AWS::EC2::SecurityGroupEgress",
    ACL_ENTRY,
    fault="Traffic out is not limited by port",
)
def no_open_egress(resource: Resource) -> bool:
    if resource.kind == ACL_ENTRY:
        return _limited_entry(resource, egress=True)
    permissions = list(_permissions(resource, EGRESS))
    if resource.kind == GROUP and not permissions:
        return False  # AWS gives a group without egress rules one that allows everything
    public = [each for each in permissions if any(map(_public, _networks(resource, [each])))]
    return not _open(_networks(resource, public)) or len(_ports(public)) <= MOST_PORTS


@rule("1.3.1", "DefaultGroupClosed", VPC, fault="The VPC's default security group admits traffic")
def default_group_closed(vpc: Resource) -> bool:
    return bool(vpc.referrers("Custom::VpcRestrictDefaultSG"))


def _permissions(resource: Resource, inline: str) -> Iterator[Permission]:
    """All rules, in one direction, of the group that ``resource`` is or belongs to: its own and separate ones."""
    separate = f"AWS::EC2::{inline}"
    if resource.kind == GROUP:
        yield from resource.items(inline)
        yield from (each.body["Properties"] for each in resource.referrers(separate, by="GroupId"))
        return
    group = resource.template.referred(resource.get("GroupId"))
    if group and group[0].kind == GROUP:
        yield from (each for each in group[0].items(inline))
    same = json.dumps(resource.get("GroupId"), sort_keys=True)
    for each in resource.template.of(separate):
        if json.dumps(each.get("GroupId"), sort_keys=True) == same:
            yield each.body["Properties"]


def _networks(resource: Resource, permissions: Iterable[Permission]) -> list[Network]:
    """The addresses that the permissions name. Raises ``NotKnown``."""
    found: list[Network] = []
    for each in permissions:
        if not isinstance(each, dict) or "Fn::Unknown" in each:
            raise NotKnown(each)
        for name in ("CidrIp", "CidrIpv6", "CidrBlock", "Ipv6CidrBlock"):
            if name in each:
                found.append(_network(resource, each[name]))
        for name in ("SourcePrefixListId", "DestinationPrefixListId"):
            if name in each:
                found.extend(_listed(resource, each[name]))
    return found


def _network(resource: Resource, value: Any) -> Network:
    match value:
        case str():
            return ip_network(value.strip(), strict=False)
        case {"Fn::GetAtt": [str(id), "CidrBlock"]} if (own := resource.template.find(id)) and own.kind == VPC:
            return _network(own, own.get("CidrBlock"))
    raise NotKnown(value)


def _listed(resource: Resource, value: Any) -> list[Network]:
    lists = [each for each in resource.template.referred(value) if each.kind == PREFIX_LIST]
    if not lists or not lists[0].items("Entries"):
        raise NotKnown(value)
    return [_network(lists[0], entry["Cidr"]) for entry in lists[0].items("Entries")]


def _public(network: Network) -> bool:
    return not any(network.version == each.version and network.subnet_of(each) for each in PRIVATE)  # type: ignore[arg-type]


def _open(networks: Iterable[Network]) -> bool:
    """Whether the networks together have more public addresses than a rule may admit."""
    public = [each for each in networks if _public(each)]
    for version in (4, 6):
        union: Iterable[Network] = collapse_addresses(each for each in public if each.version == version)  # type: ignore[type-var]
        if sum(each.num_addresses for each in union) > MOST_PUBLIC[version]:
            return True
    return False


def _ports(permissions: Iterable[Permission]) -> set[tuple[str, int]]:
    """The open ports, by protocol. Raises ``NotKnown``."""
    found: set[tuple[str, int]] = set()
    for each in permissions:
        protocol = str(each.get("IpProtocol", "-1")).lower()
        if protocol in CONTROL:
            continue
        if protocol not in WITH_PORTS:
            return {(protocol, port) for port in range(PORTS)}
        first = number(each.get("FromPort"))
        last = number(each.get("ToPort", first))
        if first is None or last is None:
            raise NotKnown(each)
        wide = first < 0 or last < first
        found.update((protocol, port) for port in (range(PORTS) if wide else range(first, last + 1)))
    return found


def _limited_entry(entry: Resource, *, egress: bool) -> bool:
    """Whether a network ACL's entry for this direction opens few of the ports below the ephemeral ones."""
    properties = entry.body["Properties"]
    direction = flag(entry.get("Egress")) if "Egress" in properties else False
    if direction is not egress and direction is not None:
        return True
    if properties.get("RuleAction") == "deny" or not _open(_networks(entry, [properties])):
        return True
    permission = {
        "IpProtocol": properties.get("Protocol"),
        "FromPort": entry.get("PortRange.From"),
        "ToPort": entry.get("PortRange.To"),
    }
    return len([port for _, port in _ports([permission]) if port < EPHEMERAL]) <= MOST_PORTS
