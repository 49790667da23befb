"""Weighted forwarding of an Application Load Balancer, and its metrics per target group.

MiniStack keeps only the first target group of a ``ForwardConfig``. Stickiness, health checks and TLS between load
balancer and target are not emulated.
"""

import random
import time
from collections.abc import Sequence
from typing import Any

from ministack.services import alb
from ministack.services.cloudformation import provisioners

from localcloud.emulator import aliases, metrics
from localcloud.emulator.permissions import LOAD_BALANCER, may_invoke
from localcloud.emulator.properties import after_write
from localcloud.emulator.upstream import Function, replaces

NO_TARGET_GROUP = (503, {"Content-Type": "text/html"}, b"<html><body>503 Service Temporarily Unavailable</body></html>")

Groups = list[dict[str, Any]]


def pick_target_group(groups: Sequence[dict[str, Any]], draw: float) -> str | None:
    """The ARN of the group that gets a request, for a ``draw`` from [0, 1); ``None`` when every weight is 0."""
    left = draw * sum(group["Weight"] for group in groups)
    for group in groups:
        left -= group["Weight"]
        if left < 0:
            return str(group["TargetGroupArn"])
    return None


def _store(action: dict[str, Any], groups: Groups) -> None:
    if groups:
        action["ForwardConfig"] = {"TargetGroups": groups}
        if len(groups) > 1:
            action.pop("TargetGroupArn", None)
        else:
            action["TargetGroupArn"] = groups[0]["TargetGroupArn"]


def _weight(value: Any) -> int:
    return 1 if value in (None, "") else int(value)


@replaces(alb, "_parse_actions")
def parse_actions(parse: Function, params: Any, prefix: str = "DefaultActions") -> Any:
    """The actions in a call of the ELBv2 API, such as ModifyListener."""
    actions = parse(params, prefix)
    for number, action in enumerate(actions, 1):
        groups: Groups = []
        member = f"{prefix}.member.{number}.ForwardConfig.TargetGroups.member."
        while arn := alb._p(params, f"{member}{len(groups) + 1}.TargetGroupArn"):
            weight = alb._p(params, f"{member}{len(groups) + 1}.Weight")
            groups.append({"TargetGroupArn": arn, "Weight": _weight(weight)})
        _store(action, groups)
    return actions


@replaces(provisioners, "_elbv2_listener_actions")
def template_actions(convert: Function, props: Any, lb_arn: str, prop: str = "DefaultActions") -> Any:
    """The actions of a listener or rule in a template."""
    actions = convert(props, lb_arn, prop)
    for action, declared in zip(actions, props.get(prop) or [], strict=True):
        groups = (declared.get("ForwardConfig") or {}).get("TargetGroups") or []
        _store(action, [{"TargetGroupArn": g["TargetGroupArn"], "Weight": _weight(g.get("Weight"))} for g in groups])
        for group in groups:
            _remember_load_balancer(group["TargetGroupArn"], lb_arn)
    return actions


def _remember_load_balancer(group_arn: str, lb_arn: str) -> None:
    users = alb._tgs[group_arn].setdefault("LoadBalancerArns", [])
    if lb_arn and lb_arn not in users:
        users.append(lb_arn)


@replaces(alb, "_action_xml")
def action_xml(render: Function, action: dict[str, Any]) -> str:
    text: str = render(action)
    forward = action.get("ForwardConfig")
    if not forward:
        return text
    groups = "".join(
        f"<member><TargetGroupArn>{g['TargetGroupArn']}</TargetGroupArn><Weight>{g['Weight']}</Weight></member>"
        for g in forward["TargetGroups"]
    )
    sticky = "<TargetGroupStickinessConfig><Enabled>false</Enabled></TargetGroupStickinessConfig>"
    xml = f"<ForwardConfig><TargetGroups>{groups}</TargetGroups>{sticky}</ForwardConfig>"
    return text.removesuffix("</member>") + xml + "</member>"


@replaces(alb, "_execute_action")
async def execute_action(execute: Function, action: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
    forward = action.get("ForwardConfig")
    if forward and str(action.get("Type")).lower() == "forward":
        arn = pick_target_group(forward["TargetGroups"], random.random())  # noqa: S311
        if arn is None:
            return NO_TARGET_GROUP
        action = {**action, "TargetGroupArn": arn}
    return await execute(action, *args, **kwargs)


@replaces(alb, "_forward_to_tg")
async def forward_to_group(forward: Function, group_arn: str, *args: Any, **kwargs: Any) -> Any:
    invocation = aliases.Invocation()
    token = aliases.current.set(invocation)
    started = time.perf_counter()
    try:
        answer = await forward(group_arn, *args, **kwargs)
    finally:
        aliases.current.reset(token)
    group = alb._tgs.get(group_arn) or {}
    metrics.record_load_balancer(
        load_balancer=(group.get("LoadBalancerArns") or [""])[0].partition(":loadbalancer/")[2],
        target_group=alb._target_group_full_name_from_arn(group_arn),
        seconds=time.perf_counter() - started,
        status=answer[0],
        target_failed=invocation.failed,
    )
    return answer


@after_write("AWS::ElasticLoadBalancingV2::TargetGroup")
def register_targets(arn: str, props: Any) -> None:
    """Register a template's targets. MiniStack ignores them.

    Raises ``ValueError`` when the load balancer may not invoke a target.
    """
    for target in props.get("Targets") or []:
        if props.get("TargetType") == "lambda" and not may_invoke(LOAD_BALANCER, target["Id"], source_arn=arn):
            raise ValueError(
                f"elasticloadbalancing principal does not have permission to invoke {target['Id']} "
                f"from target group {arn}"
            )
    if props.get("Targets"):
        alb._targets[arn] = [dict(target) for target in props["Targets"]]
