"""What policies decide on the local cloud: schedules, conditional writes, the ARN of a role's session."""

import json
from typing import Any

import pytest
from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import request_scope
from ministack.services import eventbridge
from ministack.services import iam as iam_svc

from localcloud.emulator import buckets, identity, permissions  # noqa: F401  # they extend MiniStack

ACCOUNT = "111111111111"
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:job"
RULE = {"Arn": f"arn:aws:events:us-east-1:{ACCOUNT}:rule/hourly"}


@pytest.mark.parametrize("allowed", [True, False])
def test_a_rule_runs_a_function_with_permission_only(allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a rule and its function
    asked: list[tuple[str, str, str]] = []
    ran: list[str] = []

    def may_invoke(service: str, function_arn: str, *, source_arn: str) -> bool:
        asked.append((service, function_arn, source_arn))
        return allowed

    monkeypatch.setattr(permissions, "may_invoke", may_invoke)
    monkeypatch.setattr(eventbridge, "_dispatch_to_lambda", lambda arn, payload: ran.append(arn))
    # When its time has come
    with request_scope(ACCOUNT, "us-east-1"):
        eventbridge._invoke_target({"Id": "1", "Arn": FUNCTION}, {"Resources": [RULE["Arn"]], "Detail": "{}"}, RULE)
    # Then the function's policy decides
    assert asked == [("events.amazonaws.com", FUNCTION, RULE["Arn"])]
    assert ran == ([FUNCTION] if allowed else [])


@pytest.mark.parametrize(
    ("action", "headers", "value"),
    [
        ("s3:PutObject", {"if-none-match": "*"}, "*"),
        ("s3:PutObject", {}, None),
        ("s3:GetObject", {"if-none-match": "*"}, None),
    ],
)
def test_a_conditional_write_tells_policies_so(action: str, headers: dict[str, str], value: str | None) -> None:
    context: dict[str, Any] = iam_actions.s3_service_context(action, {}, "/bucket/key", headers)
    assert context.get("s3:if-none-match") == value


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/sealing/session", f"arn:aws:iam::{ACCOUNT}:role/jobs/sealing"),
        (f"arn:aws:iam::{ACCOUNT}:user/me", f"arn:aws:iam::{ACCOUNT}:user/me"),
    ],
)
def test_the_principal_of_a_session_is_its_role(caller: str, expected: str) -> None:
    with request_scope(ACCOUNT, "us-east-1"):
        iam_svc._roles["sealing"] = {"Arn": f"arn:aws:iam::{ACCOUNT}:role/jobs/sealing"}
        context = iam_evaluator.EvalContext(
            principal_arn=caller, principal_type="AssumedRole", principal_account=ACCOUNT, action="s3:PutObject",
            resource_arn="*", region="us-east-1",
        )  # fmt: skip
        try:
            assert iam_evaluator._resolve_condition_key("aws:PrincipalArn", context) == expected
        finally:
            del iam_svc._roles["sealing"]


@pytest.mark.parametrize(
    ("sources", "value"),
    [
        (["payments.release"], "payments.release"),
        (["payments.release", "payments.other"], "payments.other payments.release"),
    ],
)
def test_the_source_of_events_is_told_to_policies(sources: list[str], value: str) -> None:
    entries = [{"Source": source, "DetailType": "Release Event", "Detail": "{}"} for source in sources]
    body = json.dumps({"Entries": entries}).encode()
    context = iam_actions.request_tag_context("events", "events:PutEvents", body, {})
    assert context["events:source"] == value
    assert context["events:detail-type"] == "Release Event"


@pytest.mark.parametrize(
    ("caller", "trusted"),
    [
        (f"arn:aws:iam::{ACCOUNT}:root", True),  # the local engine gives the commands of the builds
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/payment-step-shift-dev/build", True),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/payment-step-load-gate-dev/build", False),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/developer/ann", False),
    ],
)
def test_a_role_that_trusts_a_build_trusts_the_account_s_root_too_and_nobody_else(caller: str, trusted: bool) -> None:
    # Given a role that trusts a build of a pipeline in another account, or in this one
    for pipeline in ("999999999999", ACCOUNT) if caller.endswith(":root") else (ACCOUNT,):
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{pipeline}:root"},
            "Action": "sts:AssumeRole",
            "Condition": {"ArnEquals": {"aws:PrincipalArn": [f"arn:aws:iam::{pipeline}:role/payment-step-shift-dev"]}},
        }
        trust = {"Version": "2012-10-17", "Statement": [statement]}
        with request_scope(ACCOUNT, "us-east-1"):
            for role in ("payment-step-shift-dev", "payment-step-load-gate-dev", "developer"):
                iam_svc._roles[role] = {"RoleName": role, "Arn": f"arn:aws:iam::{ACCOUNT}:role/{role}"}
            # When somebody wants to assume it
            assert iam_evaluator.evaluate_trust_policy(trust, caller) is trusted


def test_a_change_of_dns_records_tells_policies_what_it_changes_and_has_an_arn() -> None:
    records = "".join(
        f"<Change><Action>{action}</Action><ResourceRecordSet><Name>{name}</Name><Type>{kind}</Type></ResourceRecordSet>"
        "</Change>"
        for action, name, kind in (("UPSERT", "Pay.Example.com.", "CNAME"), ("DELETE", "other.example.com", "A"))
    )
    action = "route53:ChangeResourceRecordSets"
    context = iam_actions.request_tag_context("route53", action, records.encode(), {})
    prefix = action.lower()
    assert context[f"{prefix}actions"] == ["UPSERT", "DELETE"]
    assert context[f"{prefix}recordtypes"] == ["CNAME", "A"]
    assert context[f"{prefix}normalizedrecordnames"] == ["pay.example.com", "other.example.com"]
    arn = iam_actions.extract_resource_arn("route53", "GET", "/2013-04-01/change/C1", {}, b"", {}, "us-east-1", ACCOUNT)
    assert arn == "arn:aws:route53:::change/C1"
