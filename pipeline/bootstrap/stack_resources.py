"""What a failed creation can leave behind that needs more than the deletion of its stack, by resource type."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import ClientError


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource of a stack."""

    kind: str
    """Its CloudFormation type."""
    id: str
    """The physical id: a name, an identifier or an ARN, by type."""
    logical_id: str
    retained: bool
    """Whether the template keeps it when the stack is deleted."""

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


def _client(aws: boto3.Session, service: Any) -> Any:
    return aws.client(service)


def _table_has_items(aws: boto3.Session, name: str) -> str | None:
    return "it has items" if _client(aws, "dynamodb").scan(TableName=name, Limit=1)["Items"] else None


def _bucket_has_records(aws: boto3.Session, name: str) -> str | None:
    """Audit records are JSON. Access logs, which S3 and the load balancer deliver from the first minute, are not."""
    pages = _client(aws, "s3").get_paginator("list_object_versions").paginate(Bucket=name)
    keys = (each["Key"] for page in pages for each in page.get("Versions", []))
    return next((f"it has {key}" for key in keys if key.endswith(".json")), None)


def _cluster_is_protected(aws: boto3.Session, id: str) -> bool:
    return bool(_client(aws, "rds").describe_db_clusters(DBClusterIdentifier=id)["DBClusters"][0]["DeletionProtection"])


def _table_is_protected(aws: boto3.Session, name: str) -> bool:
    return bool(_client(aws, "dynamodb").describe_table(TableName=name)["Table"].get("DeletionProtectionEnabled"))


_BALANCER_PROTECTION = "deletion_protection.enabled"


def _balancer_is_protected(aws: boto3.Session, arn: str) -> bool:
    found = _client(aws, "elbv2").describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    return {"Key": _BALANCER_PROTECTION, "Value": "true"} in found


def _unprotect_cluster(aws: boto3.Session, id: str) -> None:
    _client(aws, "rds").modify_db_cluster(DBClusterIdentifier=id, DeletionProtection=False, ApplyImmediately=True)


def _unprotect_table(aws: boto3.Session, name: str) -> None:
    dynamodb = _client(aws, "dynamodb")
    dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
    dynamodb.get_waiter("table_exists").wait(TableName=name)


def _unprotect_balancer(aws: boto3.Session, arn: str) -> None:
    off = [{"Key": _BALANCER_PROTECTION, "Value": "false"}]
    _client(aws, "elbv2").modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=off)


def _remove_instance(aws: boto3.Session, id: str) -> None:
    rds = _client(aws, "rds")
    rds.delete_db_instance(DBInstanceIdentifier=id, SkipFinalSnapshot=True)
    rds.get_waiter("db_instance_deleted").wait(DBInstanceIdentifier=id)


def _remove_cluster(aws: boto3.Session, id: str) -> None:
    rds = _client(aws, "rds")
    rds.delete_db_cluster(DBClusterIdentifier=id, SkipFinalSnapshot=True)
    rds.get_waiter("db_cluster_deleted").wait(DBClusterIdentifier=id)


def _remove_bucket(aws: boto3.Session, name: str) -> None:
    """A bucket of logs may be locked, and then it stays. Its name was generated, so it is in nobody's way."""
    try:
        _client(aws, "s3").delete_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "BucketNotEmpty":
            raise


def _remove_key(aws: boto3.Session, id: str) -> None:
    """AWS waits at least seven days, in which the deletion can be cancelled."""
    try:
        _client(aws, "kms").schedule_key_deletion(KeyId=id, PendingWindowInDays=7)
    except ClientError as error:
        if error.response["Error"]["Code"] != "KMSInvalidStateException":  # its deletion is scheduled already
            raise


HOLDS_DATA: dict[str, Callable[[boto3.Session, str], Any]] = {
    "AWS::DynamoDB::Table": _table_has_items,
    "AWS::S3::Bucket": _bucket_has_records,
}
"""What a resource holds, in words; false: nothing."""

PROTECTED: dict[str, Callable[[boto3.Session, str], Any]] = {
    "AWS::RDS::DBCluster": _cluster_is_protected,
    "AWS::DynamoDB::Table": _table_is_protected,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _balancer_is_protected,
}

LIFT_PROTECTION: dict[str, Callable[[boto3.Session, str], Any]] = {
    "AWS::RDS::DBCluster": _unprotect_cluster,
    "AWS::DynamoDB::Table": _unprotect_table,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _unprotect_balancer,
}

REMOVE: dict[str, Callable[[boto3.Session, str], Any]] = {
    "AWS::RDS::DBInstance": _remove_instance,
    "AWS::RDS::DBCluster": _remove_cluster,
    "AWS::RDS::DBSubnetGroup": lambda aws, name: _client(aws, "rds").delete_db_subnet_group(DBSubnetGroupName=name),
    "AWS::DynamoDB::Table": lambda aws, name: _client(aws, "dynamodb").delete_table(TableName=name),
    "AWS::S3::Bucket": _remove_bucket,
    "AWS::SecretsManager::Secret": lambda aws, arn: _client(aws, "secretsmanager").delete_secret(
        SecretId=arn, ForceDeleteWithoutRecovery=True
    ),
    "AWS::KMS::Key": _remove_key,
}
"""In this order. What else a template keeps goes with one of these or with the stack (versions of functions)."""
