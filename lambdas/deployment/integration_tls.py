"""Tells an API Gateway integration to accept a certificate of no public authority.

API Gateway then still checks the certificate's dates and host name. CloudFormation's ``AWS::ApiGateway::Method`` has no
word for this setting and loses it whenever it writes the integration, so it is set again before each deployment of the
API. Properties: ``RestApiId``, ``ResourceId``, ``HttpMethod``, and ``HostName`` and ``Revision``, of which a change
makes CloudFormation call again.
On delete nothing happens: the setting goes with its integration.
"""

from lambdas.adapters import aws
from lambdas.deployment.custom_resource import Event, Outcome, custom_resource


@custom_resource
def handler(event: Event) -> Outcome:
    properties = event["ResourceProperties"]
    if event["RequestType"] != "Delete":
        aws.patient_client("apigateway").update_integration(
            restApiId=properties["RestApiId"],
            resourceId=properties["ResourceId"],
            httpMethod=properties["HttpMethod"],
            patchOperations=[{"op": "replace", "path": "/tlsConfig/insecureSkipVerification", "value": "true"}],
        )
    return f"{properties['RestApiId']}/{properties['ResourceId']}/{properties['HttpMethod']}", {}
