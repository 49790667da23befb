"""Listener weights and alias routing on AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from names import CLOSED_HANDLER, Colour, Function
from pipeline.aws import PlatformOutputs
from pipeline.release.aws import CLIENT_CONFIG, calling
from pipeline.release.ports import Missing
from pipeline.release.traffic import Alias, Move, PointAlias, Traffic, Versions, WeighListener, Weights

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_lambda.type_defs import AliasConfigurationResponseTypeDef


class AwsTraffic:
    """``TrafficRouter`` for the platform whose stack has these ``outputs``."""

    def __init__(self, aws: boto3.Session, outputs: PlatformOutputs):
        self._lambda = aws.client("lambda", config=CLIENT_CONFIG)
        self._elb = aws.client("elbv2", config=CLIENT_CONFIG)
        self._names = {function: outputs[function.name_output] for function in Function}
        self._listener = outputs["ListenerArn"]
        self._blue = outputs["BlueTargetGroupArn"]
        self._green = outputs["GreenTargetGroupArn"]

    def read(self) -> Traffic:
        return Traffic(
            listener=self.weights(),
            blue={function: self.alias(function, Colour.STABLE) for function in Function},
            green=self.alias(Function.PROCESSING, Colour.CANDIDATE).version,
        )

    def deployed(self) -> Versions:
        return {function: self.alias(function, Colour.CANDIDATE).version for function in Function}

    def make(self, move: Move) -> None:
        match move:
            case PointAlias(function=function, colour=colour, alias=alias):
                self._point(function, colour, alias)
            case WeighListener(weights=weights):
                self._weigh(weights)

    def weights(self) -> Weights:
        with calling("reading the listener"):
            listener = self._elb.describe_listeners(ListenerArns=[self._listener])["Listeners"][0]
        action = listener["DefaultActions"][-1]
        if action["Type"] != "forward":
            return Weights(blue=0, green=0, others={action["Type"]: 1})
        groups = action.get("ForwardConfig", {}).get("TargetGroups", [])
        weights = {group.get("TargetGroupArn", ""): group.get("Weight", 1) for group in groups}
        blue, green = weights.pop(self._blue, 0), weights.pop(self._green, 0)
        return Weights(blue=blue, green=green, others={arn.split("/")[-2]: weight for arn, weight in weights.items()})

    def _weigh(self, weights: Weights) -> None:
        with calling(f"setting the listener to {weights}"):
            self._elb.modify_listener(
                ListenerArn=self._listener,
                DefaultActions=[
                    {
                        "Type": "forward",
                        "ForwardConfig": {
                            "TargetGroups": [
                                {"TargetGroupArn": self._blue, "Weight": weights.blue},
                                {"TargetGroupArn": self._green, "Weight": weights.green},
                            ]
                        },
                    }
                ],
            )

    def alias(self, function: Function, colour: Colour) -> Alias:
        name = self._names[function]
        try:
            with calling(f"reading alias {colour} of {name}"):
                found: AliasConfigurationResponseTypeDef = self._lambda.get_alias(FunctionName=name, Name=colour)
        except Missing as error:
            raise Missing(f"{error}; `rollback` creates an alias blue again") from error
        shares = (found.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        return Alias(
            version=found["FunctionVersion"],
            shares={version: round(share * 100, 6) for version, share in shares.items()},
        )

    def exists(self, function: Function, version: str) -> bool:
        name = self._names[function]
        try:
            with calling(f"reading version {version} of {name}"):
                self._lambda.get_function_configuration(FunctionName=name, Qualifier=version)
        except Missing:
            return False
        return True

    def is_closed(self, function: Function, version: str) -> bool:
        name = self._names[function]
        with calling(f"reading version {version} of {name}"):
            found = self._lambda.get_function_configuration(FunctionName=name, Qualifier=version)
        return found.get("Handler") == CLOSED_HANDLER

    def _point(self, function: Function, colour: Colour, alias: Alias) -> None:
        name = self._names[function]
        settings: dict[str, Any] = {
            "FunctionName": name,
            "Name": colour,
            "FunctionVersion": alias.version,
            "RoutingConfig": {"AdditionalVersionWeights": {v: percent / 100 for v, percent in alias.shares.items()}},
        }
        what = f"alias {colour} of {name} at version {alias.version}"
        try:
            with calling(f"pointing {what}"):
                self._lambda.update_alias(**settings)
        except Missing as gone:
            with calling(f"{gone}; creating {what}"):
                self._lambda.create_alias(**settings)
