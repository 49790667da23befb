"""Who gives the commands: the IAM identity of the credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.release.aws import PROMPT_CONFIG, calling
from pipeline.release.ports import Unavailable

if TYPE_CHECKING:
    import boto3


UNKNOWN = "unknown IAM identity"


def identity(aws: boto3.Session) -> str:
    """The ARN of the caller. STS answers it to everyone ("No permissions are required"); when it does not answer, no
    command waits for it."""
    try:
        with calling("asking who the caller is"):
            return str(aws.client("sts", config=PROMPT_CONFIG).get_caller_identity()["Arn"])
    except Unavailable:
        return UNKNOWN
