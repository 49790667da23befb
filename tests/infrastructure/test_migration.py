"""The means of a move exist only while an environment asks for them, with the rights that they need and no others."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import names
from names import Function
from pipeline.review.findings import REPORT
from pipeline_app import create_app
from stages.replication import TABLES
from tests.infrastructure.platform_template import PlatformTemplate, as_list, logical_id, text
from tests.infrastructure.promotion import one_environment, with_migration

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def moving() -> PlatformTemplate:
    """Dev, to which another system moves by AWS DMS."""
    [file] = with_migration().template_files()
    return PlatformTemplate(file, "dev")


def allowed(template: PlatformTemplate, policy: str) -> dict[str, str]:
    """The resources of each action that the policy allows."""
    found: dict[str, str] = {}
    for id, statement in template.statements():
        if id.startswith(policy):
            for action in as_list(statement["Action"]):
                found[action] = found.get(action, "") + text(statement["Resource"])
    return found


def test_without_the_setting_nobody_may_write_customers(platform: PlatformTemplate) -> None:
    assert not [id for id in platform.resources() if "Migration" in id]
    assert not [name for name in platform.outputs if "Migration" in name or "Replication" in name]
    assert "MigrationSecretArn" not in platform.only("Custom::DatabaseSchema")


def denied_imports(template: PlatformTemplate) -> dict[str, Any]:
    """The statement of the audit bucket's policy about records of imports."""
    policies = template.properties("AWS::S3::BucketPolicy")
    [found] = [
        each
        for policy in policies
        for each in policy["PolicyDocument"]["Statement"]
        if each.get("Sid") == "ImportsAreWrittenByTheMigration"
    ]
    assert (found["Effect"], found["Action"], "/imports/*" in text(found["Resource"])) == ("Deny", "s3:PutObject", True)
    return dict(found)


def test_records_of_imports_outlive_the_setting_and_nobody_can_add_to_them_without_it(
    platform: PlatformTemplate, moving: PlatformTemplate
) -> None:
    assert "Condition" not in denied_imports(platform)
    assert denied_imports(platform)["Principal"] == {"AWS": "*"}
    assert "MigrationFunction" in text(denied_imports(moving)["Condition"]["ArnNotEquals"]["aws:PrincipalArn"])


def test_the_function_knows_whether_the_stable_version_leaves_refunds_to_the_old_system(
    moving: PlatformTemplate,
) -> None:
    amends = names.Function.TRANSACTIONS.of("dev")
    function = moving.named("AWS::Lambda::Function", FunctionName=names.resource(names.MIGRATION, "dev"))
    variables = function["Environment"]["Variables"]
    released = moving.named("AWS::Lambda::Function", FunctionName=amends)["Environment"]["Variables"]
    assert variables["SOURCE_AMENDS"] == released["SOURCE_AMENDS"] == "true"
    assert ":blue" in text(variables["STABLE_TRANSACTIONS"])
    assert ":blue" in allowed(moving, "MigrationFunctionPolicy")["lambda:GetFunctionConfiguration"]


def test_with_it_no_other_store_and_no_other_right_changes(moving: PlatformTemplate) -> None:
    [file] = one_environment("dev").template_files()
    without = PlatformTemplate(file, "dev")
    # Then no other store and no other right changes. The released functions know the role of the shadow
    guarded = ("AWS::IAM::", "AWS::S3::", "AWS::EC2::", "AWS::RDS::", "AWS::DynamoDB::", "AWS::KMS::", "Custom::")
    there = moving.resources()
    differing = {
        id
        for id, resource in without.resources().items()
        if resource["Type"].startswith(guarded) and there.get(id) != resource and not id.startswith("Compute")
    }
    assert {id.rstrip("0123456789ABCDEF") for id in differing} == {
        "DatabaseSchemaPolicy",
        "DatabaseSchemaVersion",
        "StorageAccessLogsPolicy",
        "StorageAuditPolicy",
        "StorageEmptierPolicy",
    }


def test_context_switches_it_on_for_a_rehearsal(tmp_path: Path) -> None:
    create_app(
        context={"environmentSuffix": "dev", "migration": "on"}, outdir=str(tmp_path), tree_metadata=False
    ).synth()
    [file] = tmp_path.rglob("*.template.json")
    template = PlatformTemplate(file, "dev")
    assert "MigrationFunctionName" in template.outputs
    assert not template.resources("AWS::DMS::ReplicationConfig")


def test_the_function_logs_in_as_its_own_user_and_reads_files_alone(moving: PlatformTemplate) -> None:
    # Given the function
    name = names.resource(names.MIGRATION, "dev")
    function = moving.named("AWS::Lambda::Function", FunctionName=name)
    variables = function["Environment"]["Variables"]
    # Then it has the secret of its own user, at the writer
    assert logical_id(variables["DATABASE_SECRET_ARN"]).startswith("DatabaseMigrationSecret")
    assert "Endpoint.Address" in text(variables["DATABASE_HOST"])
    # And may read the bucket, and write reports beside its files
    rights = allowed(moving, "MigrationFunctionPolicy")
    own = {action for action in rights if action.split(":")[0] in ("s3", "secretsmanager", "dynamodb", "ssm")}
    assert own == {
        "dynamodb:BatchGetItem", "dynamodb:PutItem",
        "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObject", "s3:ListBucket", "s3:ListBucketVersions",
        "s3:PutObject", "secretsmanager:GetSecretValue",
    }  # fmt: skip
    # And delete files, and no report
    assert rights["s3:DeleteObjectVersion"].count("MigrationFiles") == 2
    assert all(f"/*.{form}" in rights["s3:DeleteObjectVersion"] for form in ("csv", "parquet"))
    # And payments into the ledger, with the keys of their cards and the records of imports: no other record, no seal
    assert "/*.report.json" in rights["s3:PutObject"]
    assert "/imports/*" in rights["s3:PutObject"]
    assert "StorageAudit" not in rights["s3:DeleteObject"]
    assert not any(folder in text(rights) for folder in ("/audit/*", "/seals/*"))
    assert "DatabaseMigrationSecret" in rights["secretsmanager:GetSecretValue"]
    assert "ComputeCardFingerprint" in rights["secretsmanager:GetSecretValue"]


def test_payments_functions_may_not_use_it(moving: PlatformTemplate) -> None:
    for function in Function:
        variables = moving.named("AWS::Lambda::Function", FunctionName=function.of("dev"))["Environment"]["Variables"]
        assert "Migration" not in text(variables)


def test_files_have_a_key_of_their_own_and_none_expires_before_it_is_applied(moving: PlatformTemplate) -> None:
    [id] = [id for id in moving.resources("AWS::S3::Bucket") if id.startswith("MigrationFiles")]
    bucket = moving.resources()[id]["Properties"]
    [rule] = bucket["LifecycleConfiguration"]["Rules"]
    assert "ExpirationInDays" not in rule
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    [encryption] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    key = encryption["ServerSideEncryptionByDefault"]["KMSMasterKeyID"]
    assert logical_id(key).startswith("MigrationKey")
    assert id in [logical_id(each["BucketName"]) for each in moving.properties("Custom::EmptyBucket")]


def test_changes_are_applied_every_minute_and_the_alarm_rings_without_news(moving: PlatformTemplate) -> None:
    _, rule = moving.schedule(names.resource(names.MIGRATION, "dev"))
    assert rule["Properties"]["ScheduleExpression"] == "rate(1 minute)"
    assert any(each.startswith("DatabaseSchemaVersion") for each in rule["DependsOn"])
    alarm = moving.named("AWS::CloudWatch::Alarm", AlarmName=names.resource("migration-lag", "dev"))
    assert (alarm["MetricName"], alarm["Threshold"], alarm["TreatMissingData"]) == (
        names.MIGRATION_LAG,
        300,
        "breaching",
    )
    assert "docs/runbooks/migration-lag.md" in alarm["AlarmDescription"]


def test_the_password_of_its_user_rotates(moving: PlatformTemplate) -> None:
    secrets = [logical_id(each["SecretId"]) for each in moving.properties("AWS::SecretsManager::RotationSchedule")]
    assert [each for each in secrets if each.startswith("DatabaseMigrationSecret")]


def test_dms_writes_what_the_function_reads(moving: PlatformTemplate) -> None:
    settings = moving.named("AWS::DMS::Endpoint", EndpointType="target")["S3Settings"]
    expected = {
        "DataFormat": "csv",
        "Rfc4180": True,
        "AddColumnName": True,
        "IncludeOpForFullLoad": True,
        "PreserveTransactions": True,
        "CdcPath": "changes",
        "CsvNullValue": r"\N",
        "EncryptionMode": "SSE_KMS",
    }
    assert {name: settings[name] for name in expected} == expected
    replication = moving.only("AWS::DMS::ReplicationConfig")
    tables = [rule["object-locator"]["table-name"] for rule in replication["TableMappings"]["rules"]]
    assert tuple(tables) == TABLES
    assert replication["ReplicationType"] == "full-load-and-cdc"


def test_dms_reads_the_secret_and_reaches_the_old_system_alone(moving: PlatformTemplate) -> None:
    source = moving.named("AWS::DMS::Endpoint", EndpointType="source")
    assert source["SslMode"] == "require"
    assert "Password" not in source
    assert set(allowed(moving, "MigrationReplicationSourcePolicy")) == {"kms:Decrypt", "secretsmanager:GetSecretValue"}
    rights = allowed(moving, "MigrationReplicationTargetPolicy")
    assert set(rights) == {"kms:Decrypt", "kms:GenerateDataKey", "s3:DeleteObject", "s3:ListBucket", "s3:PutObject"}
    assert "/dms/*" in rights["s3:PutObject"]
    [group] = [
        resource["Properties"]
        for id, resource in moving.resources("AWS::EC2::SecurityGroup").items()
        if id.startswith("MigrationReplication")
    ]
    assert [(each["CidrIp"], each["FromPort"]) for each in group["SecurityGroupEgress"]] == [
        ("10.20.0.0/16", 5432),
        ("0.0.0.0/0", 443),
    ]
    assert "SecurityGroupIngress" not in group


def test_every_finding_about_it_is_acknowledged() -> None:
    assembly = with_migration()
    assert not any(each["violations"] for each in assembly.read(REPORT)["pluginReports"])
    tools = Path(sys.executable).parent
    for command in (
        [sys.executable, "-m", "pipeline.compliance.checkov", assembly.folder],
        [tools / "cfn-lint", "--non-zero-exit-code", "warning", *map(str, assembly.template_files())],
    ):
        environ = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
