"""A candidate is compared with the last promoted release that was measured in the same way."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from loadtest.baseline import Comparison, compare, promoted_gates
from loadtest.machine import machine_class
from loadtest.p99 import GateVerdict, RouteJudgement

HERE = "a processor, 2 processors"


def judged(route: str = "/process", p99: float | None = 40.0, lower: float | None = 35.0) -> RouteJudgement:
    return RouteJudgement(
        route=route, verdict=GateVerdict.PASS, reasons=[], limit_ms=200.0, samples=300, over_limit=0, allowed_over=0,
        p50_ms=10.0, p90_ms=20.0, p99_ms=p99, p99_lower_ms=lower, p99_upper_ms=190.0, max_ms=190.0, errors=0,
    )  # fmt: skip


def promoted(p99: float = 40.0, *, release: str = "R1", machine: str = HERE, rate: float = 40.0) -> dict[str, Any]:
    routes = {"/process": {"p50_ms": 10.0, "p99_ms": p99}}
    return {"release_id": release, "commit": "c0ffee0123456789", "machine": machine, "rate": rate, "routes": routes}


def compared(run: RouteJudgement, *before: dict[str, Any], margin: float = 0.25) -> Comparison:
    return compare([run], before, machine=HERE, rate=40.0, margin=margin)


def test_a_slow_down_below_the_limit_is_said() -> None:
    found = compared(judged(p99=185.0, lower=150.0), promoted(40.0))
    assert found.slower == ["/process"]
    assert found.text == "slower than release R1 (c0ffee012345): p99 /process 185.0 ms, was 40.0"


@pytest.mark.parametrize(
    ("p99", "lower", "why"),
    [
        (59.0, 50.0, "under 20 ms more"),
        (100.0, 38.0, "a few slow requests may be chance: the lower bound is not above what it was"),
        (30.0, 25.0, "faster"),
    ],
)
def test_a_small_or_uncertain_difference_is_not(p99: float, lower: float, why: str) -> None:
    found = compared(judged(p99=p99, lower=lower), promoted(40.0))
    assert found.slower == [], why
    assert found.text == f"no slower than release R1 (c0ffee012345): p99 /process {p99:.1f} ms, was 40.0"


def test_the_margin_is_a_share_of_the_former_p99() -> None:
    run = judged(p99=140.0, lower=120.0)
    assert compared(run, promoted(100.0), margin=0.25).slower == ["/process"]
    assert compared(run, promoted(100.0), margin=0.5).slower == []


def test_the_last_one_of_the_same_machine_and_rate_counts() -> None:
    found = compared(
        judged(p99=185.0, lower=150.0),
        promoted(180.0, release="R3", machine="another"),
        promoted(180.0, release="R2", rate=10.0),
        promoted(40.0, release="R1"),
        promoted(180.0, release="R0"),
    )
    assert (found.release_id, found.slower) == ("R1", ["/process"])


@pytest.mark.parametrize(
    ("before", "text"),
    [
        ([], "not compared with a promoted release: none was measured yet"),
        ([promoted(machine="another")], "not compared with a promoted release: none was measured on such a machine"),
        ("no right", "not compared with a promoted release: no right"),
    ],
)
def test_without_one_it_says_why(before: Any, text: str) -> None:
    found = compare([judged()], before, machine=HERE, rate=40.0, margin=0.25)
    assert found.release_id is None
    assert found.text.startswith(text)


def test_a_route_that_one_of_both_did_not_measure_is_left_out() -> None:
    assert compared(judged("/transactions"), promoted()).routes == {}
    assert compared(replace(judged(), p99_ms=None), promoted()).routes == {}


def test_a_gate_that_may_not_read_them_goes_on() -> None:
    class Refusing:
        def client(self, _: str) -> "Refusing":
            return self

        def get_item(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetItem")

    found = promoted_gates(Refusing(), "table", "dev")  # type: ignore[arg-type]
    assert isinstance(found, str)
    assert "AccessDenied" in found


def test_a_machine_is_known_by_its_processor_and_aws_by_its_region() -> None:
    assert machine_class("127.0.0.1").endswith("processors")
    assert machine_class("abc123.execute-api.us-east-1.amazonaws.com") == "execute-api.us-east-1.amazonaws.com"
