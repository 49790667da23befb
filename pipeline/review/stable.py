"""What a change takes from the stable version: a right, its role, or a resource that its settings name.

Roles and policies have no versions. When a deployment narrows a policy, the stable version loses the right too, while
it still serves production traffic. So permissions go like migrations: expand, release code that does without, contract.
Lambda also refuses an alias over two versions with different roles (Developer Guide, "Implement Lambda canary
deployments using a weighted alias").
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from botocore import xform_name

from pipeline.assembly import references
from pipeline.review import NotCompared
from pipeline.review.findings import Finding
from pipeline.review.templates import policies
from pipeline.review.templates.pairing import Pairing
from pipeline.review.templates.policies import Statement
from pipeline.review.templates.replacement import replacements
from pipeline.review.templates.stack import Stack, pairs

FUNCTIONS = "lambdas"
PACK = "StableVersion"
OF_LAMBDA = ("ec2", "logs", "rds-db", "xray")
"""Services that a function needs without a call in its code."""
VIA_SERVICE = re.compile(r"kms:ViaService = (\w+)\.")
POLICIES = ("AWS::IAM::ManagedPolicy", "AWS::IAM::Policy")


def words(tree: Path) -> frozenset[str]:
    """The names that the functions' code in ``tree`` uses: methods of SDK clients are among them.

    Raises ``NotCompared`` for a file that this Python can't read.
    """
    found: set[str] = set()
    for file in (tree / FUNCTIONS).rglob("*.py"):
        if not file.is_file():  # a folder of this name, or a symbolic link that leads nowhere
            continue
        try:
            code = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError, RecursionError, MemoryError, OSError) as error:
            raise NotCompared(f"{file.relative_to(tree)} can't be read: {type(error).__name__}: {error}") from error
        for node in ast.walk(code):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return frozenset(found)


def taken(base: Mapping[str, Stack], head: Mapping[str, Stack], code: frozenset[str]) -> list[Finding]:
    """What head takes from the functions of base that are released by an alias. ``code``: ``words`` of base."""
    return [each for before, after in pairs(base, head) if before and after for each in _of_stack(before, after, code)]


def _of_stack(base: Stack, head: Stack, code: frozenset[str]) -> Iterator[Finding]:
    pairing = Pairing(base, head)
    replaced = replacements(pairing)
    gone = {*pairing.removed, *(each.old_id for each in pairing.pairs if each.new_id in replaced)}
    aliases = [each for each in base.resources.values() if each["Type"] == "AWS::Lambda::Alias"]
    released = {id for each in aliases for id in references(each["Properties"]["FunctionName"])} & {*base.resources}
    for id in sorted(released):
        properties = base.resources[id]["Properties"]
        construct = f"{base.path}/{pairing.base_names[id]}"
        [role] = references(properties["Role"])
        if role in gone or _role_of(head, id) not in (role, None):
            yield _finding("Role", construct, "The role of the stable version")
            continue
        for right in _lost(_rights(base, role, pairing.before), _rights(head, role, pairing.after), code):
            yield _finding(f"Right[{right}]", construct, f"The stable version uses the right {right}: it")
        for named in sorted({*references(properties.get("Environment", {}))} & gone):
            name = pairing.base_names[named]
            yield _finding(f"Resource[{name}]", construct, f"The settings of the stable version name {name}: it")


def _finding(what: str, construct: str, lost: str) -> Finding:
    return Finding(
        rule=f"{PACK}::Loses{what}",
        construct=construct,
        description=f"{lost} goes with this change, while that version still serves traffic. Release code that does"
        " without first, and take it away in a later change.",
    )


def _lost(before: Iterable[Statement], after: Iterable[Statement], code: frozenset[str]) -> list[str]:
    """The used rights of ``before`` that ``after`` does not give, each as ``action on resource``."""
    granted = [each for each in before if each.effect == "Allow"]
    remaining = [each for each in after if each.effect == "Allow"]
    called = {action for each in granted for action in each.actions if xform_name(action.partition(":")[2]) in code}
    services = {action.partition(":")[0] for action in called}

    def is_used(action: str, statement: Statement) -> bool:
        service = action.partition(":")[0]
        if service == "kms":
            through = {match[1] for each in statement.conditions if (match := VIA_SERVICE.search(each))}
            return not through or bool(through & services)
        return action in called or service in OF_LAMBDA or "*" in action

    return sorted(
        {
            f"{action} on {resource}"
            for each in granted
            for action in each.actions
            for resource in each.resources
            if is_used(action, each) and not any(_gives(other, action, resource, each) for other in remaining)
        }
    )


def _gives(statement: Statement, action: str, resource: str, former: Statement) -> bool:
    """Whether ``statement`` gives the right, under no condition that ``former`` had not."""
    return (
        any(fnmatchcase(action.lower(), each.lower()) for each in statement.actions)
        and any(each == resource or fnmatchcase(resource, each) for each in statement.resources)
        and statement.conditions <= former.conditions
    )


def _rights(stack: Stack, role: str, spelled: Any) -> list[Statement]:
    """The statements of all policies of ``role``. ``spelled``: ``Pairing.before`` or ``Pairing.after``."""
    attached = {*references(stack.resources[role]["Properties"].get("ManagedPolicyArns", []))}
    documents = [document for _, document in policies.documents(spelled(stack.resources[role]).get("Policies", []))]
    for id, resource in stack.resources.items():
        if resource["Type"] in POLICIES and (id in attached or role in references(resource["Properties"].get("Roles"))):
            documents.append(spelled(resource)["PolicyDocument"])
    return [statement for document in documents for statement in policies.statements(document)]


def _role_of(stack: Stack, function: str) -> str | None:
    """The role that a function has in ``stack``; ``None`` when the function is gone, with its routes."""
    resource = stack.resources.get(function)
    return next(references(resource["Properties"]["Role"]), None) if resource else None
