"""The AWS calls of the release controller, in memory: its part of ELB, Lambda, CloudWatch and DynamoDB.

``disturb`` is called before and after each call: tests make calls fail, or kill the controller between any two of them.
"""

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

import names
from names import Function, Table
from pipeline.aws import PlatformOutputs

OUTPUTS = PlatformOutputs(
    stack_name=names.stack("test"),
    values={
        **{function.name_output: function.of("test") for function in Function},
        "ListenerArn": "arn:aws:elasticloadbalancing:us-east-1:1:listener/app/alb/1/2",
        "BlueTargetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/payment-blue-test/1",
        "GreenTargetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/payment-green-test/1",
        "AlertTopicArn": "topic",
        "DashboardUrl": "https://console.aws.amazon.com/cloudwatch/home#dashboards:name=payment-test",
        "RollbackAlarmNames": "api-errors,api-latency,candidate-errors,candidate-latency",
        "ReleaseTableName": Table.RELEASES.of("test"),
    },
)
FUNCTIONS = tuple(function.of("test") for function in Function)
PROCESSING = Function.PROCESSING.of("test")

ITEM_BYTES = 400 * 1024
"""The most that DynamoDB takes as one item."""
PAGE_BYTES = 1024 * 1024
"""A page of a query ends with the item that exceeds this."""

MOVES = ("ModifyListener", "UpdateAlias", "CreateAlias", "ChangeResourceRecordSets")
"""The calls that move traffic."""

Disturb = Callable[[str, str], None]


def refused(operation: str, code: str = "ThrottlingException") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "refused by the test"}}, operation)


@dataclass
class Behaviour:
    """How one version answers."""

    errors: float = 0.0
    """Share of requests that fail."""
    milliseconds: float = 12.0
    client_errors: float = 0.0
    """Share of requests that it refuses."""
    declined: float = 0.1
    """Share of payments that it declines."""
    server_errors: float = 0.0
    """Errors that the function itself counts, in each reading and on each route, beside Lambda's count."""


class FakeAws:
    """Stands in for a ``boto3.Session``; its attributes are the state of the account."""

    def __init__(self, *, stable: str = "1", candidate: str = "2") -> None:
        self.weights = {"blue": 100, "green": 0}
        self.other_groups: dict[str, int] = {}
        """Weights of target groups that are not the platform's."""
        self.maintenance = False
        """Whether the listener answers by itself, and forwards nothing."""
        self.aliases: dict[tuple[str, str], tuple[str, dict[str, float]]] = {}
        for function in FUNCTIONS:
            self.aliases[function, "blue"] = (stable, {})
            self.aliases[function, "green"] = (candidate, {})
        self.alarms = {
            "api-errors": "OK",
            "api-latency": "INSUFFICIENT_DATA",
            "candidate-errors": "OK",
            "candidate-latency": "OK",
        }
        self.counts_the_deployed_in_blue = False
        """Whether the alarm candidate-errors rings by itself, as on AWS: for errors of the version that was deployed
        last, which Lambda counts by version while an alias blue is split."""
        self.behaviour: dict[str, Behaviour] = {}
        self.metric_statuses: list[dict[str, str]] = [{}]
        """For each page of an answer: the metrics that do not come with it, and the status that they have instead."""
        self.requests_per_second = 3.0
        """On each route."""
        self.deleted_versions: set[tuple[str, str]] = set()
        self.closed_versions: set[str] = set()
        """The versions, of any function, that were published before a first release and answer 503."""
        self.metrics: dict[str, list[float]] = {}
        """The values of each metric, by its name and its dimensions except the environment."""
        self.messages: list[tuple[str, str]] = []
        self.events: list[dict[str, Any]] = []
        """What came on the event bus."""
        self.secrets: dict[str, str] = {}
        self.table: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.disturb: Disturb = lambda operation, when: None
        self.on_change: Callable[[], None] = lambda: None

    def client(self, _service: str, **_config: Any) -> "FakeAws":
        return self

    def deploy(self, version: str) -> None:
        """Move the aliases green, as a CloudFormation deployment does."""
        for function in FUNCTIONS:
            self.aliases[function, "green"] = (version, {})

    def stable(self) -> list[str]:
        """The main versions of the aliases blue."""
        return [self.aliases[function, "blue"][0] for function in FUNCTIONS]

    def shares(self) -> dict[str, dict[str, float]]:
        """For each route, the share of production requests that each version answers."""
        found: dict[str, dict[str, float]] = {}
        for function in set(FUNCTIONS) - {PROCESSING}:
            if (function, "blue") not in self.aliases:
                found[function] = {}
                continue
            main, extra = self.aliases[function, "blue"]
            found[function] = {main: 1 - sum(extra.values())} | extra
        total = sum(self.weights.values()) + sum(self.other_groups.values()) or 1
        processing: dict[str, float] = {}
        for colour, weight in self.weights.items():
            version = self.aliases.get((PROCESSING, colour), ("gone", {}))[0]
            processing[version] = processing.get(version, 0) + weight / total
        found[PROCESSING] = processing
        return {route: {v: share for v, share in versions.items() if share} for route, versions in found.items()}

    def _called(self, operation: str, effect: Callable[[], Any]) -> Any:
        self.disturb(operation, "before")
        self.calls.append(operation)
        result = effect()
        if operation in MOVES:
            self.on_change()
        self.disturb(operation, "after")
        return result

    def describe_stacks(self, *, StackName: str) -> Any:
        outputs = [{"OutputKey": key, "OutputValue": value} for key, value in OUTPUTS.values.items()]
        return self._called("DescribeStacks", lambda: {"Stacks": [{"Outputs": outputs}]})

    def describe_load_balancers(self, *, Names: list[str]) -> Any:
        assert Names == [names.platform("test")]
        return self._called("DescribeLoadBalancers", lambda: {"LoadBalancers": [{"LoadBalancerArn": "balancer"}]})

    def describe_listeners(self, **which: Any) -> Any:
        assert which in ({"ListenerArns": [OUTPUTS["ListenerArn"]]}, {"LoadBalancerArn": "balancer"})

        def describe() -> Any:
            groups = [
                {"TargetGroupArn": OUTPUTS[f"{colour.capitalize()}TargetGroupArn"], "Weight": weight}
                for colour, weight in self.weights.items()
            ]
            arn = OUTPUTS["GreenTargetGroupArn"]
            groups += [
                {"TargetGroupArn": arn.replace("payment-green-test", name), "Weight": weight}
                for name, weight in self.other_groups.items()
            ]
            action = {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}
            if self.maintenance:
                action = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}
            return {"Listeners": [{"ListenerArn": OUTPUTS["ListenerArn"], "DefaultActions": [action]}]}

        return self._called("DescribeListeners", describe)

    def modify_listener(self, *, ListenerArn: str, DefaultActions: list[Any]) -> Any:
        groups = DefaultActions[0]["ForwardConfig"]["TargetGroups"]
        wanted = {group["TargetGroupArn"].split("-")[-2]: group["Weight"] for group in groups}
        assert set(wanted) == {"blue", "green"}

        def modify() -> None:
            self.weights, self.other_groups, self.maintenance = wanted, {}, False

        return self._called("ModifyListener", modify)

    def get_function_configuration(self, *, FunctionName: str, Qualifier: str) -> Any:
        def get() -> Any:
            if (FunctionName, Qualifier) in self.deleted_versions:
                raise refused("GetFunctionConfiguration", "ResourceNotFoundException")
            closed = Qualifier in self.closed_versions
            return {"Version": Qualifier, "Handler": names.CLOSED_HANDLER if closed else "lambdas.any.handler"}

        return self._called("GetFunctionConfiguration", get)

    def get_alias(self, *, FunctionName: str, Name: str) -> Any:
        if (FunctionName, Name) not in self.aliases:
            return self._called("GetAlias", self._not_found("GetAlias"))
        version, extra = self.aliases[FunctionName, Name]
        answer: dict[str, Any] = {"FunctionVersion": version}
        if extra:
            answer["RoutingConfig"] = {"AdditionalVersionWeights": dict(extra)}
        return self._called("GetAlias", lambda: answer)

    def update_alias(self, *, FunctionName: str, Name: str, FunctionVersion: str, RoutingConfig: Any) -> Any:
        extra = RoutingConfig["AdditionalVersionWeights"]
        if FunctionVersion in extra or any(not 0 <= weight <= 1 for weight in extra.values()) or len(extra) > 1:
            raise refused("UpdateAlias", "InvalidParameterValueException")
        if (FunctionName, Name) not in self.aliases or (FunctionName, FunctionVersion) in self.deleted_versions:
            return self._called("UpdateAlias", self._not_found("UpdateAlias"))
        return self._called(
            "UpdateAlias", lambda: self.aliases.update({(FunctionName, Name): (FunctionVersion, dict(extra))})
        )

    def create_alias(self, *, FunctionName: str, Name: str, FunctionVersion: str, RoutingConfig: Any) -> Any:
        if (FunctionName, Name) in self.aliases:
            raise refused("CreateAlias", "ResourceConflictException")
        extra = dict(RoutingConfig["AdditionalVersionWeights"])
        return self._called(
            "CreateAlias", lambda: self.aliases.update({(FunctionName, Name): (FunctionVersion, extra)})
        )

    def _not_found(self, operation: str) -> Callable[[], Any]:
        def fail() -> Any:
            raise refused(operation, "ResourceNotFoundException")

        return fail

    def describe_alarms(self, *, AlarmNames: list[str], AlarmTypes: list[str]) -> Any:
        on_green = [
            {"Name": "LoadBalancer", "Value": "alb"},
            {"Name": "TargetGroup", "Value": "targetgroup/payment-green-test/1"},
        ]
        found: list[dict[str, Any]] = [
            {"AlarmName": name, "StateValue": self.alarms[name]} for name in AlarmNames if name in self.alarms
        ]
        for alarm in found:
            if alarm["AlarmName"] == "candidate-latency":
                alarm["Dimensions"] = on_green
            if alarm["AlarmName"] == "candidate-errors" and self._the_deployed_fails_in_blue():
                alarm["StateValue"] = "ALARM"
        return self._called("DescribeAlarms", lambda: {"MetricAlarms": found, "CompositeAlarms": []})

    def _the_deployed_fails_in_blue(self) -> bool:
        function = FUNCTIONS[0]
        deployed, split = self.aliases[function, "green"][0], self.aliases.get((function, "blue"), ("", {}))[1]
        counted = split and deployed in self.shares()[function]
        return bool(self.counts_the_deployed_in_blue and counted and self.behaviour.get(deployed, Behaviour()).errors)

    def get_caller_identity(self) -> Any:
        arn = "arn:aws:sts::111122223333:assumed-role/PlatformEngineer/bob"
        return self._called("GetCallerIdentity", lambda: {"Arn": arn})

    def put_metric_data(self, *, Namespace: str, MetricData: list[Any]) -> Any:
        def put() -> None:
            for datum in MetricData:
                further = [each["Value"] for each in datum["Dimensions"] if each["Name"] != "Environment"]
                self.metrics.setdefault(" ".join([datum["MetricName"], *further]), []).append(datum["Value"])

        return self._called("PutMetricData", put)

    def publish(self, *, TopicArn: str, Subject: str, Message: str) -> Any:
        assert len(Subject) <= 100
        return self._called("Publish", lambda: self.messages.append((Subject, Message)))

    def put_events(self, *, Entries: list[Any]) -> Any:
        def put() -> Any:
            self.events.extend(Entries)
            return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in Entries]}

        return self._called("PutEvents", put)

    def get_secret_value(self, *, SecretId: str) -> Any:
        if SecretId not in self.secrets:
            return self._called("GetSecretValue", self._not_found("GetSecretValue"))
        return self._called("GetSecretValue", lambda: {"SecretString": self.secrets[SecretId]})

    def get_paginator(self, operation: str) -> Any:
        return SimpleNamespace(paginate={"get_metric_data": self._metric_pages, "query": self._query_pages}[operation])

    def _metric_pages(self, *, MetricDataQueries: list[Any], StartTime: Any, EndTime: Any) -> Iterator[Any]:
        seconds = (EndTime - StartTime).total_seconds()
        asked = MetricDataQueries
        for page in self.metric_statuses:
            shares = self.shares()
            status = {q["Id"]: page.get(q["MetricStat"]["Metric"]["MetricName"], "Complete") for q in asked}
            results = [
                {
                    "Id": q["Id"],
                    "StatusCode": status[q["Id"]],
                    "Values": [self._metric(q["MetricStat"], seconds, shares)] if status[q["Id"]] == "Complete" else [],
                }
                for q in asked
            ]
            asked = [q for q in asked if status[q["Id"]] != "Complete"]
            yield self._called("GetMetricData", functools.partial(dict, MetricDataResults=results))

    def _metric(self, stat: Any, seconds: float, shares: dict[str, dict[str, float]]) -> float:
        """The metric after ``seconds`` of steady traffic, of which each version answers its share."""
        dimensions = {d["Name"]: d["Value"] for d in stat["Metric"]["Dimensions"]}
        if stat["Metric"]["MetricName"] == "ServerErrors":
            return self.behaviour.get(dimensions["FunctionVersion"], Behaviour()).server_errors
        if "FunctionVersion" in dimensions:
            return self._own(stat["Metric"]["MetricName"], dimensions, seconds, shares)
        function, _, colour = dimensions["Resource"].partition(":")
        version = dimensions.get("ExecutedVersion") or self.aliases.get((function, colour), ("gone", {}))[0]
        behaviour = self.behaviour.get(version, Behaviour())
        share = shares[function].get(version, 0.0)
        requests = round(self.requests_per_second * seconds * share)
        if stat["Metric"]["MetricName"] == "Errors":
            return round(requests * behaviour.errors)
        if match := re.fullmatch(r"TC\((\d*):(\d*)\)", stat["Stat"]):
            low, high = float(match[1] or 0), float(match[2] or "inf")
            return requests if low < behaviour.milliseconds <= high else 0
        assert stat["Metric"]["MetricName"] == "Invocations"
        return requests

    def _own(self, metric: str, dimensions: dict[str, str], seconds: float, shares: dict[str, dict[str, float]]) -> int:
        """What a function counts under its version."""
        function, version = f"{dimensions['service']}-test", dimensions["FunctionVersion"]
        behaviour = self.behaviour.get(version, Behaviour())
        requests = self.requests_per_second * seconds * shares[function].get(version, 0.0)
        share = {"ClientErrors": behaviour.client_errors, "Decided": 1.0, "Approved": 1 - behaviour.declined}[metric]
        return round(requests * share)

    def key_of(self, item: Any) -> str:
        """The key of an item in ``table``, which is that of one environment."""
        return str(item["release_id"]["S"])

    def put_item(self, *, TableName: str, Item: Any, **condition: Any) -> Any:
        key = self.key_of(Item)

        def put() -> None:
            if _size(Item) > ITEM_BYTES:
                raise refused("PutItem", "ValidationException")
            self._check(self.table.get(key), "PutItem", **condition)
            self.table[key] = Item

        return self._called("PutItem", put)

    def get_item(self, *, TableName: str, Key: Any, ConsistentRead: bool) -> Any:
        assert ConsistentRead
        item = self.table.get(self.key_of(Key))
        return self._called("GetItem", lambda: {"Item": _copied(item)} if item else {})

    def delete_item(self, *, TableName: str, Key: Any, **condition: Any) -> Any:
        key = self.key_of(Key)

        def delete() -> None:
            self._check(self.table.get(key), "DeleteItem", **condition)
            self.table.pop(key, None)

        return self._called("DeleteItem", delete)

    def _query_pages(
        self,
        *,
        TableName: str,
        KeyConditionExpression: str,
        ExpressionAttributeValues: Any,
        ScanIndexForward: bool = True,
        ConsistentRead: bool,
        PaginationConfig: Any,
    ) -> Iterator[Any]:
        assert ConsistentRead
        left = [self.table[key] for key in sorted(self.table, reverse=not ScanIndexForward)]
        for term in KeyConditionExpression.split(" AND "):
            name, operator, value = term.split()
            left = [item for item in left if _compare(item[name], operator, ExpressionAttributeValues[value])]
        left = left[: PaginationConfig["MaxItems"]]
        while True:
            page: list[Any] = []
            while left and len(page) < PaginationConfig["PageSize"] and sum(map(_size, page)) < PAGE_BYTES:
                page.append(left.pop(0))
            yield self._called("Query", functools.partial(dict, Items=[_copied(item) for item in page]))
            if not left:
                return

    def _check(
        self,
        item: dict[str, Any] | None,
        operation: str,
        ConditionExpression: str = "",
        ExpressionAttributeValues: Any = None,
    ) -> None:
        """Evaluate ``a = :b AND c = :d OR e <> :f OR attribute_not_exists(g)``."""

        def holds(term: str) -> bool:
            if match := re.fullmatch(r"attribute_not_exists\((\w+)\)", term):
                return item is None or match[1] not in item
            match = re.fullmatch(r"(\w+) (=|<|<>) (:\w+)", term)
            assert match, f"the fake does not know the condition {term!r}"
            found = (item or {}).get(match[1])
            return found is not None and _compare(found, match[2], ExpressionAttributeValues[match[3]])

        terms = ConditionExpression.split(" OR ") if ConditionExpression else []
        if terms and not any(all(map(holds, each.split(" AND "))) for each in terms):
            raise refused(operation, "ConditionalCheckFailedException")


def _copied(item: dict[str, Any]) -> dict[str, Any]:
    """A copy, so that a caller's changes do not reach the table."""
    return {name: dict(value) for name, value in item.items()}


def _size(item: dict[str, Any]) -> int:
    """Bytes of an item, near enough."""
    return sum(len(name) + len(str(value).encode()) for name, value in item.items())


def _compare(left: Any, operator: str, right: Any) -> bool:
    (kind, one), (_, other) = next(iter(left.items())), next(iter(right.items()))
    one, other = (float(one), float(other)) if kind == "N" else (one, other)
    return bool({"=": one == other, "<>": one != other, "<": one < other}[operator])
