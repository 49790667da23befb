"""An account with the pipeline's key, bucket and execution. The clients are real; this module answers their calls.

botocore checks each call against the service's model first.
"""

import base64
import hashlib
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, BinaryIO

import boto3
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

EXECUTION = "8f0e6f5c-1b1f-4f5e-9a4e-0d4d1f7f3c11"
KEY = "arn:aws:kms:us-east-1:111111111111:key/signing"
APPROVED_AT = datetime(2026, 1, 15, 8, 0, tzinfo=UTC)


class FakeAws:
    """``decision``: the state of the approval's action. ``refused``: operations that fail. ``lost_answers``: number of
    writes whose answer is lost, so that the SDK retries them."""

    def __init__(self) -> None:
        self.private_key = ec.generate_private_key(ec.SECP256R1())
        self.objects: dict[tuple[str, str], bytes] = {}
        self.execution = EXECUTION
        self.decision: dict[str, Any] = {
            "status": "Succeeded",
            "summary": "Seen the gate's report.",
            "lastUpdatedBy": "arn:aws:sts::111111111111:assumed-role/Approver/ann",
            "lastStatusChange": APPROVED_AT,
        }
        self.source: dict[str, str] = {"BranchName": "main", "CommitId": "x"}
        """What the source action tells."""
        self.refused: set[str] = set()
        self.lost_answers = 0
        self.session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1")
        events = self.session.events
        calls = ("GetPipelineState", "GetPipelineExecution", "ListActionExecutions")
        for event in ("kms.Sign", "s3.PutObject", "s3.HeadObject", *(f"codepipeline.{each}" for each in calls)):
            events.register(f"provide-client-params.{event}", self._remember)
            events.register(f"before-call.{event}", self._answer)

    @property
    def public_key(self) -> bytes:
        """The public key in the form of ``aws kms get-public-key``."""
        public = self.private_key.public_key()
        return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def _remember(self, params: dict[str, Any], **_: Any) -> None:
        self._params = params

    def _answer(self, model: Any, **_: Any) -> tuple[Any, dict[str, Any]]:
        if model.name in self.refused:
            return SimpleNamespace(status_code=403), {"Error": {"Code": "AccessDenied", "Message": "not for you"}}
        code, answer = getattr(self, f"_{model.name}")(**self._params)
        return SimpleNamespace(status_code=code), answer

    def _Sign(self, KeyId: str, Message: bytes, MessageType: str, SigningAlgorithm: str) -> tuple[int, dict[str, Any]]:
        assert (KeyId, MessageType, SigningAlgorithm) == (KEY, "DIGEST", "ECDSA_SHA_256")
        signature = self.private_key.sign(Message, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        return 200, {"Signature": signature}

    def _PutObject(
        self, Bucket: str, Key: str, Body: BinaryIO, IfNoneMatch: str, ChecksumSHA256: str
    ) -> tuple[int, dict[str, Any]]:
        assert IfNoneMatch == "*", "the bucket's policy denies everything else"
        if (Bucket, Key) in self.objects:
            return 412, {"Error": {"Code": "PreconditionFailed", "Message": "it exists"}}
        content = Body.read()
        if ChecksumSHA256 != _checksum(content):
            return 400, {"Error": {"Code": "BadDigest", "Message": "this is not what was sent"}}
        self.objects[Bucket, Key] = content
        if self.lost_answers:
            self.lost_answers -= 1
            Body.seek(0)  # the SDK's next attempt
            return self._PutObject(Bucket, Key, Body, IfNoneMatch, ChecksumSHA256)
        return 200, {}

    def _HeadObject(self, Bucket: str, Key: str, ChecksumMode: str) -> tuple[int, dict[str, Any]]:
        assert ChecksumMode == "ENABLED", "else S3 does not tell the checksum"
        return 200, {"ChecksumSHA256": _checksum(self.objects[Bucket, Key])}

    def _GetPipelineState(self, name: str) -> tuple[int, dict[str, Any]]:
        actions = [
            {"actionName": "payment-platform-test.PromoteToTest", "latestExecution": self.decision},
            {"actionName": "payment-platform-test.Prepare"},
        ]
        others = {"stageName": "Source", "latestExecution": {"pipelineExecutionId": "of the next commit"}}
        here = {
            "stageName": "Test",
            "latestExecution": {"pipelineExecutionId": self.execution},
            "actionStates": actions,
        }
        return 200, {"pipelineName": name, "stageStates": [others, here]}

    def _GetPipelineExecution(self, pipelineName: str, pipelineExecutionId: str) -> tuple[int, dict[str, Any]]:
        trigger = {"triggerType": "StartPipelineExecution", "triggerDetail": "arn:aws:iam::111111111111:user/bob"}
        return 200, {"pipelineExecution": {"pipelineExecutionId": pipelineExecutionId, "trigger": trigger}}

    def _ListActionExecutions(
        self, pipelineName: str, filter: dict[str, str], nextToken: str = ""
    ) -> tuple[int, dict[str, Any]]:
        """The newest action first, so the source is on the last page."""
        assert filter == {"pipelineExecutionId": EXECUTION}
        if not nextToken:
            kind = {"category": "Build", "owner": "AWS", "provider": "CodeBuild", "version": "1"}
            return 200, {"actionExecutionDetails": [{"input": {"actionTypeId": kind}}], "nextToken": "more"}
        kind = {"category": "Source", "owner": "AWS", "provider": "CodeStarSourceConnection", "version": "1"}
        return 200, {
            "actionExecutionDetails": [
                {"input": {"actionTypeId": kind}, "output": {"outputVariables": self.source}},
            ]
        }


def _checksum(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()
