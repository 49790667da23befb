"""What AWS refuses after a failed deployment, and MiniStack lets pass.

- A stack whose first creation failed takes no change set and no creation. It can only be deleted.
- A change set whose execution failed is gone, so the execution can't be tried again.
- A stack's deletion or roll-back can't delete a protected cluster, table or load balancer. What a roll-back could not
  delete stays a resource of the stack.
"""

from typing import Any

from ministack.services import alb, dynamodb, rds
from ministack.services import cloudformation as cloudformation_state
from ministack.services.cloudformation import changesets, handlers, provisioners, stacks

from localcloud.emulator.upstream import Function, original, replaces

STRANDED = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")

original(provisioners, "_delete_resource")


def _stranded(stack_name: str) -> Any:
    stack = handlers._resolve_stack(stack_name)
    return stack if stack and stack.get("StackStatus") in STRANDED else None


@replaces(changesets, "_create_change_set", handlers)
def create_change_set(create: Function, params: Any) -> Any:
    if stack := _stranded(changesets._p(params, "StackName")):
        message = f"Stack:{stack['StackId']} is in {stack['StackStatus']} state and can not be updated."
        return changesets._error("ValidationError", message)
    return create(params)


@replaces(handlers, "_create_stack")
def create_stack(create: Function, params: Any) -> Any:
    name = handlers._p(params, "StackName")
    if _stranded(name):
        return handlers._error("AlreadyExistsException", f"Stack [{name}] already exists")
    return create(params)


handlers._ACTION_HANDLERS["CreateChangeSet"] = handlers._create_change_set
handlers._ACTION_HANDLERS["CreateStack"] = handlers._create_stack


@replaces(changesets, "_track_change_set_execution")
async def execute(track: Function, change_set: Any, stack: Any, deployment: Any) -> None:
    await track(change_set, stack, deployment)
    if change_set["ExecutionStatus"] == "EXECUTE_FAILED":
        cloudformation_state._change_sets.pop(change_set["ChangeSetId"], None)


@replaces(stacks, "_roll_back_operation", handlers)
async def roll_back(
    run: Function, name: str, stack_id: str, stack: Any, operation: Any, *rest: Any, **more: Any
) -> None:
    before = dict(stack.get("_resources", {}))
    await run(name, stack_id, stack, operation, *rest, **more)
    if stack["StackStatus"] == "ROLLBACK_FAILED":
        for logical_id in stack.get("_rollback_failed", {}):
            stack["_resources"][logical_id] = {**before[logical_id], "ResourceStatus": "DELETE_FAILED"}


def _protect(resource_type: str, protected: Any, reason: str) -> None:
    handler = provisioners._RESOURCE_HANDLERS[resource_type]
    delete = handler["delete"]

    def refuse_or_delete(physical_id: str, props: Any) -> None:
        if protected(physical_id):
            raise ValueError(reason)
        delete(physical_id, props)

    handler["delete"] = refuse_or_delete


def _balancer_is_protected(arn: str) -> bool:
    attributes = {each["Key"]: each["Value"] for each in alb._lb_attrs.get(arn, [])}
    return attributes.get("deletion_protection.enabled") == "true"


_protect(
    "AWS::RDS::DBCluster",
    lambda id: rds._clusters.get(id, {}).get("DeletionProtection"),
    "Cannot delete protected Cluster, please disable deletion protection and try again.",
)
_protect(
    "AWS::DynamoDB::Table",
    lambda name: dynamodb._tables.get(name, {}).get("DeletionProtectionEnabled"),
    "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.",
)
_protect(
    "AWS::ElasticLoadBalancingV2::LoadBalancer",
    _balancer_is_protected,
    "Load balancer cannot be deleted because deletion protection is enabled",
)
