"""What a function left pending is finished by the sweeper, which a schedule of the local cloud calls."""

import json
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from lambdas.payments.amendments import Amendment
from lambdas.payments.transactions import day_shard, timestamp

from .conftest import Platform, short_minutes
from .dying_function import EXIT_CODE
from .test_exactly_once import STEPS, _audit_records, _payment, _run_dying, _transactions, run_dying

FUNCTION = "payment-sweeper-dev"
UNFINISHED = {"pending", "amending"}


def left_pending(platform: Platform, number: int) -> dict[str, Any]:
    """The item of a payment whose function died twenty minutes ago, after it was written."""
    key = str(uuid.uuid4())
    body = _payment(number, key)
    died = _run_dying(platform, STEPS.index("after the transaction") + 1, key, body)
    assert died.returncode == EXIT_CODE, died.stderr[-2000:]
    [item] = _transactions(platform, body)
    before = twenty_minutes_ago()
    shard = day_shard(item["transaction_id"]["S"], before)
    return changed(platform, item["transaction_id"]["S"], created_at=before, day_shard=shard)


def left_amending(platform: Platform, number: int) -> dict[str, Any]:
    """The item of a payment whose void died twenty minutes ago, after it was written."""
    id, void = left_pending(platform, number)["transaction_id"]["S"], {"kind": "void", "reason": "Ordered twice"}
    platform.client("lambda").invoke(FunctionName=FUNCTION)  # finishes the payment
    died = run_dying(platform, 2, f"/transactions/{id}/reversal", "transactions", str(uuid.uuid4()), void)
    assert died.returncode == EXIT_CODE, died.stderr[-2000:]
    assert platform.api().get(f"/transactions/{id}").body["status"] == "approved"
    amendment = Amendment.of(current(platform, id)["amending"]["S"])
    return changed(platform, id, amending=replace(amendment, created_at=twenty_minutes_ago()).to_json())


def twenty_minutes_ago() -> str:
    return timestamp(datetime.now(UTC) - timedelta(minutes=20))


def changed(platform: Platform, transaction_id: str, **texts: str) -> dict[str, Any]:
    """The item, after the change."""
    platform.client("dynamodb").update_item(
        TableName=platform.outputs["TransactionTableName"],
        Key={"transaction_id": {"S": transaction_id}},
        UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in texts),
        ExpressionAttributeValues={f":{name}": {"S": text} for name, text in texts.items()},
    )
    return current(platform, transaction_id)


def current(platform: Platform, transaction_id: str) -> dict[str, Any]:
    table = platform.outputs["TransactionTableName"]
    found: dict[str, Any] = platform.client("dynamodb").get_item(
        TableName=table, Key={"transaction_id": {"S": transaction_id}}, ConsistentRead=True
    )["Item"]
    return found


def unfinished(platform: Platform, item: dict[str, Any]) -> bool:
    """Whether the verification of its day lists it."""
    day = item["created_at"]["S"][:10]
    done = platform.run("pipeline.audit", "verify", "--env", "dev", "--day", day, "--json")
    listed = item["transaction_id"]["S"] in json.loads(done.stdout)["unfinished"]
    assert done.returncode != 0 or not listed
    return listed


def test_the_schedule_finishes_what_a_crash_left_and_the_metrics_say_so(platform: Platform) -> None:
    # Given a payment and a void that crashes left, which the verification does not accept
    voided, item = left_amending(platform, 301), left_pending(platform, 300)
    assert (item["status"]["S"], voided["status"]["S"]) == ("pending", "amending")
    assert unfinished(platform, item)
    assert unfinished(platform, voided)
    # When the schedule's time has come
    events = platform.client("events")
    [rule] = [each for each in events.list_rules()["Rules"] if FUNCTION in each.get("Description", "")]
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(5 minutes)", "ENABLED")
    with short_minutes(platform):
        until = time.monotonic() + 100
        while {current(platform, each["transaction_id"]["S"])["status"]["S"] for each in (item, voided)} & UNFINISHED:
            assert time.monotonic() < until, "the schedule has not called the sweeper"
            time.sleep(1)
    # Then it is finished as it was decided, with one audit record
    done = current(platform, item["transaction_id"]["S"])
    assert done["status"] == item["outcome"] == {"S": "approved"}
    assert _audit_records(platform, item["transaction_id"]["S"]) == [done["audit_key"]["S"]]
    assert not unfinished(platform, item)
    # And so is the void, and limits count its payment no more
    done, id = current(platform, voided["transaction_id"]["S"]), voided["transaction_id"]["S"]
    assert (done["status"], len(done["history"]["L"]), done["released"]) == ({"S": "voided"}, 1, {"BOOL": True})
    assert "amending" not in done
    assert [key for key in _audit_records(platform, id) if key.endswith(f"{id}.1.json")]
    assert not unfinished(platform, voided)
    # And the metrics say so
    until = time.monotonic() + 30
    while not published(platform, "PendingFinished"):
        assert time.monotonic() < until, "no metric"
        time.sleep(1)


def published(platform: Platform, metric: str) -> float:
    points = platform.client("cloudwatch").get_metric_statistics(
        Namespace="Payments",
        MetricName=metric,
        Dimensions=[{"Name": "Environment", "Value": "dev"}, {"Name": "service", "Value": "payment-sweeper"}],
        StartTime=datetime.now(UTC) - timedelta(minutes=10),
        EndTime=datetime.now(UTC) + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
    )["Datapoints"]
    return float(sum(point["Sum"] for point in points))
