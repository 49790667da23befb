"""The local engine: the plan that it writes for a pipeline."""

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sns as sns
from aws_cdk import pipelines

from pipeline.local.plan import PLAN_FILE, LocalPlan


@pytest.fixture
def app(tmp_path: Path) -> cdk.App:
    return cdk.App(outdir=str(tmp_path), tree_metadata=False, builtin_cloud_formation_validation=False)


class Shop(cdk.Stage):
    """Two stacks. The second depends on the first."""

    def __init__(self, app: cdk.App, id: str) -> None:
        super().__init__(app, id)
        front, back = cdk.Stack(self, "A-front"), cdk.Stack(self, "B-back")
        front.add_stack_dependency(back)
        self.output = cdk.CfnOutput(back, "TopicArn", value=sns.Topic(back, "Topic").topic_arn)
        sns.Topic(front, "Topic")


def plan(app: cdk.App) -> LocalPlan:
    return LocalPlan(app, "Plan", synth=pipelines.ShellStep("Synth", commands=["cdk synth"]))


def written(engine: LocalPlan, app: cdk.App) -> dict[str, Any]:
    engine.build_pipeline()
    document = json.loads((Path(app.outdir) / PLAN_FILE).read_text())
    assert document["version"] == 1
    [stage] = document["stages"]
    return stage


def test_stacks_and_steps_are_in_the_order_of_their_dependencies(app: cdk.App) -> None:
    # Given steps that were added in another order than their dependencies ask for
    engine = plan(app)
    last, first = (pipelines.ShellStep(name, commands=["true"]) for name in ("Last", "First"))
    last.add_step_dependency(first)
    engine.add_stage(Shop(app, "Shop"), post=[last, first])
    # When the plan is written
    stage = written(engine, app)
    # Then dependencies come first
    assert [stack["name"] for stack in stage["stacks"]] == ["Shop-B-back", "Shop-A-front"]
    assert [step["name"] for step in stage["post"]] == ["First", "Last"]


def test_a_step_carries_its_commands_and_variables(app: cdk.App) -> None:
    engine = plan(app)
    shop = Shop(app, "Shop")
    step = pipelines.ShellStep(
        "Check",
        install_commands=["pip install x"],
        commands=["check --all"],
        env={"MODE": "strict"},
        env_from_cfn_outputs={"TOPIC": shop.output},
    )
    engine.add_stage(shop, post=[step])
    assert written(engine, app)["post"] == [
        {
            "name": "Check",
            "kind": "commands",
            "install_commands": ["pip install x"],
            "commands": ["check --all"],
            "env": {"MODE": "strict"},
            "env_from_outputs": {"TOPIC": {"stack": "Shop-B-back", "output": "TopicArn"}},
        }
    ]


def test_an_approval_has_no_commands(app: cdk.App) -> None:
    engine = plan(app)
    engine.add_stage(Shop(app, "Shop"), pre=[pipelines.ManualApprovalStep("Ask")])
    [step] = written(engine, app)["pre"]
    assert (step["name"], step["kind"], step["commands"]) == ("Ask", "approval", [])


def test_a_kind_of_step_that_the_engine_cannot_run_is_refused(app: cdk.App) -> None:
    engine = plan(app)
    shop = Shop(app, "Shop")
    engine.add_stage(shop, pre=[pipelines.ConfirmPermissionsBroadening("Broader", stage=shop)])
    with pytest.raises(Exception, match="'Broader': the local engine runs commands and approvals"):
        engine.build_pipeline()


def test_the_plan_is_written_by_the_synthesis_itself(app: cdk.App) -> None:
    plan(app).add_stage(Shop(app, "Shop"))
    app.synth()
    assert (Path(app.outdir) / PLAN_FILE).is_file()
