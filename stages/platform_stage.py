"""One environment as a stage of CDK Pipelines, with a single stack."""

from aws_cdk import Stage
from constructs import Construct

from environments import Environment
from stages.platform_stack import PlatformStack

STACK_ID = "Platform"


class PlatformStage(Stage):
    """The deployable unit that is promoted from environment to environment.

    Create it under the App, never under the pipeline's stack. Construct paths are part of security group descriptions,
    so another place in the tree would give another template.
    """

    def __init__(self, scope: Construct, id: str, *, environment: Environment) -> None:
        super().__init__(scope, id)
        self.platform = PlatformStack(self, STACK_ID, environment=environment)
