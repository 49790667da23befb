"""The template of the pipeline's stack."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import aws_cdk as cdk
import boto3
import pytest
from aws_cdk import assertions

from environments import DEV, PIPELINE, PROMOTION_ORDER, Environment, PipelineSettings
from names import Role
from pipeline.evidence.codepipeline import ASSEMBLY, PipelineExecution
from pipeline.evidence.reports import GATE_REPORTS
from pipeline.stack import PipelineStack
from pipeline_app import committed_context
from stages.platform_stage import PlatformStage
from tests.infrastructure.platform_template import as_list
from tests.infrastructure.promotion import elsewhere, pipeline_template, promotion, resources

ROOT = Path(__file__).resolve().parents[2]
APPROVAL = "payment-platform-prod.PromoteToProd"


def pipeline() -> dict[str, Any]:
    [found] = resources(pipeline_template(), "AWS::CodePipeline::Pipeline").values()
    return found


def action(stage: str, name: str) -> dict[str, Any]:
    [found] = [a for s in pipeline()["Stages"] if s["Name"] == stage for a in s["Actions"] if a["Name"] == name]
    return found


def project(stage: str, name: str) -> dict[str, Any]:
    return resources(pipeline_template(), "AWS::CodeBuild::Project")[
        action(stage, name)["Configuration"]["ProjectName"]["Ref"]
    ]


def statements(role: dict[str, Any]) -> list[dict[str, Any]]:
    """The statements of the policies attached to a role (``{"Fn::GetAtt": [id, "Arn"]}``)."""
    attached = {"Ref": role["Fn::GetAtt"][0]}
    policies = resources(pipeline_template(), "AWS::IAM::ManagedPolicy").values()
    return [s for each in policies if attached in each["Roles"] for s in each["PolicyDocument"]["Statement"]]


def test_one_execution_waits_for_the_other_and_pushes_to_main_start_it() -> None:
    assert (pipeline()["PipelineType"], pipeline()["ExecutionMode"]) == ("V2", "QUEUED")
    source = action("Source", "Source")
    assert source["ActionTypeId"]["Provider"] == "CodeStarSourceConnection"
    assert source["Configuration"] | {"ConnectionArn": None} == {
        "ConnectionArn": None,
        "FullRepositoryId": PIPELINE.repository,
        "BranchName": "main",
        "DetectChanges": True,
    }


def test_the_connection_comes_from_the_account_at_each_deployment() -> None:
    # A value in the code would name one account; a plain parameter would be lost when the pipeline deploys itself.
    parameter = action("Source", "Source")["Configuration"]["ConnectionArn"]["Ref"]
    assert pipeline_template()["Parameters"][parameter] == {
        "Type": "AWS::SSM::Parameter::Value<String>",
        "Default": "/payment/pipeline/connection-arn",
    }
    allowed = {a for s in statements(action("Source", "Source")["RoleArn"]) for a in s["Action"]}
    assert {"codeconnections:UseConnection", "codestar-connections:UseConnection"} <= allowed


def test_the_pipeline_updates_itself_before_it_touches_an_environment() -> None:
    assert [stage["Name"] for stage in pipeline()["Stages"]] == [
        "Source", "Build", "ApprovePipeline", "UpdatePipeline", "Assets", "Dev", "Staging", "Prod",
    ]  # fmt: skip
    specification = json.loads(project("UpdatePipeline", "SelfMutate")["Source"]["BuildSpec"])
    version = json.loads((ROOT / "package.json").read_text())["devDependencies"]["aws-cdk"]
    assert specification["phases"]["install"]["commands"] == [f"npm install -g aws-cdk@{version}"]
    *_, command = specification["phases"]["build"]["commands"]
    assert command.startswith("cdk -a . deploy payment-pipeline ")


def test_every_tool_that_a_build_installs_globally_is_pinned() -> None:
    pinned = {
        f"{name}@{version}"
        for name, version in json.loads((ROOT / "package.json").read_text())["devDependencies"].items()
    }
    specifications = [
        each["Source"]["BuildSpec"] for each in resources(pipeline_template(), "AWS::CodeBuild::Project").values()
    ]
    specifications += [file.read_text() for file in promotion().folder.rglob("buildspec-*.yaml")]
    installed = {
        tool for each in specifications for tool in re.findall(r"npm install -g (?:\S+=\S+ )*([^\s\"]+)", each)
    }
    assert installed == pinned


def test_the_synthesis_tests_the_commit_with_pinned_tools_only() -> None:
    phases = json.loads(project("Build", "Synth")["Source"]["BuildSpec"])["phases"]
    install, build = phases["install"]["commands"], phases["build"]["commands"]
    assert all("--require-hashes" in each for each in install if "pip install" in each or "pip sync" in each)
    # CodeBuild's pyenv knows the commands of packages that uv installed only after a rehash.
    [packages] = [index for index, each in enumerate(install) if each.startswith("uv pip install")]
    assert "pyenv rehash" in install[packages + 1]
    # uv would take a Python of its own choice, and the image has several.
    homes = [each for each in install if each.startswith("uv venv")]
    assert [each.rpartition("/")[2] for each in homes] == ["checkov", "audit"]
    assert all('--python "$(command -v python)"' in each for each in homes)
    assert [each for each in install if "npm" in each] == ["npm ci --no-audit --no-fund --omit=optional"]
    *checks, checkov, audit, record = build
    assert [each.split(" --")[0] for each in checks] == ["python -m pytest tests/unit", "npx cdk synth", "cfn-lint"]
    assert checkov.endswith("python -m pipeline.compliance.checkov")
    # The audit is evidence only, and everything that came before is recorded after it.
    assert audit.endswith("python -m pipeline.compliance.advisories --report reports/advisories.json || true")
    assert record.startswith("python -m pipeline.evidence record --tests reports/unit.junit.xml")


def test_approvers_are_notified_of_approvals_and_of_failures() -> None:
    [topic] = resources(pipeline_template(), "AWS::SNS::Topic")
    assert action("Prod", APPROVAL)["Configuration"]["NotificationArn"] == {"Ref": topic}
    assert action("ApprovePipeline", "ChangePipeline")["Configuration"]["NotificationArn"] == {"Ref": topic}
    [subscription] = resources(pipeline_template(), "AWS::SNS::Subscription").values()
    assert subscription["Endpoint"] == PIPELINE.approver_email
    [rule] = resources(pipeline_template(), "AWS::CodeStarNotifications::NotificationRule").values()
    assert rule["EventTypeIds"] == ["codepipeline-pipeline-pipeline-execution-failed"]
    assert rule["Targets"] == [{"TargetAddress": {"Ref": topic}, "TargetType": "SNS"}]


def test_failure_notices_reach_the_encrypted_topic() -> None:
    # CodeStar Notifications sends no aws:SourceAccount: a condition on it would never be met.
    [statement] = [
        each
        for key in resources(pipeline_template(), "AWS::KMS::Key").values()
        for each in key["KeyPolicy"]["Statement"]
        if each["Principal"].get("Service") == "codestar-notifications.amazonaws.com"
    ]
    [condition] = statement["Condition"].values()
    assert list(condition) == ["kms:ViaService"]
    assert json.dumps(condition["kms:ViaService"]).startswith(('"sns.', '{"Fn::Join": ["", ["sns."'))
    assert {"kms:Decrypt", "kms:GenerateDataKey"} <= set(statement["Action"])
    [topic_policy] = resources(pipeline_template(), "AWS::SNS::TopicPolicy").values()
    allowed = [s for s in topic_policy["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]
    assert ("sns:Publish", {"Service": "codestar-notifications.amazonaws.com"}) in [
        (each["Action"], each["Principal"]) for each in allowed
    ]


def test_artifacts_logs_and_notices_are_encrypted_with_the_pipelines_own_rotated_key() -> None:
    template = pipeline_template()
    [key] = [id for id, each in resources(template, "AWS::KMS::Key").items() if each.get("EnableKeyRotation")]
    arn = {"Fn::GetAtt": [key, "Arn"]}
    assert pipeline()["ArtifactStore"]["EncryptionKey"]["Id"] == arn
    [logs] = resources(template, "AWS::Logs::LogGroup").values()
    assert (logs["KmsKeyId"], logs["RetentionInDays"]) == (arn, 365)
    [topic] = resources(template, "AWS::SNS::Topic").values()
    assert topic["KmsMasterKeyId"] == arn


def artifact_bucket() -> tuple[str, dict[str, Any]]:
    id = pipeline()["ArtifactStore"]["Location"]["Ref"]
    return id, resources(pipeline_template(), "AWS::S3::Bucket")[id]


def test_evidence_outlives_the_artifacts() -> None:
    # CodePipeline's folder is named by the first 20 characters of the pipeline's name.
    rules = artifact_bucket()[1]["LifecycleConfiguration"]["Rules"]
    kept = {each["Prefix"]: each["ExpirationInDays"] for each in rules}
    assert kept == {"payment-pipeline/": 365, "evidence/": 3 * 365}
    assert pipeline()["Name"][:20] == "payment-pipeline"


def policy_of_artifacts() -> list[dict[str, Any]]:
    [policy] = [each for each in resources(pipeline_template(), "AWS::S3::BucketPolicy").values()
                if each["Bucket"] == {"Ref": artifact_bucket()[0]}]  # fmt: skip
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


def test_the_function_that_empties_the_evidence_bucket_can_not_change_who_may_write_to_it() -> None:
    by_action = {
        effect: [s["Principal"] for s in policy_of_artifacts()
                 if s["Effect"] == effect and "s3:PutBucketPolicy" in as_list(s["Action"])]
        for effect in ("Allow", "Deny")
    }  # fmt: skip
    assert by_action["Allow"], "CDK allows it no longer: delete the denial"
    assert by_action["Deny"] == by_action["Allow"]


def evidence_rules() -> dict[str, dict[str, Any]]:
    """The denials of the artifact bucket's policy under ``evidence/``, by the statement's name and folder."""
    return {
        f"{each['Sid']} {each['Resource']['Fn::Join'][1][1]}": each["Condition"]
        for each in policy_of_artifacts()
        if (each["Effect"], each["Action"], each["Principal"]) == ("Deny", "s3:PutObject", {"AWS": "*"})
        and "NotResource" not in each
        and each["Resource"]["Fn::Join"][1][1].startswith("/evidence/")
    }


def test_evidence_is_never_replaced() -> None:
    assert evidence_rules()["EvidenceIsWrittenOnce /evidence/*"] == {"Null": {"s3:if-none-match": "true"}}


STEPS = ("LoadGate", "BlueGreenShift", "Evidence")
"""The steps of a release. Each may have to keep its evidence: the last one, or one that fails."""


def test_only_the_steps_of_a_release_write_evidence() -> None:
    # Steps that hand on artifacts may write everywhere else in the bucket.
    everybody: list[Any] = []
    for stage in (each.name.capitalize() for each in PROMOTION_ORDER):
        roles = [project(stage, step)["ServiceRole"] for step in STEPS]
        everybody += roles
        rule = evidence_rules()[f"EvidenceOf{stage} /evidence/{stage.lower()}/*"]
        assert rule == {"ArnNotEquals": {"aws:PrincipalArn": roles}}
    rule = evidence_rules()["EvidenceIsWrittenByItsSteps /evidence/*"]
    assert rule == {"ArnNotEquals": {"aws:PrincipalArn": everybody}}


@pytest.mark.parametrize("name", [each.name for each in PROMOTION_ORDER])
def test_evidence_consists_of_the_commit_its_assembly_and_the_reports_of_gate_and_shift(name: str) -> None:
    # Given the outputs of the earlier steps, in the folders that the command reads
    stage = name.capitalize()
    made = {each: action(stage, each)["OutputArtifacts"][0]["Name"] for each in ("LoadGate", "BlueGreenShift")}
    made["Inspect"] = action("Build", "Inspect")["OutputArtifacts"][0]["Name"]
    for step in ("LoadGate", "BlueGreenShift"):
        assert (
            json.loads(project(stage, step)["Source"]["BuildSpec"])["artifacts"]["base-directory"] == f"reports/{name}"
        )
    evidence = action(stage, "Evidence")
    source = action("Source", "Source")["OutputArtifacts"][0]["Name"]
    assert evidence["Configuration"]["PrimarySource"] == source
    assert {each["Name"] for each in evidence["InputArtifacts"]} == {source, *made.values()}
    install = json.loads(project(stage, "Evidence")["Source"]["BuildSpec"])["phases"]["install"]["commands"]
    links = dict(re.findall(r'ln -s -- "\$CODEBUILD_SRC_DIR_(\w+)" "(\S+)"', "\n".join(install)))
    assert links == {
        made["Inspect"]: str(ASSEMBLY),
        made["LoadGate"]: f"reports/{name}/gate",
        made["BlueGreenShift"]: f"reports/{name}/shift",
    }


@pytest.mark.parametrize("name", [each.name for each in PROMOTION_ORDER])
def test_a_step_that_fails_has_the_assembly_and_the_reports_of_the_steps_before(name: str) -> None:
    stage = name.capitalize()
    source = action("Source", "Source")["OutputArtifacts"][0]["Name"]
    assembly = action("Build", "Inspect")["OutputArtifacts"][0]["Name"]
    gate = action(stage, "LoadGate")["OutputArtifacts"][0]["Name"]
    for step, inputs in (("LoadGate", {assembly: str(ASSEMBLY)}),
                         ("BlueGreenShift", {assembly: str(ASSEMBLY), gate: str(GATE_REPORTS)})):  # fmt: skip
        assert {each["Name"] for each in action(stage, step)["InputArtifacts"]} == {source, *inputs}
        phases = json.loads(project(stage, step)["Source"]["BuildSpec"])["phases"]
        links = re.findall(r'ln -s -- "\$CODEBUILD_SRC_DIR_(\w+)" "(\S+)"', "\n".join(phases["install"]["commands"]))
        assert dict(links) == inputs
        [command] = phases["build"]["commands"]
        assert f"|| {{ code=$?; env -u PLATFORM_ROLE_ARN python -m pipeline.evidence collect --env {name}" in command


def signing_key(environment: str) -> str:
    """The logical id of the key that signs the evidence of ``environment``."""
    aliases = resources(pipeline_template(), "AWS::KMS::Alias").values()
    [key] = [a["TargetKeyId"] for a in aliases if a["AliasName"] == f"alias/payment-pipeline-evidence-{environment}"]
    id: str = key["Fn::GetAtt"][0]
    assert resources(pipeline_template(), "AWS::KMS::Key")[id]["KeyUsage"] == "SIGN_VERIFY"
    return id


def test_each_environment_signs_with_a_key_that_no_other_may_use() -> None:
    keys = {each.name: {"Fn::GetAtt": [signing_key(each.name), "Arn"]} for each in PROMOTION_ORDER}
    signers = {
        policy["Roles"][0]["Ref"]: statement["Resource"]
        for policy in resources(pipeline_template(), "AWS::IAM::ManagedPolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if "kms:Sign" in statement["Action"]
    }
    expected = {
        project(name.capitalize(), step)["ServiceRole"]["Fn::GetAtt"][0]: [key]
        for name, key in keys.items()
        for step in STEPS
    }
    assert signers == expected


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", [each.name for each in PROMOTION_ORDER])
def test_a_step_knows_its_execution_and_may_add_evidence_of_its_own_environment_only(name: str, step: str) -> None:
    # Given
    key = signing_key(name)
    bucket, _ = artifact_bucket()
    here = project(name.capitalize(), step)
    # Then what it is told
    variables = {each["Name"]: each["Value"] for each in here["Environment"]["EnvironmentVariables"]}
    assert variables == {
        "PIPELINE_NAME": pipeline()["Name"],
        "EVIDENCE_BUCKET": {"Ref": bucket},
        "EVIDENCE_KEY_ARN": {"Fn::GetAtt": [key, "Arn"]},
    }
    told_by_action = json.loads(action(name.capitalize(), step)["Configuration"]["EnvironmentVariables"])
    by_name = {each["name"]: each["value"] for each in told_by_action}
    assert by_name["PIPELINE_EXECUTION_ID"] == "#{codepipeline.PipelineExecutionId}"
    assert by_name["ASSEMBLY_DIGEST"] == f"#{{{action('Build', 'Inspect')['Namespace']}.ASSEMBLY}}"
    # And these, with the variables of CodeBuild, are all that the command reads
    told = [*variables, "PIPELINE_EXECUTION_ID", "ASSEMBLY_DIGEST", "CODEBUILD_RESOLVED_SOURCE_VERSION"]
    assert PipelineExecution(boto3.Session(region_name="us-east-1"), dict.fromkeys(told, "x")).id == "x"
    # And its permissions
    allowed = {action: each["Resource"] for each in statements(here["ServiceRole"]) for action in each["Action"]}
    bundles = {"Fn::Join": ["", [{"Fn::GetAtt": [bucket, "Arn"]}, f"/evidence/{name}/*"]]}
    assert [bundles] in [s["Resource"] for s in statements(here["ServiceRole"]) if "s3:PutObject" in s["Action"]]
    assert [bundles] in [s["Resource"] for s in statements(here["ServiceRole"]) if "s3:GetObject" in s["Action"]]
    assert allowed["kms:Sign"] == [{"Fn::GetAtt": [key, "Arn"]}]
    assert allowed["codepipeline:GetPipelineState"][0]["Fn::Join"][1][-1] == f":{pipeline()['Name']}"
    assert "kms:GenerateDataKey" in allowed, "the bucket is encrypted"


def test_buckets_are_emptied_before_they_are_deleted_with_the_stack() -> None:
    emptied = resources(pipeline_template(), "Custom::S3AutoDeleteObjects").values()
    buckets = resources(pipeline_template(), "AWS::S3::Bucket")
    assert sorted(each["BucketName"]["Ref"] for each in emptied) == sorted(buckets)


def test_every_build_writes_to_that_one_log_group() -> None:
    [group] = resources(pipeline_template(), "AWS::Logs::LogGroup")
    for each in resources(pipeline_template(), "AWS::CodeBuild::Project").values():
        assert each["LogsConfig"]["CloudWatchLogs"] == {"GroupName": {"Ref": group}, "Status": "ENABLED"}


@pytest.mark.parametrize("name", [each.name for each in PROMOTION_ORDER])
@pytest.mark.parametrize(
    ("step", "roles"), [("LoadGate", [Role.LOAD_TEST]), ("BlueGreenShift", [Role.LOAD_TEST, Role.RELEASE])]
)
def test_a_step_may_assume_the_roles_of_its_own_environment_and_no_other(
    name: str, step: str, roles: list[Role]
) -> None:
    service_role = project(name.capitalize(), step)["ServiceRole"]
    assumable = [s["Resource"] for s in statements(service_role) if "sts:AssumeRole" in s["Action"]]
    found = [json.dumps(each).rpartition(":role/")[2].rstrip('"]}') for resource in assumable for each in resource]
    assert found == [role.of(name) for role in roles]


def test_no_role_has_a_wildcard_action() -> None:
    for each in resources(pipeline_template(), "AWS::IAM::ManagedPolicy").values():
        for statement in each["PolicyDocument"]["Statement"]:
            assert not [action for action in statement["Action"] if "*" in action]
    assert not resources(pipeline_template(), "AWS::IAM::Policy"), "an inline policy escaped the narrowing"


def test_each_build_with_reports_has_a_report_group() -> None:
    groups = {each["Name"] for each in resources(pipeline_template(), "AWS::CodeBuild::ReportGroup").values()}
    reported = set()
    for each in resources(pipeline_template(), "AWS::CodeBuild::Project").values():
        specification = each["Source"]["BuildSpec"]
        reports = json.loads(specification).get("reports", {}) if specification.startswith("{") else {}
        for name, report in reports.items():
            reported.add(f"{each['Name']}-{name}")
            assert report["file-format"] == "JUNITXML"
            assert {"codebuild:CreateReport", "codebuild:BatchPutTestCases"} <= {
                action for statement in statements(each["ServiceRole"]) for action in statement["Action"]
            }
    assert reported == groups
    assert len(groups) == 1 + len(PROMOTION_ORDER)


def test_the_time_limit_of_a_step_covers_its_settings() -> None:
    for each in PROMOTION_ORDER:
        shift = project(each.name.capitalize(), "BlueGreenShift")["TimeoutInMinutes"]
        watched = len(each.release.weights) * (each.release.bake_seconds + each.release.hold_seconds)
        assert shift * 60 > watched + each.release.pause_seconds + 15 * 60
        assert project(each.name.capitalize(), "LoadGate")["TimeoutInMinutes"] * 60 > each.gate.duration_seconds + 600


def test_the_roles_of_the_builds_have_the_names_that_the_environments_trust() -> None:
    named = {
        id: each["RoleName"]
        for id, each in resources(pipeline_template(), "AWS::IAM::Role").items()
        if "RoleName" in each
    }
    for environment in PROMOTION_ORDER:
        stage = environment.name.capitalize()
        for action, build in (("LoadGate", "load-gate"), ("BlueGreenShift", "shift")):
            [role] = project(stage, action)["ServiceRole"]["Fn::GetAtt"][:1]
            assert named.pop(role) == f"payment-step-{build}-{environment.name}"
    assert not named


def test_an_environment_in_another_account_is_deployed_under_that_accounts_roles() -> None:
    # Given a dev environment of its own account
    app = cdk.App(context=committed_context(), builtin_cloud_formation_validation=False)
    dev = replace(DEV, account="111111111111", region="eu-west-1")
    platforms = {dev: PlatformStage(app, "Dev", environment=dev)}
    # When the pipeline, in an account of its own, promotes to it
    settings = replace(PIPELINE, account="999999999999", region="eu-west-1")
    stack = PipelineStack(app, "pipeline", settings=settings, platforms=platforms)
    template = assertions.Template.from_stack(stack).to_json()
    text = json.dumps(template)
    # Then CloudFormation and the steps act under roles of the environment's account, which may read the artifacts
    assert re.search(r":iam::111111111111:role/cdk-\w+-deploy-role-111111111111-eu-west-1", text)
    assert ":iam::111111111111:role/payment-release-dev" in text
    assert ":iam::999999999999:role/payment-" not in text
    readers = [
        json.dumps(statement["Principal"])
        for policy in resources(template, "AWS::S3::BucketPolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow" and "s3:GetObject*" in statement["Action"]
    ]
    assert any(":role/cdk-hnb659fds-deploy-role-111111111111-eu-west-1" in each for each in readers)


def pipeline_with(dev: Environment, settings: PipelineSettings) -> cdk.App:
    """A pipeline for this one environment."""
    app = cdk.App(context=committed_context(), builtin_cloud_formation_validation=False, analytics_reporting=False)
    PipelineStack(app, "pipeline", settings=settings, platforms={dev: PlatformStage(app, "Dev", environment=dev)})
    return app


def test_an_environment_in_another_region_gets_the_artifacts_from_a_bucket_and_key_there() -> None:
    # Given dev in eu-central-1 and in another account; when the pipeline is in eu-west-1
    here, there = (
        elsewhere().read("payment-pipeline.template.json"),
        elsewhere().read("payment-pipeline-artifacts-eu-central-1.template.json"),
    )
    [found] = resources(here, "AWS::CodePipeline::Pipeline").values()
    # Then it deploys dev there, and nothing else
    places = {
        (stage["Name"], action["Region"])
        for stage in found["Stages"]
        for action in stage["Actions"]
        if action.get("Region")
    }
    assert places == {("Dev", "eu-central-1")}
    # And hands on what dev's role may read and decrypt
    stores = {each["Region"]: each["ArtifactStore"] for each in found["ArtifactStores"]}
    assert stores.keys() == {"eu-west-1", "eu-central-1"}
    bucket = resources(there, "AWS::S3::Bucket")["Artifacts82DD59A1"]
    assert stores["eu-central-1"]["Location"] == bucket["BucketName"]
    [key], [alias] = resources(there, "AWS::KMS::Key").values(), resources(there, "AWS::KMS::Alias").values()
    assert stores["eu-central-1"]["EncryptionKey"]["Id"].endswith(f":{alias['AliasName']}")
    assert key["EnableKeyRotation"]
    readers = [json.dumps(each) for each in (key, *resources(there, "AWS::S3::BucketPolicy").values())]
    role = "role/cdk-hnb659fds-deploy-role-111122223333-eu-central-1"
    assert [role in each for each in readers] == [True, False, True]


def test_the_pipeline_uses_no_key_of_another_region_but_that_of_its_artifacts() -> None:
    template = elsewhere().read("payment-pipeline.template.json")
    granted = [
        statement
        for policy in resources(template, "AWS::IAM::ManagedPolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if any(action.startswith("kms:") for action in statement["Action"])
    ]
    assert not [each for each in granted if "*" in each["Resource"]]
    [abroad] = [each for each in granted if "Condition" in each]
    assert json.dumps(abroad["Resource"]).count("kms:eu-central-1:000011112222:key/*") == 1
    assert abroad["Condition"] == {"ForAnyValue:StringEquals": {"kms:ResourceAliases": ["alias/payment-pipeline"]}}


def test_evidence_stays_in_the_pipelines_own_region() -> None:
    here = elsewhere().read("payment-pipeline.template.json")
    [found] = resources(here, "AWS::CodePipeline::Pipeline").values()
    [own] = [each["ArtifactStore"] for each in found["ArtifactStores"] if each["Region"] == "eu-west-1"]
    buckets = [
        variable["Value"]
        for project in resources(here, "AWS::CodeBuild::Project").values()
        for variable in project["Environment"].get("EnvironmentVariables", [])
        if variable["Name"] == "EVIDENCE_BUCKET"
    ]
    assert buckets == [own["Location"]] * len(PROMOTION_ORDER) * len(STEPS)


def test_an_environment_in_another_region_of_the_same_account_may_read_the_artifacts_too() -> None:
    # Given one account; its role for deployments has no right of its own to buckets there
    settings = replace(PIPELINE, account="999999999999", region="us-east-1")
    app = pipeline_with(replace(DEV, account="999999999999", region="eu-west-1"), settings)
    stack = cast(cdk.Stack, app.node.find_child("payment-pipeline-artifacts-eu-west-1"))
    template = assertions.Template.from_stack(stack).to_json()
    policies = [*resources(template, "AWS::S3::BucketPolicy").values(), *resources(template, "AWS::KMS::Key").values()]
    # Then the bucket's policy and the key's name it
    role = ":role/cdk-hnb659fds-deploy-role-999999999999-eu-west-1"
    assert [role in json.dumps(each) for each in policies].count(True) == 2


def test_environments_in_one_region_need_no_further_stack() -> None:
    assert promotion().top_level_stacks() == ["payment-pipeline"]
    assert "ArtifactStores" not in pipeline()


@pytest.mark.parametrize(
    ("account", "region", "settings", "message"),
    [
        (None, "eu-west-1", {}, "dev is in eu-west-1, another region than the pipeline's"),
        (None, "eu-west-1", {"account": "9" * 12, "region": "us-east-1"}, "and dev its account"),
        ("1" * 12, "us-gov-west-1", {"account": "9" * 12, "region": "us-east-1"}, "different partitions"),
        (None, "cn-north-1", {"region": "cn-north-1"}, "no CloudFormation action in China"),
    ],
)
def test_a_place_that_the_pipeline_can_not_deploy_to_is_refused(
    account: str | None, region: str, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pipeline_with(replace(DEV, account=account, region=region), replace(PIPELINE, **settings))


def test_an_environment_in_another_account_needs_the_pipelines_account_named() -> None:
    app = cdk.App(context=committed_context(), builtin_cloud_formation_validation=False)
    dev, settings = replace(DEV, account="111111111111", region="eu-west-1"), replace(PIPELINE, account=None)
    with pytest.raises(ValueError, match="dev has an account of its own"):
        PipelineStack(app, "pipeline", settings=settings, platforms={dev: PlatformStage(app, "Dev", environment=dev)})
