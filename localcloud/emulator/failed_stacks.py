"""What AWS refuses during a deployment and after a failed one, and MiniStack lets pass.

- A stack at which CloudFormation is at work takes no change set to update it, and executes none. The execution of one
  change set deletes the others (API reference, "CreateChangeSet", "ExecuteChangeSet": InvalidChangeSetStatus).
- A stack whose first creation failed takes no change set and no creation. It can only be deleted. A stack whose update
  could not be rolled back takes no change set either.
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
original(changesets, "_find_change_set")


def _stranded(stack_name: str) -> Any:
    stack = handlers._resolve_stack(stack_name)
    return stack if stack and stack.get("StackStatus") in STRANDED else None


def _is_busy(stack: Any) -> bool:
    return bool(stack["StackStatus"].endswith("_IN_PROGRESS") and stack["StackStatus"] != "REVIEW_IN_PROGRESS")


@replaces(changesets, "_create_change_set", handlers)
def create_change_set(create: Function, params: Any) -> Any:
    stack = handlers._resolve_stack(changesets._p(params, "StackName"))
    updates = changesets._p(params, "ChangeSetType", "UPDATE") == "UPDATE"
    if stack and (stack["StackStatus"] in (*STRANDED, "UPDATE_ROLLBACK_FAILED") or (updates and _is_busy(stack))):
        message = f"Stack:{stack['StackId']} is in {stack['StackStatus']} state and can not be updated."
        return changesets._error("ValidationError", message)
    return create(params)


@replaces(changesets, "_execute_change_set", handlers)
def execute_change_set(execute: Function, params: Any) -> Any:
    name = changesets._p(params, "ChangeSetName")
    id, change_set = changesets._find_change_set(name, changesets._p(params, "StackName"))
    stack = handlers._resolve_stack(change_set["StackName"]) if change_set else None
    if stack and _is_busy(stack):
        message = f"ChangeSet [{name}] can't be executed: its stack is in {stack['StackStatus']}"
        return changesets._error("InvalidChangeSetStatus", message)
    answer = execute(params)
    if stack and answer[0] < 300:  # MiniStack gives each change set of a stack without resources a stack of its own
        kept = cloudformation_state._change_sets
        for other in [key for key, each in kept.items() if each["StackName"] == stack["StackName"] and key != id]:
            del kept[other]
    return answer


@replaces(handlers, "_create_stack")
def create_stack(create: Function, params: Any) -> Any:
    name = handlers._p(params, "StackName")
    if _stranded(name):
        return handlers._error("AlreadyExistsException", f"Stack [{name}] already exists")
    return create(params)


handlers._ACTION_HANDLERS["CreateChangeSet"] = handlers._create_change_set
handlers._ACTION_HANDLERS["ExecuteChangeSet"] = handlers._execute_change_set
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
