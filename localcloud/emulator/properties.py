"""Complete the CloudFormation handlers of MiniStack that accept a property and drop it.

:func:`after_write` adds a step after a type's create and update. Handlers run on worker threads. A step may therefore
call the emulator's own APIs, and the emulator serves requests while it deploys a stack.
"""

from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_region
from ministack.services.cloudformation import provisioners, stacks

from localcloud.emulator.own_api import client
from localcloud.emulator.upstream import Function, replaces

Attributes = dict[str, Any]
Step = Callable[[str, Any], Attributes | None]
"""Gets the physical id and the properties. Returns the resource's attributes if it changed them, else ``None``."""

ON_THE_EVENT_LOOP = ("AWS::ApiGateway::Resource", "AWS::ApiGateway::Method")
"""Their records are plain dictionaries that every request iterates over. A worker thread must not add to them."""


@replaces(stacks, "_runs_on_worker_thread")
def runs_on_worker_thread(_: Function, resource_type: str) -> bool:
    return resource_type not in ON_THE_EVENT_LOOP


def after_write(resource_type: str) -> Callable[[Step], Step]:
    """Decorator: run the step after each create and update of ``resource_type``."""

    def install(step: Step) -> Step:
        handler = provisioners._RESOURCE_HANDLERS[resource_type]
        # A type without an update handler is created again.
        for operation, properties_at in (("create", 1), ("update", 2)):
            if operation in handler:
                handler[operation] = _with_step(handler[operation], step, properties_at)
        return step

    return install


def _with_step(write: Function, step: Step, properties_at: int) -> Function:
    def write_then_step(*args: Any, **kwargs: Any) -> Any:
        physical_id, attributes = write(*args, **kwargs)
        changed = step(physical_id, args[properties_at])
        return physical_id, attributes if changed is None else changed

    return write_then_step


@after_write("AWS::DynamoDB::Table")
def table_recovery_and_expiry(name: str, props: Any) -> None:
    dynamodb = client("dynamodb", get_region())
    recovery = (props.get("PointInTimeRecoverySpecification") or {}).get("PointInTimeRecoveryEnabled")
    if recovery is not None:
        dynamodb.update_continuous_backups(
            TableName=name,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": provisioners._cfn_bool(recovery)},
        )
    expiry = props.get("TimeToLiveSpecification")
    status = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]["TimeToLiveStatus"]
    if expiry and (status == "ENABLED") != provisioners._cfn_bool(expiry["Enabled"]):
        dynamodb.update_time_to_live(
            TableName=name,
            TimeToLiveSpecification={
                "AttributeName": expiry["AttributeName"],
                "Enabled": provisioners._cfn_bool(expiry["Enabled"]),
            },
        )


@after_write("AWS::Lambda::Function")
def function_network(name: str, props: Any) -> None:
    from ministack.services import lambda_svc

    network = props.get("VpcConfig")
    if network:
        lambda_svc._functions[name]["config"]["VpcConfig"] = {
            "SubnetIds": list(network.get("SubnetIds") or []),
            "SecurityGroupIds": list(network.get("SecurityGroupIds") or []),
            "VpcId": "",
        }
