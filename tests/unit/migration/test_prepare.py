"""`cutover prepare`: one simple record becomes two weighted ones, and nothing that divides is touched."""

from typing import Any

import pytest

from pipeline.release.outcome import ExitCode, Why
from tests.unit.migration.cutover_bench import SETTINGS, CutOverBench

SIMPLE = {
    "Name": "payments.example.com.",
    "Type": "CNAME",
    "TTL": 300,
    "ResourceRecords": [{"Value": "old.example.com"}],
}


@pytest.fixture
def bench() -> CutOverBench:
    bench = CutOverBench()
    bench.route53.simple = [SIMPLE]
    return bench


@pytest.mark.parametrize("there", [[SIMPLE], []], ids=["a simple record", "no record"])
def test_the_name_is_divided_in_one_change_and_all_of_it_stays_on_the_old_system(
    there: list[Any], bench: CutOverBench
) -> None:
    bench.route53.simple = there

    outcome = bench.controller().prepare()

    assert outcome.code is ExitCode.DONE
    [batch] = bench.route53.batches  # Route 53 makes a batch as a whole: the name is never without a record
    assert [change["Action"] for change in batch] == ["DELETE"] * len(there) + ["CREATE", "CREATE"]
    blue, green = (change["ResourceRecordSet"] for change in batch[-2:])
    assert (blue["ResourceRecords"], blue["Weight"]) == ([{"Value": "old.example.com"}], 100)
    assert (green["ResourceRecords"], green["Weight"]) == ([{"Value": "new.example.com"}], 0)
    assert blue["TTL"] == green["TTL"] == SETTINGS.ttl_seconds
    # And each side has a health check of its own, of connections alone
    assert {(check["FullyQualifiedDomainName"], check["Type"]) for check in bench.route53.checks} == {
        ("old.example.com", "TCP"),
        ("new.example.com", "TCP"),
    }
    # And no record has one yet: that of weight 0 would be answered while the old system is unwell
    assert "HealthCheckId" not in blue | green


def test_a_name_that_is_divided_is_never_touched(bench: CutOverBench) -> None:
    bench.route53.simple = None
    bench.route53.weights = {"blue": 75, "green": 25}

    outcome = bench.controller().prepare()

    assert "divided already" in outcome.text
    assert bench.route53.weights == {"blue": 75, "green": 25}
    assert bench.route53.batches == bench.route53.checks == []


def test_after_a_failure_half_way_it_is_made_again_with_the_same_health_checks(bench: CutOverBench) -> None:
    bench.controller().prepare()
    bench.route53.simple = [SIMPLE]
    before = list(bench.route53.checks)

    assert bench.controller().prepare().code is ExitCode.DONE
    assert bench.route53.checks == before


def test_a_dry_run_makes_nothing(bench: CutOverBench) -> None:
    outcome = bench.controller(dry_run=True).prepare()

    assert "payments.example.com CNAME green: new.example.com, weight 0" in outcome.text
    assert bench.route53.batches == bench.route53.checks == []


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([{**SIMPLE, "Type": "A"}], "Give the old system a name of its own, old.example.com"),
        ([SIMPLE, {**SIMPLE, "Type": "TXT"}], "CNAME, TXT"),
        ([{**SIMPLE, "SetIdentifier": "eu"}], "CNAME eu"),
        ([{**SIMPLE, "ResourceRecords": [{"Value": "other.example.com"}]}], "clients would move now"),
    ],
)
def test_records_that_it_can_not_begin_from_are_left_as_they_are(
    records: list[Any], said: str, bench: CutOverBench
) -> None:
    bench.route53.simple = records

    outcome = bench.controller().prepare()

    assert outcome.why == (Why.DRIFT,)
    assert said in outcome.text
    assert bench.route53.batches == []
