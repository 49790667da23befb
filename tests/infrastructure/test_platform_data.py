"""The stored data: its place, encryption, retention, and fate when the stack is deleted."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from environments import PROMOTION_ORDER
from lambdas.deployment.empty_bucket import TAG
from localcloud import postgres
from names import Role
from stages.database import migrations_hash
from tests.infrastructure.platform_template import PlatformTemplate, as_list, logical_id, references, text

STATEFUL = {
    "StorageIdempotency5C96D584": "AWS::DynamoDB::Table",
    "StorageReleases6BB98AF1": "AWS::DynamoDB::Table",
    "StorageTransactions8E612C29": "AWS::DynamoDB::Table",
    "StorageVelocityAF8FFF94": "AWS::DynamoDB::Table",
    "SecurityDataKeyA8BBAEFF": "AWS::KMS::Key",
    "SecurityOperationsKey51147136": "AWS::KMS::Key",
    "SealingKeyB60D65A5": "AWS::KMS::Key",
    "DatabaseCluster5B53A178": "AWS::RDS::DBCluster",
    "DatabaseClusterReader78FE9854": "AWS::RDS::DBInstance",
    "DatabaseClusterWriterD43085C6": "AWS::RDS::DBInstance",
    "StorageAccessLogs96FB524C": "AWS::S3::Bucket",
    "StorageAudit9012A908": "AWS::S3::Bucket",
    "ComputeCardFingerprintD46CE44B": "AWS::SecretsManager::Secret",
    "DatabaseAppSecret2E50FD00": "AWS::SecretsManager::Secret",
}
"""Logical ids that a refactoring must not change, because CloudFormation would replace the resources."""

STATEFUL_TYPES = (
    "AWS::DynamoDB::Table",
    "AWS::KMS::Key",
    "AWS::RDS::DBCluster",
    "AWS::RDS::DBInstance",
    "AWS::S3::Bucket",
    "AWS::SecretsManager::Secret",
)


def test_no_refactoring_replaces_a_resource_with_data(platform: PlatformTemplate) -> None:
    found = {id: resource["Type"] for id, resource in platform.resources(*STATEFUL_TYPES).items()}
    own = {"TrailLogs73276642": "AWS::S3::Bucket"} if platform.environment == "prod" else {}
    assert found == STATEFUL | own


def test_the_stack_leaves_nothing_behind(platforms: Mapping[str, PlatformTemplate]) -> None:
    # Given the environments that keep no data
    for name in ("dev", "staging", "pr42"):
        kept = {
            resource["Type"]
            for resource in platforms[name].resources().values()
            if resource.get("DeletionPolicy", "Delete") not in ("Delete", "RetainExceptOnCreate")
        }
        # Then only the schedule of RDS's own secret is left to RDS, which deletes it with the cluster
        assert kept == {"AWS::SecretsManager::RotationSchedule"}


def test_prod_keeps_its_data_and_its_logs_and_no_function_may_empty_a_bucket(
    platforms: Mapping[str, PlatformTemplate],
) -> None:
    prod = platforms["prod"]
    assert not prod.resources("Custom::EmptyBucket")
    assert not any(map(_is_marked, prod.properties("AWS::S3::Bucket")))
    for id, resource in prod.resources(*set(STATEFUL_TYPES) - {"AWS::SecretsManager::Secret"}).items():
        kept = "Delete" if id.startswith("SecurityOperationsKey") else "RetainExceptOnCreate"
        assert resource["DeletionPolicy"] == kept, id


@pytest.mark.parametrize("name", ["dev", "staging"])
def test_buckets_are_emptied_after_nothing_can_be_delivered_to_them_any_more(
    platforms: Mapping[str, PlatformTemplate], name: str
) -> None:
    platform = platforms[name]
    emptied = {
        logical_id(e["Properties"]["BucketName"]): id for id, e in platform.resources("Custom::EmptyBucket").items()
    }
    assert set(emptied) == set(platform.resources("AWS::S3::Bucket"))
    assert all(map(_is_marked, platform.properties("AWS::S3::Bucket")))
    # A dependent is deleted first: the policy by which AWS services deliver logs goes before the emptying.
    for policy in platform.resources("AWS::S3::BucketPolicy").values():
        assert emptied[logical_id(policy["Properties"]["Bucket"])] in policy["DependsOn"]


@pytest.mark.parametrize("name", ["dev", "staging"])
def test_the_audit_bucket_is_emptied_after_no_payment_can_arrive_any_more(
    platforms: Mapping[str, PlatformTemplate], name: str
) -> None:
    platform = platforms[name]
    # A dependent is deleted first. A payment that came later would leave a record, and the bucket could not be deleted.
    [emptied] = [id for id in platform.resources("Custom::EmptyBucket") if "Audit" in id]
    entrances = platform.resources("AWS::ApiGateway::Stage", "AWS::ElasticLoadBalancingV2::Listener")
    assert len(entrances) == 3
    for id, entrance in entrances.items():
        assert emptied in entrance["DependsOn"], id


def test_each_service_delivers_its_logs_under_its_own_prefix(platform: PlatformTemplate) -> None:
    [policy] = [
        each["PolicyDocument"]["Statement"]
        for each in platform.properties("AWS::S3::BucketPolicy")
        if "AccessLogs" in logical_id(each["Bucket"])
    ]
    statements = {each.get("Sid"): each for each in policy}
    # The load balancer's service is told by the path, S3's by a condition, for which accounts it may deliver.
    balancer, s3 = statements["LoadBalancerLogs"], statements["BucketAccessLogs"]
    assert "Condition" not in balancer
    assert "/load-balancer/AWSLogs/" in text(balancer["Resource"])
    assert re.search(r"/AWSLogs/\D*(AWS::AccountId|\d{12})", text(balancer["Resource"]))
    assert "aws:SourceAccount" in s3["Condition"]["StringEquals"]


def test_enhanced_monitoring_may_make_its_log_group(platform: PlatformTemplate) -> None:
    [made] = [s for _, s in platform.statements() if "logs:CreateLogGroup" in s["Action"]]
    # IAM looks for "...:log-group:RDSOSMetrics:log-stream:".
    assert text(made["Resource"]).rstrip('"]}').endswith(":log-group:RDSOSMetrics:*")


def test_one_setting_keeps_the_data(platforms: Mapping[str, PlatformTemplate]) -> None:
    template = platforms["keeping"]
    database = ("AWS::RDS::DBCluster", "AWS::RDS::DBInstance", "AWS::RDS::DBSubnetGroup")
    kept = template.resources(*database, "AWS::DynamoDB::Table")
    [audit] = [id for id in template.resources("AWS::S3::Bucket") if "Audit" in id]
    [data_key] = [id for id in template.resources("AWS::KMS::Key") if "DataKey" in id]
    for id in (*kept, audit, data_key):
        policies = (
            template.body["Resources"][id]["DeletionPolicy"],
            template.body["Resources"][id]["UpdateReplacePolicy"],
        )
        # A creation that fails must leave nothing behind: the names would be taken when it is tried again.
        assert policies == ("RetainExceptOnCreate", "Retain"), id
    assert audit not in text(template.properties("Custom::EmptyBucket"))
    # Without the tag the update that sets this setting deletes nothing, and the function may look for the tag.
    assert not _is_marked(template.resources()[audit]["Properties"])
    allowed = {a for _, s in template.statements() if audit in references(s["Resource"]) for a in as_list(s["Action"])}
    assert "s3:GetBucketTagging" in allowed
    assert "s3:DeleteObjectVersion" not in allowed


def test_only_prod_has_deletion_protection(platforms: Mapping[str, PlatformTemplate]) -> None:
    for each in PROMOTION_ORDER:
        template, locked = platforms[each.name], each.name == "prod"
        assert template.only("AWS::RDS::DBCluster")["DeletionProtection"] is locked
        for table in template.properties("AWS::DynamoDB::Table"):
            assert table["DeletionProtectionEnabled"] is locked
        attributes = template.only("AWS::ElasticLoadBalancingV2::LoadBalancer")["LoadBalancerAttributes"]
        assert {"Key": "deletion_protection.enabled", "Value": str(locked).lower()} in attributes


def test_tables_are_recoverable_encrypted_and_paid_by_request(platform: PlatformTemplate) -> None:
    tables = platform.properties("AWS::DynamoDB::Table")
    assert len(tables) == 4
    for table in tables:
        assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
        assert table["SSESpecification"]["SSEType"] == "KMS"
        assert "DataKey" in text(table["SSESpecification"]["KMSMasterKeyId"])
        assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_transactions_are_found_by_customer_card_status_and_day(dev: PlatformTemplate) -> None:
    table = dev.named("AWS::DynamoDB::Table", TableName="payment-transactions-dev")
    assert _keys(table) == ["transaction_id"]
    assert {index["IndexName"]: _keys(index) for index in table["GlobalSecondaryIndexes"]} == {
        "by-customer": ["customer_id", "created_at"],
        "by-card": ["card_fingerprint", "created_at"],
        "by-status": ["status", "created_at"],
        "by-day": ["day_shard", "created_at"],
    }


def test_idempotency_keys_and_counters_expire_and_releases_are_kept_by_environment(dev: PlatformTemplate) -> None:
    idempotency = dev.named("AWS::DynamoDB::Table", TableName="payment-idempotency-dev")
    assert _keys(idempotency) == ["id"]
    assert idempotency["TimeToLiveSpecification"] == {"AttributeName": "expiration", "Enabled": True}
    velocity = dev.named("AWS::DynamoDB::Table", TableName="payment-velocity-dev")
    assert _keys(velocity) == ["counter"]
    assert velocity["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
    releases = dev.named("AWS::DynamoDB::Table", TableName="payment-releases-dev")
    assert _keys(releases) == ["environment", "release_id"]


def test_audit_records_are_versioned_encrypted_and_moved_to_glacier(platform: PlatformTemplate) -> None:
    [audit] = [b["Properties"] for id, b in platform.resources("AWS::S3::Bucket").items() if "Audit" in id]
    assert audit["VersioningConfiguration"] == {"Status": "Enabled"}
    assert "aws:kms" in text(audit["BucketEncryption"])
    lifecycle = audit["LifecycleConfiguration"]
    # The default skips objects under 128 KB, and a record has 1 KB.
    assert lifecycle["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    [rule] = lifecycle["Rules"]
    assert rule["Transitions"] == [{"StorageClass": "GLACIER", "TransitionInDays": 90}]
    assert rule["Prefix"] == "audit/", "seals are read by every verification"
    assert audit["LoggingConfiguration"]["LogFilePrefix"]


def test_an_audit_record_is_never_overwritten(platform: PlatformTemplate) -> None:
    [policy] = [
        each["PolicyDocument"]["Statement"]
        for each in platform.properties("AWS::S3::BucketPolicy")
        if "Audit" in logical_id(each["Bucket"])
    ]
    [once] = [each for each in policy if each.get("Sid") == "RecordsAreWrittenOnce"]
    assert (once["Effect"], once["Principal"], once["Action"]) == ("Deny", {"AWS": "*"}, "s3:PutObject")
    assert once["Condition"] == {"Null": {"s3:if-none-match": "true"}}
    assert text(once["Resource"]).rstrip('"]}').endswith("/*")


def test_an_environment_may_leave_its_audit_records_where_they_are(platforms: Mapping[str, PlatformTemplate]) -> None:
    [rule] = platforms["keeping"].resources()["StorageAudit9012A908"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert "Transitions" not in rule
    assert rule["AbortIncompleteMultipartUpload"]


def test_no_bucket_is_public(platform: PlatformTemplate) -> None:
    buckets = platform.properties("AWS::S3::Bucket")
    assert buckets
    for bucket in buckets:
        assert bucket["PublicAccessBlockConfiguration"] == {
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        }


def test_customers_live_in_aurora_with_a_writer_and_a_reader(platforms: Mapping[str, PlatformTemplate]) -> None:
    for each in PROMOTION_ORDER:
        template = platforms[each.name]
        cluster = template.only("AWS::RDS::DBCluster")
        assert cluster["Engine"] == "aurora-postgresql"
        assert cluster["ServerlessV2ScalingConfiguration"] == {
            "MinCapacity": each.aurora_min_acu,
            "MaxCapacity": each.aurora_max_acu,
        }
        assert cluster["BackupRetentionPeriod"] == each.backup_days
        assert cluster["StorageEncrypted"] is True
        assert cluster["EnableIAMDatabaseAuthentication"] is True
        instances = template.properties("AWS::RDS::DBInstance")
        assert [instance["DBInstanceClass"] for instance in instances] == ["db.serverless"] * 2
        assert not any(instance["PubliclyAccessible"] for instance in instances)


def test_the_database_subnets_have_no_route_to_the_internet(platform: PlatformTemplate) -> None:
    group = platform.only("AWS::RDS::DBSubnetGroup")["SubnetIds"]
    assert len(group) == 3
    tables = {
        logical_id(a["SubnetId"]): logical_id(a["RouteTableId"])
        for a in platform.properties("AWS::EC2::SubnetRouteTableAssociation")
    }
    routed = {logical_id(route["RouteTableId"]) for route in platform.properties("AWS::EC2::Route")}
    assert not {tables[logical_id(subnet)] for subnet in group} & routed


def test_the_network_spans_three_zones_with_one_nat_gateway(platform: PlatformTemplate) -> None:
    subnets = platform.properties("AWS::EC2::Subnet")
    assert len(subnets) == 9
    assert len({text(subnet["AvailabilityZone"]) for subnet in subnets}) == 3
    assert len(platform.resources("AWS::EC2::NatGateway")) == 1
    assert platform.only("AWS::EC2::FlowLog")["TrafficType"] == "ALL"


def test_an_environment_may_name_its_zones(platforms: Mapping[str, PlatformTemplate]) -> None:
    subnets = platforms["keeping"].properties("AWS::EC2::Subnet")
    assert {each["AvailabilityZone"] for each in subnets} == {"us-east-1a", "us-east-1c", "us-east-1d"}
    with pytest.raises(ValueError, match="3 zones"):
        replace(PROMOTION_ORDER[0], availability_zones=("us-east-1a", "us-east-1a", "us-east-1b"))


def test_both_passwords_rotate_every_30_days_but_never_during_a_deployment(platform: PlatformTemplate) -> None:
    assert platform.only("AWS::RDS::DBCluster")["ManageMasterUserPassword"] is True
    schedules = [each for name, each in _schedules(platform).items() if "Fingerprint" not in name]
    assert len(schedules) == 2
    [schema] = platform.resources("Custom::DatabaseSchema")
    for schedule in schedules:
        assert schedule["Properties"]["RotationRules"] == {"ScheduleExpression": "rate(30 days)"}
        assert schedule["Properties"]["RotateImmediatelyOnUpdate"] is False
        assert schema in schedule["DependsOn"]


def test_the_card_keys_rotate_every_year_but_never_during_a_deployment(platform: PlatformTemplate) -> None:
    [schedule] = [each["Properties"] for name, each in _schedules(platform).items() if "Fingerprint" in name]
    assert schedule["RotationRules"] == {"ScheduleExpression": "rate(365 days)"}
    assert schedule["RotateImmediatelyOnUpdate"] is False


def test_the_first_card_key_is_generated_as_it_always_was(platform: PlatformTemplate) -> None:
    # With other settings CloudFormation would generate another value in place of all versions.
    secret = platform.resources()["ComputeCardFingerprintD46CE44B"]["Properties"]
    assert secret["GenerateSecretString"] == {"ExcludePunctuation": True, "PasswordLength": 64}


def _schedules(platform: PlatformTemplate) -> dict[str, dict[str, Any]]:
    """The schedules by the logical id of their secret."""
    found = platform.resources("AWS::SecretsManager::RotationSchedule").values()
    return {logical_id(each["Properties"]["SecretId"]): each for each in found}


def test_rds_may_keep_its_own_schedule_for_the_administrators_password(
    platforms: Mapping[str, PlatformTemplate],
) -> None:
    # Given a setting that leaves the administrator's password to RDS
    template = platforms["keeping"]
    # Then RDS still owns the password, and the stack schedules only what functions of its own rotate
    assert template.only("AWS::RDS::DBCluster")["ManageMasterUserPassword"] is True
    assert all("RotationLambdaARN" in each["Properties"] for each in _schedules(template).values())
    assert len(_schedules(template)) == 2


def test_the_database_has_the_major_version_that_the_local_cloud_runs(platform: PlatformTemplate) -> None:
    wanted = str(platform.only("AWS::RDS::DBCluster")["EngineVersion"])

    assert wanted.partition(".")[0] == postgres.version().partition(".")[0]


def test_secrets_manager_may_rotate_each_secret_with_its_own_function_only(platform: PlatformTemplate) -> None:
    schedules = [s for s in platform.properties("AWS::SecretsManager::RotationSchedule") if "RotationLambdaARN" in s]
    permissions = [
        each
        for each in platform.properties("AWS::Lambda::Permission")
        if each["Principal"] == "secretsmanager.amazonaws.com"
    ]
    assert len(permissions) == len(schedules) == 2
    for schedule in schedules:
        permission = {
            "Action": "lambda:InvokeFunction",
            "FunctionName": schedule["RotationLambdaARN"],
            "Principal": "secretsmanager.amazonaws.com",
            "SourceArn": schedule["SecretId"],
        }
        assert permission in permissions


def test_migrations_run_when_the_instances_answer(platform: PlatformTemplate) -> None:
    [schema] = platform.resources("Custom::DatabaseSchema").values()
    assert set(platform.resources("AWS::RDS::DBInstance")) <= set(schema["DependsOn"])


def test_demonstration_customers_stay_out_of_prod(platforms: Mapping[str, PlatformTemplate]) -> None:
    seeded = {name: platforms[name].only("Custom::DatabaseSchema")["DemoCustomers"] for name in ("dev", "prod", "pr42")}
    assert seeded == {"dev": "true", "prod": "false", "pr42": "true"}


def test_the_callers_of_the_release_belong_to_a_merchant_everywhere(platforms: Mapping[str, PlatformTemplate]) -> None:
    for name in ("dev", "prod"):
        schema = platforms[name].only("Custom::DatabaseSchema")
        synthetic = [text(each) for each in schema["SyntheticPrincipals"]]
        for role in platforms[name].properties("AWS::IAM::Role"):
            if role.get("RoleName") in {Role.LOAD_TEST.of(name), Role.RELEASE.of(name), Role.LOAD_RUNNER.of(name)}:
                assert [each for each in synthetic if f":role/{role['RoleName']}" in each]


def test_any_changed_migration_runs_the_migrations_again(tmp_path: Path) -> None:
    (tmp_path / "0001_customers.sql").write_text("CREATE TABLE customers ()")
    first = migrations_hash(tmp_path)
    (tmp_path / "0002_country.sql").write_text("ALTER TABLE customers ADD country text")
    second = migrations_hash(tmp_path)
    (tmp_path / "0002_country.sql").rename(tmp_path / "0003_country.sql")
    assert len({first, second, migrations_hash(tmp_path)}) == 3


@pytest.mark.parametrize("resource_type", ["AWS::SecretsManager::Secret", "AWS::SNS::Topic", "AWS::RDS::DBInstance"])
def test_it_is_encrypted_with_a_customer_managed_key(platform: PlatformTemplate, resource_type: str) -> None:
    for properties in platform.properties(resource_type):
        keys = [value for name, value in properties.items() if "Kms" in name or "KMS" in name]
        assert keys
        assert all("Key" in logical_id(key) for key in keys)


def test_the_database_logs_who_reads_and_changes_what(platform: PlatformTemplate) -> None:
    parameters = platform.only("AWS::RDS::DBClusterParameterGroup")["Parameters"]
    assert "pgaudit" in parameters["shared_preload_libraries"].split(",")
    # Aurora's default, which the setting replaces
    assert "pg_stat_statements" in parameters["shared_preload_libraries"].split(",")
    assert {"ddl", "read", "role", "write"} == set(parameters["pgaudit.log"].split(","))
    assert "pgaudit.log_parameter" not in parameters, "values of customers do not belong into a log"


def test_logs_are_encrypted_and_expire(platforms: Mapping[str, PlatformTemplate]) -> None:
    for each in PROMOTION_ORDER:
        groups = platforms[each.name].properties("AWS::Logs::LogGroup")
        assert groups
        for group in groups:
            assert group["RetentionInDays"] == each.log_retention_days
            assert "OperationsKey" in text(group["KmsKeyId"])


def test_keys_that_encrypt_rotate(platform: PlatformTemplate) -> None:
    encrypting = [key for key in platform.properties("AWS::KMS::Key") if key.get("KeyUsage") != "SIGN_VERIFY"]
    assert [key["EnableKeyRotation"] for key in encrypting] == [True, True]


def _is_marked(bucket: Mapping[str, Any]) -> bool:
    return TAG in bucket["Tags"]


def _keys(table: dict[str, list[dict[str, str]]]) -> list[str]:
    return [key["AttributeName"] for key in table["KeySchema"]]


def test_audit_records_are_locked_where_the_environment_asks_for_it(platforms: Mapping[str, PlatformTemplate]) -> None:
    for name in ("prod", "keeping"):
        locked = platforms[name].resources()["StorageAudit9012A908"]["Properties"]
        assert locked["ObjectLockEnabled"] is True
        retention = locked["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
        assert retention == {"Mode": "COMPLIANCE", "Days": 365}
    assert "ObjectLockEnabled" not in platforms["dev"].resources()["StorageAudit9012A908"]["Properties"]


def test_a_lock_without_retained_data_is_refused() -> None:
    with pytest.raises(ValueError, match="retain_data"):
        replace(PROMOTION_ORDER[0], audit_lock_days=365)
