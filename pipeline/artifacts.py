"""The buckets of the pipeline, and the ones that hold its artifacts in other regions.

CodePipeline starts a CloudFormation action in the region of the stack, and hands it artifacts from a bucket there
(CodePipeline user guide, "Add a cross-Region action"). A deployment under a role of another account reads them with a
customer managed key of that region only.
"""

from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from names import PIPELINE, REGIONAL_ARTIFACTS

KEY_ALIAS = f"alias/{PIPELINE}"
"""The alias of the pipeline's key. Each region that the pipeline deploys to has one."""
ARTIFACT_FOLDER = f"{PIPELINE[:20]}/"
"""CodePipeline stores artifacts in a folder of the pipeline's name, cut off at 20 characters."""
ARTIFACT_DAYS = 365


class RegionalArtifacts(cdk.Stack):
    """Bucket and key for artifacts in one region that is not the pipeline's own.

    Both have fixed names: CloudFormation can pass no reference from one region to another.
    """

    def __init__(self, scope: Construct, *, account: str, region: str) -> None:
        name = f"{REGIONAL_ARTIFACTS}{region}"
        super().__init__(
            scope,
            name,
            stack_name=name,
            env=cdk.Environment(account=account, region=region),
            description=f"Artifacts of the payment pipeline for deployments in {region}",
        )
        key = kms.Key(
            self,
            "Key",
            description=f"Artifacts of the payment pipeline in {region}",
            enable_key_rotation=True,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        alias = kms.Alias(self, "Alias", alias_name=KEY_ALIAS, target_key=key, removal_policy=cdk.RemovalPolicy.DESTROY)
        # By its alias, because the pipeline's stack must name the key, and the alias is the only fixed name of a key.
        self.bucket = artifact_bucket(
            self,
            key=alias,
            keep={ARTIFACT_FOLDER: ARTIFACT_DAYS},
            bucket_name=f"{REGIONAL_ARTIFACTS}{account}-{region}",
        )


def artifact_bucket(scope: Construct, *, key: kms.IKey, keep: Mapping[str | None, int], **options: Any) -> s3.Bucket:
    """A bucket for artifacts, and a second one for its access logs. ``keep``: as for ``private_bucket``."""
    access_logs = private_bucket(scope, "AccessLogs", keep={None: 365}, encryption=s3.BucketEncryption.S3_MANAGED)
    return private_bucket(
        scope,
        "Artifacts",
        keep=keep,
        encryption=s3.BucketEncryption.KMS,
        encryption_key=key,
        bucket_key_enabled=True,
        server_access_logs_bucket=access_logs,
        server_access_logs_prefix="artifacts/",
        **options,
    )


def private_bucket(scope: Construct, id: str, *, keep: Mapping[str | None, int], **options: Any) -> s3.Bucket:
    """``keep``: days until objects under a prefix expire. Their replaced versions are kept as long again."""
    rules = [
        s3.LifecycleRule(
            prefix=prefix, expiration=cdk.Duration.days(days), noncurrent_version_expiration=cdk.Duration.days(days)
        )
        for prefix, days in keep.items()
    ]
    return s3.Bucket(
        scope,
        id,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        versioned=True,
        lifecycle_rules=rules,
        removal_policy=cdk.RemovalPolicy.DESTROY,
        # CloudFormation deletes empty buckets only.
        auto_delete_objects=True,
        **options,
    )
