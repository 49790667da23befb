"""A promotion by AWS CodePipeline. CodePipeline names the approver, KMS signs, S3 keeps the bundle."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.approver import author_of
from pipeline.evidence.bundle import ALGORITHM, FOLDER
from pipeline.evidence.errors import EvidenceError
from pipeline.evidence.promotion import ApprovalRecord, Source

ASSEMBLY = Path("cdk.out")
"""The folder in which the step finds the output of the synthesis."""


class KmsSigner:
    """Signs with a key that never leaves KMS."""

    def __init__(self, aws: boto3.Session, key: str) -> None:
        self.key = key
        self._kms = aws.client("kms")

    def sign(self, data: bytes) -> bytes:
        # KMS signs messages up to 4096 bytes, or the digest of a longer one.
        digest = hashlib.sha256(data).digest()
        try:
            answer = self._kms.sign(KeyId=self.key, Message=digest, MessageType="DIGEST", SigningAlgorithm=ALGORITHM)
        except (BotoCoreError, ClientError) as error:
            raise EvidenceError(f"the manifest can't be signed: {error}") from error
        return bytes(answer["Signature"])


class PipelineExecution:
    """The running execution, from the step's environment variables. Raises ``EvidenceError`` when one is missing."""

    engine = "codepipeline"
    assembly = ASSEMBLY

    def __init__(self, aws: boto3.Session, environ: Mapping[str, str]) -> None:
        try:
            self.id = environ["PIPELINE_EXECUTION_ID"]
            self.commit = environ["CODEBUILD_RESOLVED_SOURCE_VERSION"]
            self.assembly_digest = environ["ASSEMBLY_DIGEST"]
            self._pipeline = environ["PIPELINE_NAME"]
            self._bucket = environ["EVIDENCE_BUCKET"]
            self.signer = KmsSigner(aws, environ["EVIDENCE_KEY_ARN"])
        except KeyError as missing:
            raise EvidenceError(f"the environment variable {missing.args[0]} is not set") from None
        self._aws = aws

    def approval(self, stage: str, step: str) -> ApprovalRecord:
        """The decision at ``step``. The stage's latest state is of this execution, because the next execution waits
        until the stage is free."""
        try:
            stages = self._aws.client("codepipeline").get_pipeline_state(name=self._pipeline)["stageStates"]
        except (BotoCoreError, ClientError) as error:
            raise EvidenceError(f"the approver of {step} can't be read: {error}") from error
        state = next((each for each in stages if each["stageName"] == stage), None)
        if state is None or state.get("latestExecution", {}).get("pipelineExecutionId") != self.id:
            raise EvidenceError(f"stage {stage} of {self._pipeline} is not at execution {self.id}")
        # An action between a change set and its execution has the name of the stack before its own.
        actions = {
            each["actionName"].rpartition(".")[2]: each.get("latestExecution", {}) for each in state["actionStates"]
        }
        decision = actions.get(step, {})
        by, at = decision.get("lastUpdatedBy"), decision.get("lastStatusChange")
        if decision.get("status") != "Succeeded" or not by or not at:
            raise EvidenceError(f"CodePipeline does not say who approved {step}, and when")
        when = at.astimezone(UTC).isoformat(timespec="seconds")
        return ApprovalRecord(step=step, by=by, at=when, comment=decision.get("summary") or None)

    def source(self) -> Source:
        """What the source action tells, and what started the execution."""
        client, which = self._aws.client("codepipeline"), {"pipelineExecutionId": self.id}
        try:
            pages = client.get_paginator("list_action_executions").paginate(pipelineName=self._pipeline, filter=which)
            actions = [each for page in pages for each in page["actionExecutionDetails"]]
            execution = client.get_pipeline_execution(pipelineName=self._pipeline, **which)["pipelineExecution"]
        except (BotoCoreError, ClientError) as error:
            raise EvidenceError(f"the source of the commit can't be read: {error}") from error
        told: dict[str, str] = next(
            (
                each.get("output", {}).get("outputVariables", {})
                for each in actions
                if each.get("input", {}).get("actionTypeId", {}).get("category") == "Source"
            ),
            {},
        )
        trigger = execution.get("trigger", {})
        return Source(
            author=author_of(actions),
            branch=told.get("BranchName"),
            started=" ".join(filter(None, [trigger.get("triggerType"), trigger.get("triggerDetail")])) or None,
        )

    def keep(self, environment: str, name: str, bundle: bytes) -> str:
        s3, bucket, key = self._aws.client("s3"), self._bucket, f"{FOLDER}/{environment}/{name}"
        checksum = base64.b64encode(hashlib.sha256(bundle).digest()).decode()
        try:
            try:
                s3.put_object(Bucket=bucket, Key=key, Body=bundle, ChecksumSHA256=checksum, IfNoneMatch="*")
            except ClientError as error:
                # The SDK retries when an answer is lost. The retry then finds the object of the first attempt.
                if error.response["Error"]["Code"] != "PreconditionFailed":
                    raise
                stored = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
                if stored.get("ChecksumSHA256") != checksum:
                    raise
        except (BotoCoreError, ClientError) as error:
            raise EvidenceError(f"s3://{bucket}/{key} can't be written: {error}") from error
        return f"s3://{bucket}/{key}"
