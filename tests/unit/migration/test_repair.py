"""A repair makes the named rows what they are in the old system, by the rules of every load, and no others."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdas.migration.handler import COMMANDS, Work
from lambdas.migration.objects import Bucket
from migration import __main__ as command_line
from migration import repair as repair_module
from migration import verify
from migration.differences import Comparison, Kind
from migration.outcome import ExitCode, Failed
from migration.repair import repair
from migration.source import Source
from migration.target import Target
from migration.verify import check, compare_all, lines
from tests.oldsystem.population import populate
from tests.unit.lambdas.migration.conftest import S3
from tests.unit.migration.sides import Sides

CUSTOMERS = 120


class Function:
    """The function of the migration, called in this process as its own user."""

    def __init__(self, sides: Sides) -> None:
        self.connection = sides.migration()
        self._work = Work(connection=self.connection, bucket=Bucket(S3(), "migration"), has_time=lambda: True)

    def __call__(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        return COMMANDS[event["command"]](self._work, json.loads(json.dumps(event)))


class Bench:
    def __init__(self, sides: Sides) -> None:
        self.old, self.here = sides.old.connect(), sides.platform()
        self.function = Function(sides)
        self.source, self.target = Source(self.old), Target(self.function)
        populate(self.old, customers=CUSTOMERS, merchants=4)
        sides.move()

    def compare(self) -> list[Comparison]:
        return compare_all(self.source, self.target, 0.001)

    def repair(self) -> list[str]:
        return repair(self.source, self.target, self.compare())

    def close(self) -> None:
        for connection in (self.old, self.here, self.function.connection):
            connection.close()


@pytest.fixture
def bench(sides: Sides) -> Iterator[Bench]:
    bench = Bench(sides)
    yield bench
    bench.close()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.integers(1, CUSTOMERS), st.sampled_from(Kind), max_size=10))
def test_after_a_repair_both_sides_are_alike(bench: Bench, planted: dict[int, Kind]) -> None:
    for number, kind in planted.items():
        name = f"c-{number:07d}"
        if kind is Kind.MISSING:
            bench.here.run("DELETE FROM merchant_customers WHERE customer_id = :id", id=name)
            bench.here.run("DELETE FROM customers WHERE customer_id = :id", id=name)
        elif kind is Kind.EXTRA:
            bench.here.run("INSERT INTO customers VALUES (:id, 'active', 'DE', '{EUR}')", id=f"x{number}")
            bench.here.run("INSERT INTO merchant_customers VALUES ('m-002', :id)", id=f"x{number}")
        else:
            bench.here.run("UPDATE customers SET country = 'NL' WHERE customer_id = :id", id=name)
    told = bench.repair()
    assert not [each for each in bench.compare() if each.differs]
    repaired = sum(int(line.split()[1]) for line in told if line.endswith("repaired"))
    assert repaired == sum(1 if kind is Kind.OTHER else 2 for kind in planted.values())


def test_what_a_load_would_reject_stays_away_and_is_named_with_the_reason(bench: Bench) -> None:
    bench.old.run("UPDATE customers SET allowed_currencies = 'EUR,XXX' WHERE customer_id = 'c-0000001'")
    bench.old.run("INSERT INTO customers VALUES ('4111111111111111', 'active', 'DE', 'EUR')")
    assert bench.repair() == [
        "customers: 0 rows repaired",
        "  ****1111 rejected: customer_id may be a card number",
        "  c-0000001 rejected: allowed_currencies has a currency that is not accepted",
    ]
    with pytest.raises(Failed, match="customers"):
        check(bench.compare())
    assert "4111111111111111" not in "\n".join(lines(bench.compare()))


def test_a_principal_takes_another_merchant_only_if_it_is_named(bench: Bench) -> None:
    # Given a principal that has another merchant at the old system
    shop = "arn:aws:iam::111122223333:role/shop"
    bench.old.run("CREATE TABLE merchant_principals (principal text, merchant_id text)")
    try:
        bench.old.run(f"INSERT INTO merchant_principals VALUES ('{shop}', 'm-001')")
        bench.here.run(f"INSERT INTO merchant_principals VALUES ('{shop}', 'm-002')")
        # When it is repaired without its name, then it is rejected
        [applied, rejected] = bench.repair()
        assert applied == "merchant_principals: 0 rows repaired"
        assert "rejected: merchant_id is another one here" in rejected
        # When a person names it, then it is what it is there
        assert repair(bench.source, bench.target, bench.compare(), [shop]) == ["merchant_principals: 1 rows repaired"]
        assert bench.here.run("SELECT merchant_id FROM merchant_principals WHERE principal = :p", p=shop) == [["m-001"]]
    finally:
        bench.old.run("DROP TABLE merchant_principals")
        bench.here.run("DELETE FROM merchant_principals WHERE principal = :p", p=shop)


def test_a_row_that_a_change_reaches_first_is_left_alone(bench: Bench) -> None:
    bench.old.run("UPDATE customers SET country = 'AT' WHERE customer_id IN ('c-0000001', 'c-0000002')")
    found = bench.compare()
    bench.here.run("UPDATE customers SET country = 'CH' WHERE customer_id = 'c-0000001'")
    assert repair(bench.source, bench.target, found) == [
        "customers: 1 rows repaired", "  c-0000001 has changed here meanwhile: left alone",
    ]  # fmt: skip
    assert bench.here.run("SELECT country FROM customers WHERE customer_id IN ('c-0000001', 'c-0000002') ORDER BY "
                          "customer_id") == [["CH"], ["AT"]]  # fmt: skip


def test_older_changes_do_not_undo_a_repair_and_newer_ones_follow_it(bench: Bench) -> None:
    # Given that changes were applied up to line 7 of a file
    bench.here.run(
        "INSERT INTO migration.files (key, kind, sort_order, etag, line, state, report) VALUES "
        "('changes/CDC_TXN-20261129013051123.csv', 'changes', '20261129013051123', 'e', 7, 'done', '{}')"
    )
    bench.old.run("UPDATE customers SET country = 'AT' WHERE customer_id = 'c-0000001'")
    bench.repair()
    [[position]] = bench.here.run("SELECT position FROM migration.changed_rows")
    assert "20261129013051123#000000000007" < position < "20261129013051123#000000000008"


def test_nothing_is_repaired_while_other_rows_are_moved(bench: Bench) -> None:
    bench.here.run("SELECT pg_advisory_lock(7301204)")  # as a load does
    rows = [{"key": "c-0000001", "seen": None, "values": None}]
    # The command waits then: see test_load_and_follow.py
    assert bench.function({"command": "repair", "table": "customers", "rows": rows}) == {"state": "busy"}


def test_the_commands_name_repair_and_end_with_their_codes(
    bench: Bench, sides: Sides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (verify, repair_module):
        monkeypatch.setattr(module, "MigrationFunction", lambda environment: SimpleNamespace(call=bench.function))
    monkeypatch.setenv("MIGRATION_SOURCE", sides.old.url)

    def run(command: str) -> tuple[int, str, dict[str, Any]]:
        code = command_line.main([command, "--env", "dev", "--lag", "0.001", "--reports", str(tmp_path)])
        printed = capsys.readouterr()
        return code, printed.out + printed.err, json.loads((tmp_path / "verify.json").read_text())

    assert run("verify")[0] == ExitCode.DONE
    bench.old.run("UPDATE customers SET status = 'blocked' WHERE customer_id = 'c-0000001'")
    code, printed, report = run("verify")
    assert code == ExitCode.FAILED
    assert "c-0000001 is another one here" in printed
    assert "status active: " in printed
    assert report["alike"] is False
    assert report["tables"][0]["differences"] == [{"key": "c-0000001", "kind": "is another one here"}]
    code, printed, report = run("repair")
    assert (code, report["alike"]) == (ExitCode.DONE, True)
    assert "customers: 1 rows repaired" in printed


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://cards/cards",
        "postgresql://cards",
        "postgresql://u:pass@127.0.0.1:1/cards",
        "postgresql://u:pass℀@cards/cards",
    ],
)
def test_an_old_system_that_can_not_be_asked_is_a_sentence_without_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MIGRATION_SOURCE", raising=False)
    assert command_line.main(["verify", "--env", "dev", "--source", url]) == ExitCode.UNAVAILABLE
    said = capsys.readouterr().err
    assert "old system's database" in said
    assert "pass" not in said
