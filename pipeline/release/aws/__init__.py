"""The controller's ports on AWS, by boto3. All AWS calls of the release controller are made in this package.

- traffic: ``elasticloadbalancing:DescribeListeners``, ``ModifyListener``; ``lambda:GetAlias``, ``UpdateAlias``
- alarms and metrics: ``cloudwatch:DescribeAlarms``, ``GetMetricData``
- messages: ``sns:Publish`` to the alert topic, ``cloudwatch:PutMetricData`` in ``Payments/Release``
- records and lease: ``dynamodb:PutItem``, ``GetItem``, ``Query``, ``DeleteItem`` on ``payment-releases-<env>``
- names of the platform: ``cloudformation:DescribeStacks`` on its stack
"""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.release.ports import Unavailable

CLIENT_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2})
"""Short: the controller has its own patience. A call ends, well or not, before the lease that was renewed for it."""
STORE_CONFIG = Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2})
"""Shorter: DynamoDB answers in milliseconds, and a rollback waits for one such call."""


@contextmanager
def calling(what: str) -> Iterator[None]:
    """Name the call and its reason in every failure: raises ``Unavailable`` for botocore's errors."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise Unavailable(f"{what}: {error}") from error
