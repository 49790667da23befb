"""Systems Manager parameters, which operators and other systems read."""

from pathlib import Path

from aws_cdk import aws_ssm as ssm
from constructs import Construct

from environments import Environment
from names import Parameter


class Parameters(Construct):
    """``/payment/<name>-<env>``: addresses of the platform, and the place for an override of the fraud rules."""

    def __init__(self, scope: Construct, id: str, *, environment: Environment) -> None:
        super().__init__(scope, id)
        self._environment = environment
        self.fraud_rules = self._parameter(Parameter.FRAUD_RULES, NO_OVERRIDE, "Weights and limits of the fraud check")

    def publish(self, values: dict[Parameter, str]) -> None:
        """Publish ``values`` as one parameter each."""
        for parameter, value in values.items():
            self._parameter(parameter, value, f"{parameter.replace('-', ' ')} of the payment platform")

    def _parameter(self, parameter: Parameter, value: str, description: str) -> ssm.StringParameter:
        return ssm.StringParameter(
            self,
            parameter.id,
            parameter_name=parameter.of(self._environment.name),
            string_value=value,
            description=description,
        )


NO_OVERRIDE = Path(__file__).with_name("fraud_rules_parameter.json").read_bytes().decode()
"""The first value of the parameter of the fraud rules. It stands for no override: rules ship with the functions.

It must never change, nor any other property of the parameter: an update would take away an override. It is a document
of rules because functions before followed it.
"""
