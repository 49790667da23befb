"""What a rehearsal needs of the local cloud: a DNS zone, a merchant's user, and an alarm that is patient."""

import json
import time
from collections.abc import Callable
from typing import Any

from botocore.credentials import Credentials

from benchmarks._platform import Platform
from environments import DEV
from pipeline.transactions.client import SignedApi

OLD, NEW, NAME = "old.rehearsal.test", "new.rehearsal.test", "payments.rehearsal.test"
SHOP = "rehearsal-shop"


def zone(client: Callable[[str], Any]) -> dict[str, str]:
    """Make the zone in which the name leads to the old system; returns the context with which dev is deployed."""
    route53 = client("route53")
    made = route53.create_hosted_zone(Name="rehearsal.test", CallerReference=str(time.time()))["HostedZone"]["Id"]
    record = {"Name": NAME, "Type": "CNAME", "TTL": 10, "ResourceRecords": [{"Value": OLD}]}
    route53.change_resource_record_sets(
        HostedZoneId=made, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
    )
    return {"migration": "on", "cutOver": ",".join((made.rpartition("/")[2], NAME, OLD, NEW))}


def allow_slow_answers(platform: Platform) -> None:
    """The alarm of the API's latency is for a platform that has its machine for itself."""
    cloudwatch = platform.client("cloudwatch")
    [alarm] = cloudwatch.describe_alarms(AlarmNames=[f"payment-api-latency-{DEV.name}"])["MetricAlarms"]
    keep = (
        "AlarmName", "MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period",
        "EvaluationPeriods", "DatapointsToAlarm", "ComparisonOperator", "TreatMissingData", "AlarmDescription",
        "AlarmActions",
    )  # fmt: skip
    kept = {key: alarm[key] for key in keep if alarm.get(key) is not None}
    cloudwatch.put_metric_alarm(**kept, Threshold=5000.0)


def shop(platform: Platform) -> SignedApi:
    """The platform's API for a merchant's own user, by which the platform knows it."""
    iam = platform.client("iam")
    iam.create_user(UserName=SHOP)
    allowed = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=SHOP, PolicyName="pay", PolicyDocument=document)
    key = iam.create_access_key(UserName=SHOP)["AccessKey"]
    credentials = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    return SignedApi(platform.outputs["ApiGatewayUrl"], credentials, platform.environ, connections=8)
