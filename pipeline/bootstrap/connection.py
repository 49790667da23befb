"""The connection through which CodePipeline reads the repository. A person must confirm it once, in a browser."""

from typing import TYPE_CHECKING, cast

import names
from environments import PLACEHOLDER_REPOSITORY, PipelineSettings

if TYPE_CHECKING:
    from mypy_boto3_codeconnections import CodeConnectionsClient
    from mypy_boto3_codeconnections.literals import ProviderTypeType


class ConnectionNotReady(Exception):
    """The pipeline cannot read its repository yet. The message says what to do."""


def ensure(client: "CodeConnectionsClient", *, settings: PipelineSettings, provider: str, arn: str | None) -> str:
    """The ARN of a connection that is ready for use: ``arn``, or the one named after the pipeline, made if missing.

    ``provider``: CodeConnections' name of the repository's host. Raises ``ConnectionNotReady``.
    """
    if settings.repository == PLACEHOLDER_REPOSITORY:
        raise ConnectionNotReady(
            f"the repository is still the placeholder {PLACEHOLDER_REPOSITORY}: set owner/name in PIPELINE of"
            " environments.py, commit, and run this again"
        )
    arn = arn or _named(client) or _create(client, provider)
    try:
        status = client.get_connection(ConnectionArn=arn)["Connection"]["ConnectionStatus"]
    except client.exceptions.ResourceNotFoundException as error:
        raise ConnectionNotReady(f"this account and region has no connection {arn}") from error
    if status != "AVAILABLE":
        raise ConnectionNotReady(
            f"connection {arn} is {status}: open the AWS console at Developer Tools > Settings > Connections, choose"
            " 'Update pending connection', and run this again"
        )
    return arn


def _named(client: "CodeConnectionsClient") -> str | None:
    token = ""
    while True:
        page = client.list_connections(NextToken=token) if token else client.list_connections()
        for connection in page["Connections"]:
            if connection["ConnectionName"] == names.PIPELINE:
                return connection["ConnectionArn"]
        token = page.get("NextToken", "")
        if not token:
            return None


def _create(client: "CodeConnectionsClient", provider: str) -> str:
    kind = cast("ProviderTypeType", provider)
    return client.create_connection(ConnectionName=names.PIPELINE, ProviderType=kind)["ConnectionArn"]
