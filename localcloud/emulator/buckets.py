"""S3 buckets: tags, lifecycle rules and default encryption of the template, and what a bucket's policy may demand."""

import os
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.core.router import extract_access_key_id
from ministack.services import s3 as s3_service
from ministack.services.cloudformation import provisioners

from localcloud.emulator.lifecycle import set_minimum_size
from localcloud.emulator.own_api import client
from localcloud.emulator.properties import after_write
from localcloud.emulator.upstream import Function, replaces


@replaces(s3_service, "_resolve_sse_write_headers")
def encryption_of_write(resolve: Function, headers: Any, bucket_name: str) -> Any:
    """Let a write with ``aws:kms`` and no key use the key that AWS manages for S3. MiniStack refuses such a write."""
    key = "x-amz-server-side-encryption-aws-kms-key-id"
    if headers.get("x-amz-server-side-encryption") == "aws:kms" and not headers.get(key):
        headers = {**headers, key: f"arn:aws:kms:{get_region()}:{get_account_id()}:alias/aws/s3"}
    return resolve(headers, bucket_name)


@replaces(s3_service, "_get_object")
def missing_object(get: Function, bucket: str, key: str, headers: Any, query: Any = None) -> Any:
    """Answer 403 for a missing object to who may not list the bucket, as S3 does. MiniStack answers 404 to all.

    Source: Amazon S3 API Reference, GetObject, "Permissions".
    """
    answer = get(bucket, key, headers, query)
    if answer[0] == 404 and iam_evaluator.enforce(
        extract_access_key_id(headers, query), "s3:ListBucket", "s3", get_region(), f"arn:aws:s3:::{bucket}"
    ):
        return s3_service._error("AccessDenied", "Access Denied", 403, f"/{bucket}/{key}")
    return answer


@replaces(iam_actions, "s3_service_context")
def s3_context(context: Function, iam_action: str, query: Any, path: str = "", headers: Any = None) -> dict[str, Any]:
    """Add ``s3:if-none-match``, by which a bucket's policy may demand conditional writes. MiniStack omits it.

    Source: Amazon S3 User Guide, "Enforce conditional writes on Amazon S3 buckets".
    """
    found: dict[str, Any] = context(iam_action, query, path, headers)
    if iam_action == "s3:PutObject" and (headers or {}).get("if-none-match"):
        found["s3:if-none-match"] = headers["if-none-match"]
    return found


@replaces(iam_evaluator, "enforce")
def enforce_bucket_policy(
    check: Function,
    access_key_id: str,
    iam_action: str,
    service: str,
    region: str,
    resource_arn: str = "*",
    service_context: Any = None,
) -> Any:
    """Hold the account's root to what a bucket's policy denies, as S3 does. MiniStack lets root do everything.

    Root may always read, replace and delete the policy itself. Source: Amazon S3 API Reference, DeleteBucketPolicy.
    """
    refused = check(access_key_id, iam_action, service, region, resource_arn, service_context)
    if refused or service != "s3" or access_key_id != os.environ["AWS_ACCESS_KEY_ID"] or "BucketPolicy" in iam_action:
        return refused
    policy, _ = s3_service.bucket_policy_for_arn(resource_arn) or ("", "")
    context = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:iam::{get_account_id()}:root",
        principal_type="Root",
        principal_account=get_account_id(),
        action=iam_action,
        resource_arn=resource_arn,
        region=region,
        service_context={key.lower(): value for key, value in (service_context or {}).items()},
    )
    found = iam_evaluator.evaluate_resource_policy(policy, context)
    if found.decision != "Deny":
        return None
    found.principal_arn, found.resource_policy_arn = context.principal_arn, resource_arn
    return found


@after_write("AWS::S3::Bucket")
def bucket_settings(name: str, props: Any) -> None:
    s3 = client("s3", get_region())
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [dict(tag) for tag in props.get("Tags") or []]})
    if provisioners._cfn_bool(props.get("ObjectLockEnabled", False)):
        lock = props["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
        s3.put_object_lock_configuration(
            Bucket=name,
            ObjectLockConfiguration={
                "ObjectLockEnabled": props["ObjectLockConfiguration"]["ObjectLockEnabled"],
                "Rule": {"DefaultRetention": {"Mode": lock["Mode"], "Days": int(lock["Days"])}},
            },
        )
    lifecycle = props.get("LifecycleConfiguration") or {}
    set_minimum_size(name, lifecycle.get("TransitionDefaultMinimumObjectSize"))
    declared = lifecycle.get("Rules") or []
    rules = [_lifecycle_rule(number, rule) for number, rule in enumerate(declared)]
    if rules:
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
    encryption = (props.get("BucketEncryption") or {}).get("ServerSideEncryptionConfiguration") or []
    if encryption:
        # MiniStack's handler keeps the algorithm and drops the key. It then refuses every put: the key is missing.
        s3.put_bucket_encryption(
            Bucket=name,
            ServerSideEncryptionConfiguration={
                "Rules": [
                    {
                        "ApplyServerSideEncryptionByDefault": dict(rule["ServerSideEncryptionByDefault"]),
                        "BucketKeyEnabled": provisioners._cfn_bool(rule.get("BucketKeyEnabled", False)),
                    }
                    for rule in encryption
                ]
            },
        )


def _lifecycle_rule(number: int, declared: Any) -> dict[str, Any]:
    """A template's lifecycle rule in the shape of the S3 API."""
    rule: dict[str, Any] = {
        "ID": declared.get("Id") or f"rule-{number}",
        "Status": declared["Status"],
        "Filter": {"Prefix": declared.get("Prefix", "")},
    }
    if days := declared.get("ExpirationInDays"):
        rule["Expiration"] = {"Days": int(days)}
    if transitions := declared.get("Transitions"):
        rule["Transitions"] = [
            {"Days": int(t["TransitionInDays"]), "StorageClass": t["StorageClass"]} for t in transitions
        ]
    if old := declared.get("NoncurrentVersionExpiration"):
        rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": int(old["NoncurrentDays"])}
    if moves := declared.get("NoncurrentVersionTransitions"):
        rule["NoncurrentVersionTransitions"] = [
            {"NoncurrentDays": int(t["TransitionInDays"]), "StorageClass": t["StorageClass"]} for t in moves
        ]
    if abort := declared.get("AbortIncompleteMultipartUpload"):
        rule["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": int(abort["DaysAfterInitiation"])}
    return rule
