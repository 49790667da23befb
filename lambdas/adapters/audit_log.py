"""The audit log in S3: one object per record, written only when its key is free, encrypted with the audit key."""

import os

from lambdas.adapters import aws
from lambdas.payments.audit import Record, digest


class S3AuditLog:
    """``audit.AuditLog`` in the bucket ``AUDIT_BUCKET`` under the KMS key ``AUDIT_KEY_ID``."""

    def __init__(self) -> None:
        self.bucket = os.environ["AUDIT_BUCKET"]
        self._key_id = os.environ["AUDIT_KEY_ID"]

    def put_if_absent(self, record: Record) -> Record:
        client = aws.client("s3")
        from botocore.exceptions import ClientError

        with aws.available("audit log"):
            try:
                client.put_object(
                    Bucket=self.bucket,
                    Key=record.key,
                    Body=record.body,
                    ContentType="application/json",
                    IfNoneMatch="*",
                    ServerSideEncryption="aws:kms",
                    SSEKMSKeyId=self._key_id,
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "PreconditionFailed":
                    raise
                body = client.get_object(Bucket=self.bucket, Key=record.key)["Body"].read()
                return Record(key=record.key, body=body, hash=digest(body))
        return record
