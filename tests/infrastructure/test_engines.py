"""Both engines run one promotion: the same stages, steps, order and commands, on the same templates."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from environments import PROMOTION_ORDER
from pipeline.bootstrap import questions
from pipeline.local.plan_reader import run_stage
from pipeline.steps import or_evidence
from tests.infrastructure.promotion import elsewhere, one_environment, pipeline_template, promotion, resources

ROOT = Path(__file__).parents[2]
Step = dict[str, Any]
ENVIRONMENTS = [each.name for each in PROMOTION_ORDER]


def plan_stages() -> list[dict[str, Any]]:
    stages: list[dict[str, Any]] = promotion().read("plan.json")["stages"]
    return stages


def aws_stages() -> list[dict[str, Any]]:
    """The stages of CodePipeline that deploy environments, their actions in the order in which they run. Without the
    summary for an approval, which the local engine writes by itself."""
    [pipeline] = resources(pipeline_template(), "AWS::CodePipeline::Pipeline").values()
    deploying = [each for each in pipeline["Stages"] if each["Name"].lower() in ENVIRONMENTS]
    return [
        each
        | {
            "Actions": sorted(
                (action for action in each["Actions"] if action["Name"] != "Summary"),
                key=lambda action: action["RunOrder"],
            )
        }
        for each in deploying
    ]


def build_specification(action: dict[str, Any]) -> dict[str, Any]:
    project = resources(pipeline_template(), "AWS::CodeBuild::Project")[action["Configuration"]["ProjectName"]["Ref"]]
    specification: dict[str, Any] = json.loads(project["Source"]["BuildSpec"])
    return specification


def actions(kind: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (stage["Name"], action)
        for stage in aws_stages()
        for action in stage["Actions"]
        if action["ActionTypeId"]["Provider"] == kind
    ]


def steps(kind: str) -> list[tuple[str, Step]]:
    return [
        (stage["name"], step)
        for stage in plan_stages()
        for step in [
            *stage["pre"],
            *(each for stack in stage["stacks"] for each in stack["change_set"]),
            *stage["post"],
        ]
        if step["kind"] == kind
    ]


def test_both_engines_promote_through_the_same_stages_in_the_order_of_the_settings() -> None:
    assert [each["name"] for each in plan_stages()] == [each["Name"] for each in aws_stages()]
    assert [each["environment"] for each in plan_stages()] == ENVIRONMENTS


def test_both_engines_run_the_same_steps_around_the_same_deployments() -> None:
    for planned, stage in zip(plan_stages(), aws_stages(), strict=True):
        # CloudFormation deploys in two actions, a change set and its execution; the plan names the stack.
        deployments = [
            f"{stack['name']}.{step}"
            for stack in planned["stacks"]
            for step in ("Prepare", *(each["name"] for each in stack["change_set"]), "Deploy")
        ]
        expected = [*(step["name"] for step in planned["pre"]), *deployments, *(s["name"] for s in planned["post"])]
        assert [action["Name"] for action in stage["Actions"]] == expected
        orders = [action["RunOrder"] for action in stage["Actions"]]
        assert len(set(orders)) == len(orders), f"{planned['name']}: actions run side by side"


def test_every_environment_is_gated_then_shifted_then_leaves_evidence() -> None:
    for stage in plan_stages():
        assert [step["name"] for step in stage["post"]] == ["LoadGate", "BlueGreenShift", "Evidence"]


def test_both_engines_run_the_same_commands() -> None:
    def without_links(commands: list[str]) -> list[str]:
        """CodePipeline's further inputs lie elsewhere: CDK links them into the source."""
        return [each for each in commands if "ln -s -- " not in each]

    locally = [(stage, s["name"], s["install_commands"], s["commands"]) for stage, s in steps("commands")]
    on_aws = [
        (stage, action["Name"], without_links(phases["install"]["commands"]), phases["build"]["commands"])
        for stage, action in actions("CodeBuild")
        for phases in [build_specification(action)["phases"]]
    ]
    assert locally == on_aws
    [gate] = [commands for stage, step, _, [commands] in locally if (stage, step) == ("Dev", "LoadGate")]
    assert gate.startswith("python -m loadtest.gate --env dev ||")


def test_a_command_that_fails_keeps_its_exit_code_and_its_conclusion(tmp_path: Path) -> None:
    # Given a step's command, and machines on which evidence is kept or can't be kept
    for collected in (0, 1):
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\necho "  evidence $*, role ${{PLATFORM_ROLE_ARN-none}}"\nexit {collected}\n')
        python.chmod(0o755)
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PLATFORM_ROLE_ARN": "of the platform"}

        def run(command: str, environment: dict[str, str] = environment) -> "subprocess.CompletedProcess[str]":
            script = or_evidence(command, "dev")
            return subprocess.run(["/bin/sh", "-ec", script], env=environment, capture_output=True, text=True)

        # When it fails, then its evidence is collected under the step's own credentials, and its exit code stays
        failed = run("sh -c 'exit 10'")
        assert failed.returncode == 10
        assert failed.stdout == "  evidence -m pipeline.evidence collect --env dev --failed, role none\n"
        # When it succeeds, then nothing is collected
        assert (run("true").returncode, run("true").stdout) == (0, "")


def test_both_engines_pass_the_same_stack_outputs_to_a_step() -> None:
    def on_aws(action: dict[str, Any]) -> dict[str, str]:
        variables = json.loads(action["Configuration"].get("EnvironmentVariables", "[]"))
        outputs = [each for each in variables if not each["value"].startswith(("#{codepipeline.", "#{Build@"))]
        return {each["name"]: each["value"].split(".")[-1].rstrip("}") for each in outputs}

    def locally(step: Step) -> dict[str, str]:
        return {name: source["output"] for name, source in step["env_from_outputs"].items()}

    assert [locally(step) for _, step in steps("commands")] == [on_aws(action) for _, action in actions("CodeBuild")]
    for stage, step in [each for each in steps("commands") if each[1]["env_from_outputs"]]:
        assert {each["stack"] for each in step["env_from_outputs"].values()} == {f"payment-platform-{stage.lower()}"}


def test_both_engines_require_the_approvals_of_the_settings_and_no_others() -> None:
    locally = [(stage, step["name"]) for stage, step in steps("approval")]
    on_aws = [(stage, action["Name"].rpartition(".")[2]) for stage, action in actions("Manual")]
    assert locally == on_aws
    assert [stage.lower() for stage, _ in locally] == [each.name for each in PROMOTION_ORDER if each.requires_approval]


def test_a_person_approves_a_change_set_that_exists_and_before_it_is_executed() -> None:
    [prod] = [each for each in aws_stages() if each["Name"] == "Prod"]
    names = [action["Name"].rpartition(".")[2] for action in prod["Actions"]]
    assert names[:3] == ["Prepare", "PromoteToProd", "Deploy"]
    [planned] = [run_stage(each) for each in plan_stages() if each["environment"] == "prod"]
    assert [each.name for each in planned.steps][:4] == ["Local cloud", "Prepare", "PromoteToProd", "Deploy"]


def test_the_plan_names_templates_and_assets_that_exist() -> None:
    for stage in plan_stages():
        for stack in stage["stacks"]:
            assert (promotion().folder / stack["template"]).is_file()
            assert (promotion().folder / stack["assets"]).is_file()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_has_the_same_template_for_every_way_of_deployment(name: str) -> None:
    [stage] = [each for each in plan_stages() if each["environment"] == name]
    [file] = one_environment(name).template_files()
    assert file.read_bytes() == (promotion().folder / stage["stacks"][0]["template"]).read_bytes()


@pytest.mark.parametrize("name", [*ENVIRONMENTS, "pr42"])
def test_an_environment_alone_is_the_only_stack_that_the_cli_can_select(name: str) -> None:
    assert one_environment(name).top_level_stacks() == [f"payment-platform-{name}"]


def test_without_an_environment_the_pipeline_is_the_only_stack_that_the_cli_selects() -> None:
    assert promotion().top_level_stacks() == ["payment-pipeline"]


def test_an_invalid_environment_name_is_refused_in_one_sentence() -> None:
    # When the CDK CLI synthesises an environment with the name of a branch
    context = {"CDK_CONTEXT_JSON": json.dumps({"environmentSuffix": "feature/login"})}
    command = [sys.executable, "pipeline_app.py"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | context, capture_output=True, text=True)
    # Then the error states the valid names, and nothing else
    assert done.returncode != 0
    assert done.stderr.startswith("pipeline_app.py: environment name 'feature/login': use 2 to 12 of a-z")
    assert "Traceback" not in done.stderr


def test_the_plan_has_the_account_and_region_of_each_environment() -> None:
    places = [(each["account"], each["region"]) for each in elsewhere().read("plan.json")["stages"]]
    assert places == [
        ("111122223333", "eu-central-1"),
        ("444455556666", "eu-west-1"),
        ("777788889999", "eu-west-1"),
    ]


def test_the_commands_of_a_step_start_with_the_packages_that_it_installs(tmp_path: Path) -> None:
    # Given machines with only the packages that the steps install
    begun: dict[str, set[str]] = {}
    for _, step in steps("commands"):
        installed = re.findall(r"requirements/(\w+)\.txt", " ".join(step["install_commands"]))
        [packages] = set(installed) - {"uv"}
        begun.setdefault(packages, set()).update(re.findall(r"python -m ([\w.]+)", " ".join(step["commands"])))
    for packages, modules in begun.items():
        python = tmp_path / packages / "bin" / "python"
        subprocess.run(["uv", "venv", "--quiet", tmp_path / packages], check=True)
        hashed = ("--require-hashes", f"requirements/{packages}.txt")
        subprocess.run(["uv", "pip", "sync", "--quiet", "--python", python, *hashed], cwd=ROOT, check=True)
        # Then each of their commands can begin there
        assert {"loadtest.gate", "pipeline.release", "pipeline.evidence"} <= modules
        for module in modules:
            done = subprocess.run([python, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr


def test_the_preflight_asks_for_the_database_and_build_image_that_the_templates_use() -> None:
    [cluster] = resources(
        promotion().read("assembly-Dev/DevPlatform7388A222.template.json"), "AWS::RDS::DBCluster"
    ).values()
    assert (cluster["Engine"], cluster["EngineVersion"]) == (questions.ENGINE, questions.ENGINE_VERSION)
    projects = resources(pipeline_template(), "AWS::CodeBuild::Project").values()
    assert {each["Environment"]["Image"] for each in projects} == {questions.BUILD_IMAGE}
