"""S3 buckets: the template's lifecycle rules and default encryption, and S3's managed key when no key is named."""

from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import s3 as s3_service
from ministack.services.cloudformation import provisioners

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


@after_write("AWS::S3::Bucket")
def bucket_lifecycle_and_key(name: str, props: Any) -> None:
    s3 = client("s3", get_region())
    declared = (props.get("LifecycleConfiguration") or {}).get("Rules") or []
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
