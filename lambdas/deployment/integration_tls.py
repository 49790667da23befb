"""Configures how an API Gateway integration verifies the certificate of what it calls.

With ``InsecureSkipVerification`` ``"true"`` it accepts a certificate that no public authority signed. API Gateway still
checks the certificate's dates, host name and root ("x-amazon-apigateway-integration.tlsConfig object", API Gateway
Developer Guide). CloudFormation's ``AWS::ApiGateway::Method`` lacks this setting, and drops it whenever it writes the
integration. It is therefore set again before each deployment of the API.

Other properties: ``RestApiId``, ``ResourceId``, ``HttpMethod``; a change of ``Revision`` makes CloudFormation call this
again. A delete does nothing, because the setting is deleted with its integration.
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
            patchOperations=[
                {
                    "op": "replace",
                    "path": "/tlsConfig/insecureSkipVerification",
                    "value": properties["InsecureSkipVerification"],
                }
            ],
        )
    return f"{properties['RestApiId']}/{properties['ResourceId']}/{properties['HttpMethod']}", {}
