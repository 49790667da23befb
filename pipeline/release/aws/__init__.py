"""The controller's ports on AWS, by boto3. All AWS calls of the release controller are made in this package.

- traffic: ``elasticloadbalancing:DescribeListeners``, ``ModifyListener``; ``lambda:GetAlias``, ``UpdateAlias``,
  ``CreateAlias`` (of one that was deleted), ``GetFunctionConfiguration`` (does a version exist?)
- alarms and metrics: ``cloudwatch:DescribeAlarms``, ``GetMetricData``
- messages: ``sns:Publish`` to the alert topic, ``events:PutEvents`` of source ``payments.release``,
  ``secretsmanager:GetSecretValue`` of the web hooks, ``cloudwatch:PutMetricData`` in ``Payments/Release``
- records and lease: ``dynamodb:PutItem``, ``GetItem``, ``Query``, ``DeleteItem`` on ``payment-releases-<env>``
- who asks: ``sts:GetCallerIdentity``
- names of the platform: ``cloudformation:DescribeStacks`` on its stack; without it, in an emergency,
  ``elasticloadbalancing:DescribeLoadBalancers``
"""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from pipeline.release.ports import Denied, Missing, Unavailable

CLIENT_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2})
"""Short: the controller has its own patience. A call ends, well or not, before the lease that was renewed for it."""
PROMPT_CONFIG = Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2})
"""Shorter: DynamoDB and SNS answer in milliseconds, and a release waits for each such call."""

NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
DENIED = ("AccessDenied", "AccessDeniedException", "AuthFailure", "ExpiredToken", "ExpiredTokenException",
          "IncompleteSignature", "InvalidClientTokenId", "InvalidSignatureException", "OptInRequired",
          "SignatureDoesNotMatch", "UnauthorizedOperation", "UnrecognizedClientException")  # fmt: skip
"""Error codes of AWS ("Common error types" of its API references) that concern the caller."""
MISSING = ("ResourceNotFoundException", "ListenerNotFound", "LoadBalancerNotFound", "NotFound", "NotFoundException")


@contextmanager
def calling(what: str) -> Iterator[None]:
    """Name the call and its reason in every failure: raises ``Unavailable``, ``Denied`` or ``Missing`` for botocore's
    errors."""
    try:
        yield
    except NO_CREDENTIALS as error:
        raise Denied(f"{what}: {error}") from error
    except BotoCoreError as error:
        raise Unavailable(f"{what}: {error}") from error
    except ClientError as error:
        code = error_code(error)
        kind = Denied if code in DENIED else Missing if code in MISSING else Unavailable
        raise kind(f"{what}: {error}") from error


def error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
