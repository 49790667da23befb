"""The two weighted records of a cut-over, and the health checks of the sides: made once, by a person, from one record.

Neither CloudFormation nor a deployment knows them, so none can move clients. They stay when the migration is over:
clients go on to resolve the name. Sources, in Route 53's Developer Guide: "Values specific for weighted records" (no
simple record may have the same name), "How Route 53 chooses records when health checking is configured".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from environments import CutOverSettings
from migration.weighted_records import TYPE, health_check_reference
from names import Colour
from pipeline.release.aws import CLIENT_CONFIG, calling

if TYPE_CHECKING:
    import boto3


class Unprepared(Exception):
    """The name has records that the cut-over can't begin from. The message says what to do."""


def prepare(aws: boto3.Session, settings: CutOverSettings, *, dry_run: bool = False) -> list[str]:
    """Make what is missing, and return a line for each thing. Records that divide already are not touched.

    Raises ``Unprepared``, and ``Unavailable`` when Route 53 does not answer.
    """
    route53 = aws.client("route53", config=CLIENT_CONFIG)
    found = list(_record_sets(route53, settings))
    divided = {record.get("SetIdentifier") for record in found}
    if {*Colour} <= divided:
        return [f"{settings.name} is divided already: nothing is changed"]
    simple = _simple(found, settings)
    lines = [f"health check of {host}, port 443" for host in (settings.old_host, settings.new_host)]
    lines += [f"{settings.name} {TYPE} {simple} is replaced by:"] if simple else []
    lines += [f"{settings.name} {TYPE} {colour}: {host}, weight {weight}" for colour, host, weight in _two(settings)]
    if dry_run:
        return ["dry run: nothing is made", *lines]
    changes = [{"Action": "DELETE", "ResourceRecordSet": record} for record in found]
    for colour, host, weight in _two(settings):
        record = {
            "Name": f"{settings.name}.",
            "Type": TYPE,
            "SetIdentifier": str(colour),
            "Weight": weight,
            "TTL": settings.ttl_seconds,
            "ResourceRecords": [{"Value": host}],
        }
        # The first step gives the records their health checks: see WeightedRecords._health_checks.
        _health_check(route53, settings.name, host)
        changes.append({"Action": "CREATE", "ResourceRecordSet": record})
    with calling(f"dividing {settings.name}"):
        route53.change_resource_record_sets(
            HostedZoneId=settings.hosted_zone_id, ChangeBatch={"Comment": "Before the cut-over", "Changes": changes}
        )
    return lines


def _two(settings: CutOverSettings) -> Iterator[tuple[Colour, str, int]]:
    yield Colour.STABLE, settings.old_host, 100
    yield Colour.CANDIDATE, settings.new_host, 0


def _record_sets(route53: Any, settings: CutOverSettings) -> Iterator[Any]:
    name = f"{settings.name}."
    with calling(f"reading the records of {name}"):
        answer = route53.list_resource_record_sets(
            HostedZoneId=settings.hosted_zone_id, StartRecordName=name, MaxItems="100"
        )
    yield from (record for record in answer["ResourceRecordSets"] if record["Name"] == name)


def _simple(found: list[Any], settings: CutOverSettings) -> str | None:
    """The address in the one record that the name has, if it has any."""
    if not found:
        return None
    if len(found) > 1 or found[0]["Type"] != TYPE or "SetIdentifier" in found[0]:
        kinds = ", ".join(f"{record['Type']} {record.get('SetIdentifier', '')}".strip() for record in found)
        raise Unprepared(
            f"{settings.name} has the records {kinds}. Give the old system a name of its own, {settings.old_host}, and "
            f"leave one simple record: {settings.name} {TYPE} {settings.old_host}"
        )
    values = [str(value["Value"]).rstrip(".") for value in found[0].get("ResourceRecords", [])]
    if values != [settings.old_host]:
        raise Unprepared(
            f"{settings.name} leads to {', '.join(values)}, and not to {settings.old_host}: clients would move now. "
            "Correct old_host in environments.py, or the record"
        )
    return values[0]


def _health_check(route53: Any, name: str, host: str) -> None:
    """Make the health check of ``host``, if there is none: does anything take connections there? Whether its answers
    are good is the controller's question, because DNS would send the retry of a payment to the other side."""
    reference = health_check_reference(name, host)
    config = {
        "Type": "TCP",
        "FullyQualifiedDomainName": host,
        "Port": 443,
        "RequestInterval": 30,
        "FailureThreshold": 3,
    }
    with calling(f"making the health check of {host}"):
        try:
            route53.create_health_check(CallerReference=reference, HealthCheckConfig=config)
        except ClientError as error:
            if error.response["Error"]["Code"] != "HealthCheckAlreadyExists":
                raise
