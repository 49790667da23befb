"""CloudWatch alarms, evaluated on a clock: dimensions, percentiles, M out of N, missing data, metric math.

MiniStack ignores dimensions, and evaluates an alarm only when a caller puts metric data. Here every alarm is evaluated
each ``TICK_SECONDS``. The windows end now, while CloudWatch aligns them to the clock; the newest points are not yet in
them (:func:`localcloud.emulator.metrics.published`). Composite alarms follow their
children by MiniStack's own rules.
"""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ministack.core.responses import get_account_id, get_region, new_uuid, request_scope
from ministack.services import cloudwatch, eventbridge
from ministack.services.cloudformation import provisioners

from localcloud.emulator import metrics
from localcloud.emulator.metric_math import Value, evaluate
from localcloud.emulator.upstream import Function, original, replaces
from localcloud.emulator.watched import unwatched

TICK_SECONDS = 5.0
SET_STATE_LASTS_SECONDS = 10.0
"""On AWS a state set by SetAlarmState holds until the next evaluation. Here it holds so long that a caller sees it."""

_log = logging.getLogger("alarms")
_held_until: dict[str, float] = {}

_BREACHES: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
}

original(cloudwatch, "_calc_stats")
original(cloudwatch, "_evaluate_parent_alarms")
original(eventbridge, "_dispatch_event")
original(eventbridge, "_tick_scheduled_rules")


@replaces(cloudwatch, "_evaluate_alarm")
def skip_evaluation_at_write(_: Function, _alarm: Any) -> None:
    """MiniStack would evaluate at PutMetricData and PutMetricAlarm. The clock evaluates instead."""


@replaces(cloudwatch, "_dispatch_alarm_actions")
def tell_of_change(notify: Function, alarm: Any, old: str, new: str, reason: str) -> None:
    """Send the event "CloudWatch Alarm State Change" too, for the rules of EventBridge (CloudWatch User Guide, "Alarm
    events and EventBridge"). MiniStack only notifies topics."""
    notify(alarm, old, new, reason)
    detail = {
        "alarmName": alarm["AlarmName"],
        "state": {"value": new, "reason": reason},
        "previousState": {"value": old},
    }
    eventbridge._dispatch_event(
        {
            "EventId": new_uuid(),
            "Source": "aws.cloudwatch",
            "DetailType": "CloudWatch Alarm State Change",
            "Detail": json.dumps(detail),
            "EventBusName": "default",
            "Time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "Resources": [alarm["AlarmArn"]],
            "Account": get_account_id(),
            "Region": get_region(),
        }
    )


@replaces(cloudwatch, "_set_alarm_state")
def set_alarm_state(set_state: Function, params: Any, cbor_data: Any, *args: Any, **kwargs: Any) -> Any:
    name = (cbor_data or {}).get("AlarmName") or cloudwatch._p(params, "AlarmName")
    _held_until[name] = time.monotonic() + SET_STATE_LASTS_SECONDS
    return set_state(params, cbor_data, *args, **kwargs)


@replaces(provisioners, "_cw_metric_alarm_record")
def alarm_record(make: Function, name: str, props: Any) -> Any:
    """Accept metric math, which MiniStack refuses in an alarm. Refuse a comparison operator that is unknown here."""
    if props.get("ComparisonOperator") not in _BREACHES:
        raise ValueError(f"ComparisonOperator {props.get('ComparisonOperator')} is unknown to the local cloud")
    if not props.get("Metrics"):
        return make(name, props)
    queries = [unwatched(query) for query in props["Metrics"]]
    values: dict[str, Value] = {query["Id"]: 1.0 for query in queries}
    for query in queries:
        if expression := query.get("Expression"):
            evaluate(expression, values)  # an expression that can't be evaluated fails the deployment
    single = {key: props.get(key) for key in props if key != "Metrics"}
    alarm = make(name, {**single, "MetricName": "-", "Namespace": "-"})
    for key in ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Unit"):
        alarm.pop(key, None)
    return {**alarm, "Metrics": queries}


def datapoints(alarm: Mapping[str, Any], now: float) -> list[Value]:
    """The alarm's last ``EvaluationPeriods`` datapoints, newest first; ``None`` for a period without data."""
    periods = int(alarm.get("EvaluationPeriods") or 1)
    if alarm.get("Metrics"):
        return [_expression(alarm["Metrics"], now, back) for back in range(periods)]
    period = int(alarm.get("Period") or 60)
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
    return [_statistic(alarm, statistic, now - (back + 1) * period, now - back * period) for back in range(periods)]


def _expression(queries: Sequence[Mapping[str, Any]], now: float, back: int) -> Value:
    values: dict[str, Value] = {}
    for query in queries:
        if measured := query.get("MetricStat"):
            period = int(measured["Period"])
            start = now - (back + 1) * period
            values[query["Id"]] = _statistic(measured["Metric"], measured["Stat"], start, start + period)
    pending = [query for query in queries if query.get("Expression")]
    while pending:  # an expression may refer to a later one
        ready = [q for q in pending if not any(other["Id"] in q["Expression"] for other in pending if other is not q)]
        for query in ready or pending[:1]:
            values[query["Id"]] = evaluate(query["Expression"], values)
            pending.remove(query)
    returned = next(query for query in queries if str(query.get("ReturnData", True)).lower() != "false")
    return values[returned["Id"]]


def _statistic(metric: Mapping[str, Any], statistic: str, start: float, end: float) -> Value:
    dimensions = {d["Name"]: d["Value"] for d in metric.get("Dimensions") or []}
    key = (metric["Namespace"], metric["MetricName"], cloudwatch._dims_key(dimensions))
    known = metrics.published(list(cloudwatch._metrics.get(key) or ()), time.time())
    points = [p for p in known if start <= p["Timestamp"] < end]
    value: Value = cloudwatch._stat_value(cloudwatch._calc_stats(points), statistic, points) if points else None
    return value


def judge(alarm: Mapping[str, Any], values: Sequence[Value]) -> str | None:
    """The alarm's state for its datapoints, newest first; ``None`` to keep its present state."""
    known = [value for value in values if value is not None]
    treat = alarm.get("TreatMissingData") or "missing"
    if not known and treat in ("missing", "ignore"):
        return "INSUFFICIENT_DATA" if treat == "missing" else None
    breaches = _BREACHES[alarm["ComparisonOperator"]]
    breaching = sum(breaches(value, alarm["Threshold"]) for value in known)
    if treat == "breaching":
        breaching += len(values) - len(known)
    return "ALARM" if breaching >= int(alarm.get("DatapointsToAlarm") or len(values)) else "OK"


def evaluate_alarm(alarm: dict[str, Any]) -> None:
    """Set one alarm to the state that its metrics give, in the current account and region."""
    if time.monotonic() < _held_until.get(alarm["AlarmName"], 0):
        return
    values = datapoints(alarm, time.time())
    state, old = judge(alarm, values), alarm["StateValue"]
    if state is None or state == old:
        return
    shown = ", ".join("no data" if value is None else f"{value:g}" for value in values)
    reason = f"Threshold Crossed: datapoints [{shown}] against {alarm['ComparisonOperator']} {alarm['Threshold']:g}"
    now = int(time.time())
    alarm.update(StateValue=state, StateReason=reason, StateUpdatedTimestamp=now, StateTransitionedTimestamp=now)
    cloudwatch._record_history(alarm["AlarmName"], old, state, reason)
    cloudwatch._dispatch_alarm_actions(alarm, old, state, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def start_clock() -> None:
    """Start the background thread that evaluates all alarms."""
    threading.Thread(target=_tick_for_ever, name="alarm-clock", daemon=True).start()


def _tick_for_ever() -> None:
    while True:
        time.sleep(TICK_SECONDS)
        with contextlib.suppress(RuntimeError):  # a dictionary grew during the iteration: the next tick retries
            for (account, region, name), alarm in list(cloudwatch._alarms._data.items()):
                with request_scope(account, region):
                    try:
                        evaluate_alarm(alarm)
                    except Exception:
                        _log.exception("alarm %s could not be evaluated", name)
            metrics.drop_old_points()
