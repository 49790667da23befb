"""Fraud rules are released like code: a deployment changes the candidate, a shift stable, and an undo goes back."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from environments import DEV
from loadtest.scenario import card_number, client_address
from names import Function
from stages import bundling

from .conftest import Platform, deployed
from .merchant import PAYMENT, Merchant

PAYER = 1650
"""A synthetic customer for whom no other test pays: many payments lead to a review."""
RULES = Path("lambdas/payments/fraud_rules.json")


def decision(merchant: Merchant) -> str:
    """The fraud rules' decision on a small payment from abroad."""
    own = {"customer_id": f"load-{PAYER:05}", "card_number": card_number(PAYER), "client_ip": client_address(PAYER)}
    answer = merchant.post("/fraud-check", PAYMENT | own | {"country": "NZ"})
    assert answer.status == 200, answer.body
    return str(answer.body["decision"])


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "AWS::ApiGateway::Model": lambda it: it["Schema"]["properties"].update(a_new_field={"type": "string"}),
    "AWS::ApiGateway::GatewayResponse": lambda it: it.setdefault("ResponseParameters", {}).update(
        {"gatewayresponse.header.X-New": "'new'"}
    ),
    "AWS::ApiGateway::Stage": lambda it: [
        each.update(ThrottlingBurstLimit=each["ThrottlingBurstLimit"] + 1) for each in it["MethodSettings"]
    ],
    "AWS::WAFv2::WebACL": lambda it: it.update(Description="changed"),
    "AWS::ElasticLoadBalancingV2::TargetGroup": lambda it: it.setdefault("Tags", []).append(
        {"Key": "changed", "Value": "yes"}
    ),
    "AWS::SSM::Parameter": lambda it: it.update(Description="changed"),
    "AWS::SecretsManager::Secret": lambda it: it.update(Description="changed"),
    "AWS::IAM::ManagedPolicy": lambda it: it["PolicyDocument"]["Statement"].append(
        {"Effect": "Allow", "Action": "xray:GetSamplingRules", "Resource": "*"}
    ),
    "Custom::DatabaseSchema": lambda it: it.update(Changed="yes"),  # the migrations run again
}
"""A change of each kind of thing that has no versions (docs/release.md), as a release may make it: by its type."""


def change_everything(resources: dict[str, Any]) -> None:
    for type, change in CHANGES.items():
        changed = [change(each["Properties"]) for each in resources.values() if each["Type"] == type]
        assert changed, type


def answers(merchant: Merchant) -> list[tuple[int, set[str], str]]:
    """Status, fields and version of each route's answer to an ordinary request, of a broken one, and of an unsigned
    one."""
    found = [merchant.pay(route) for route in ("/validate", "/fraud-check", "/process")]
    found.append(merchant.get("/transactions", customer_id="load-02000", limit="1"))
    found.append(merchant.post("/validate", {"amount": "1"}))
    found.append(merchant.post("/validate", {}, signed=False))
    return [(each.status, set(each.body), each.headers.get("x-function-version", "")) for each in found]


@pytest.fixture(scope="module")
def before(platform: Platform) -> list[tuple[int, set[str], str]]:
    """How stable answered before the commit."""
    return answers(platform.api())


@pytest.fixture(scope="module")
def stricter(
    platform: Platform, before: list[tuple[int, set[str], str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """A commit that declines every payment from abroad, and changes all that has no versions, deployed. Afterwards the
    old one is deployed again. Leave stable as it is."""
    folder = tmp_path_factory.mktemp("stricter")
    changed = folder / "bundle"
    shutil.copytree(bundling.bundle(), changed)
    rules = json.loads((changed / RULES).read_text())
    rules["rules"]["country_mismatch"]["score"] = 100
    (changed / RULES).write_text(json.dumps(rules))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundling, "bundle", lambda: changed)
        yield deployed(platform.cloud, DEV.name, folder, change_everything)
    deployed(platform.cloud, DEV.name, platform.assembly.parent)


def run(platform: Platform, *command: str) -> str:
    done = platform.run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def eventually(platform: Platform, merchant: Merchant, expected: str) -> None:
    """Functions follow the parameter within a minute; environments that start anew, as Lambda's do at any time, at
    once."""
    platform.end_environments(Function.FRAUD_DETECTION.of(DEV.name))
    until = time.monotonic() + 75
    while (found := decision(merchant)) != expected:
        assert time.monotonic() < until, found
        time.sleep(1)


def test_an_override_changes_the_version_whose_rules_it_names_and_no_other(stricter: Platform, tmp_path: Path) -> None:
    stable, candidate = stricter.api(), stricter.candidate_api()
    assert (decision(stable), decision(candidate)) == ("approve", "decline")
    # When the live rules are overridden
    reviewed: dict[str, Any] = json.loads((bundling.SOURCE.parent / RULES).read_text())
    reviewed["rules"]["country_mismatch"]["score"] = 40
    file = tmp_path / "reviewed.json"
    file.write_text(json.dumps(reviewed))
    shown = run(stricter, "pipeline.rules", "put", str(file), "--env", "dev", "--reason", "test")
    assert "rules.country_mismatch.score: 20 -> 40" in shown
    # Then stable follows, and the candidate does not
    eventually(stricter, stable, "review")
    assert decision(candidate) == "decline"
    # When it is withdrawn, then stable has its own rules again
    run(stricter, "pipeline.rules", "withdraw", "--env", "dev", "--reason", "test")
    eventually(stricter, stable, "approve")
    assert "withdrawn by arn:aws:iam::" in run(stricter, "pipeline.rules", "show", "--env", "dev")


def test_a_commit_that_changes_the_rules_changes_stable_by_its_shift_only_and_a_way_back_takes_them_back(
    before: list[tuple[int, set[str], str]], stricter: Platform
) -> None:
    stable, candidate = stricter.api(), stricter.candidate_api()
    # When it is deployed, then customers get what they got, from the same versions
    assert answers(stable) == before
    # And only the candidate decides by the new rules
    assert (decision(stable), decision(candidate)) == ("approve", "decline")
    # When it is promoted, stable does; and after the way back it does not
    run(stricter, "pipeline.release", "promote", "--env", "dev", "--now", "--override", "test of the rules")
    assert decision(stable) == "decline"
    run(stricter, "pipeline.release", "undo", "--env", "dev", "--now")
    assert decision(stable) == "approve"
