"""Lambda handler of the sealing job. A schedule calls it every hour, and CloudFormation once, for the first seal.

It is the only function that may use the signing key and write seals. It may write nothing else.
"""

import os
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit, single_metric

from lambdas.adapters import aws
from lambdas.adapters.signing_key import SigningKey
from lambdas.api.endpoint import logger
from lambdas.books.sealing import Sealer, Untrusted
from lambdas.books.stored import StoredBooks, StoredSeals
from lambdas.deployment.custom_resource import Event, Outcome, custom_resource
from lambdas.payments.audit import digest
from lambdas.payments.examination import utc_now


def handler(event: dict[str, Any], context: Any) -> None:
    if "RequestType" in event:
        first_seal(event, context)
    else:
        seal()


@custom_resource
def first_seal(event: Event) -> Outcome:
    """Without it no alarm could tell a new environment from one whose job does not run."""
    if event["RequestType"] == "Create":
        seal()
    return f"first-seal-{os.environ['ENVIRONMENT']}", {}


def seal() -> None:
    """Make a seal. The log witnesses its digest, which whoever can write the bucket can't change."""
    try:
        made, faults = _sealer().seal()
    except Untrusted as error:
        _measure("AuditFaults", 1)
        logger.error("the last seal can't be trusted", extra={"fault": str(error)})
        raise
    _measure("AuditFaults", len(faults))
    for fault in faults[:20]:
        logger.error("the books do not agree", extra={"fault": f"{fault.key}: {fault.reason}"})
    if made is None:
        logger.info("another job made this seal")
        return
    _measure("AuditSeals", 1)
    logger.info("sealed", extra={"seal": made.key, "message_digest": digest(made.message())})


def _sealer() -> Sealer:
    environ: Mapping[str, str] = os.environ
    s3, dynamodb = aws.patient_client("s3"), aws.patient_client("dynamodb")
    bucket, table = environ["AUDIT_BUCKET"], environ["TRANSACTION_TABLE"]
    key = SigningKey(aws.patient_client("kms"), environ["SIGNING_KEY_ARN"])
    return Sealer(
        environment=environ["ENVIRONMENT"],
        books_of=lambda day: StoredBooks(s3=s3, dynamodb=dynamodb, bucket=bucket, table=table, day=day),
        store=StoredSeals(s3=s3, bucket=bucket),
        signer=key,
        check=key,
        clock=utc_now,
    )


def _measure(name: str, value: int) -> None:
    with single_metric(name=name, unit=MetricUnit.Count, value=value) as metric:
        metric.add_dimension(name="Environment", value=os.environ["ENVIRONMENT"])
