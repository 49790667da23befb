"""A full load in Parquet: read as its CSV would be, by parts, and refused with the way out if it can't be read.

The files in ``parquet/`` were written by pyarrow 26, with what AWS DMS can choose: both versions of the format, pages
of both versions, with and without a dictionary and GZIP, times in micro- and nanoseconds (INT96), amounts as decimals.
Each has the same 30 payments.
"""

import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from lambdas.migration import load, payment_load
from lambdas.migration.files import BEGIN, BadFile
from lambdas.migration.parquet import ParquetFile
from lambdas.migration.state import DONE, READING, REFUSED
from tests.oldsystem.parquet import parquet_file
from tests.unit.lambdas.imported import DAY, PAYMENT, VISA
from tests.unit.lambdas.migration.conftest import Move
from tests.unit.lambdas.migration.test_payment_load import ready as ready
from tests.unit.lambdas.migration.test_payment_load import statuses

FILES = Path(__file__).parent / "parquet"
CUSTOMERS = "full-load/public/customers/LOAD00000001.parquet"
PAYMENTS = "full-load/public/payments/LOAD00000001.parquet"
NAMES = ("Op", "customer_id", "status", "country", "allowed_currencies")


def customers(count: int, rows_a_group: int = 7) -> bytes:
    return parquet_file(NAMES, [["I", f"c-{n}", "active", "DE", "EUR"] for n in range(count)], rows_a_group)


def opened(content: bytes) -> ParquetFile:
    return ParquetFile(lambda offset, number: content[offset : offset + number], len(content))


@pytest.mark.parametrize("name", ["version-1", "version-2", "gzip", "pages", "int96"])
def test_each_value_is_the_text_that_csv_has(name: str) -> None:
    # When
    rows = list(opened((FILES / f"{name}.parquet").read_bytes()).rows(BEGIN))
    # Then missing values, decimals, times, dates, numbers and truth are what they were
    assert [row.line for row in rows] == [*range(1, 31)]
    for number, row in enumerate(rows):
        hundredths = number * 125 - 1000 if number < 2 else number * 125 + 500
        assert (row.op, row.fault, row.values) == ("I", "", {
            "payment_id": f"{10_000_000_000 + number}",
            "created_at": f"{datetime(2025, 3, 4, 10, 0, 0, 123456) + timedelta(seconds=number)}",
            "merchant_id": "shop",
            "customer_id": "c1",
            "amount": f"{'-' * (hundredths < 0)}{abs(hundredths) // 100}.{abs(hundredths) % 100:02}0",
            "currency": "USD",
            "card_number": VISA,
            "card_expiry": f"2027-09-{1 + number % 28:02}",
            "status": ["approved", "declined"][number % 2],
            "reasons": None if number % 3 else "amount_over_limit",
            "country": "DE" if number % 4 else None,
            "is_mobile": "false" if number % 2 else "true",
            "risk": f"{number / 4}",
        })  # fmt: skip


def test_times_of_each_unit_are_those_of_csv_and_impossible_ones_are_rejected_later() -> None:
    first, second = opened((FILES / "times.parquet").read_bytes()).rows(BEGIN)
    assert first.values == {
        "ms": "2025-03-04 10:00:00.123000",
        "ns": "2025-03-04 10:00:00.123456",
        "utc": "2025-03-04 10:00:00.123456",
        "of_day": "10:11:12.500000",
        "day": "1969-12-31",
        "far": f"{2**62} microseconds from 1970",
        "big": f"{2**63}",
    }
    assert second.values["ms"] == "1969-12-31 23:59:59.999000"
    assert (second.values["utc"], second.values["day"], second.values["big"]) == (None, "9999-12-31", "1")


def test_payments_are_in_the_ledger_and_no_card_number_is_anywhere_else(ready: Move) -> None:
    # Given a history of which two payments have no amount that can be
    progress = ready.load(PAYMENTS, (FILES / "version-1.parquet").read_bytes())
    # Then these are named by row and column, and the others are in the ledger as they were
    assert (progress.state, progress.report.inserted) == (DONE, 28)
    assert [each[:2] for each in progress.report.listed] == [(1, "amount"), (2, "amount")]
    assert ready.platform.breaks(DAY) == []
    [item] = [each for each in ready.platform.history.items.values() if each["source_id"]["S"] == "10000000002"]
    assert (item["minor"], item["card_last4"], item["status"]) == ({"N": "750"}, {"S": "1111"}, {"S": "approved"})
    # And a card number is nowhere
    told = ready.s3.objects[f"{PAYMENTS}.report.json"].decode()
    stored = str(ready.platform.history.items) + str(ready.platform.audit_log.records)
    stored += str(ready.rows("SELECT t::text FROM migration.files t")) + told
    assert VISA not in stored


def test_rows_that_can_not_be_are_named_as_those_of_csv(move: Move) -> None:
    # Given bytes that are no UTF-8, an operation of changes, a missing value, a row that is there twice
    rows = [
        [op, id, status, "DE", "EUR"]
        for op, id, status in (
            ("I", "c-1", "active"), ("I", "c-2", "act\udcffive"), ("U", "c-3", "active"), ("I", "c-4", None),
            ("I", "c-1", "active"), ("I", VISA, "active"),
        )
    ]  # fmt: skip
    report = move.load(CUSTOMERS, parquet_file(NAMES, rows)).report
    assert (report.read, report.inserted, report.rejected) == (6, 1, 5)
    assert sorted(report.listed) == [
        (2, "", "status is not UTF-8"),
        (3, "op", "is not I: a full load holds rows, and no changes"),
        (4, "status", "is missing"),
        (5, "customer_id", "is also in line 1, which was taken"),
        (6, "customer_id", "may be a card number"),
    ]


def test_the_same_rows_have_the_checksum_of_csv(move: Move) -> None:
    parquet = move.load(CUSTOMERS, customers(20))
    lines = "".join(f"I,c-{n},active,DE,EUR\n" for n in range(20))
    csv = move.load(CUSTOMERS.replace("1.parquet", "2.csv"), f"{','.join(NAMES)}\n{lines}")
    assert (csv.report.unchanged, csv.report.checksum) == (20, parquet.report.checksum)


def test_a_long_file_goes_on_in_the_middle_of_a_group(move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given time for one slice in each call, which ends within a group of rows
    monkeypatch.setattr(load, "SLICE_ROWS", 10)
    move.s3.put(CUSTOMERS, customers(24))
    seen = []
    for _ in range(3):
        left = iter([True])
        progress = move.load(CUSTOMERS, time=lambda left=left: next(left, False))
        seen.append((progress.state, progress.position.line))
    assert seen == [(READING, 10), (READING, 20), (DONE, 24)]
    assert move.rows("SELECT count(DISTINCT customer_id) FROM customers") == [[24]]


def test_payments_go_on_in_the_middle_of_a_group(ready: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payment_load, "SLICE_ROWS", 2)
    rows = [["I", *{**PAYMENT, "payment_id": f"p{n}"}.values()] for n in range(7)]
    ready.s3.put(PAYMENTS, parquet_file(["Op", *PAYMENT], rows, rows_a_group=3))
    for _ in range(4):
        left = iter([True])
        progress = ready.load(PAYMENTS, time=lambda left=left: next(left, False))
    assert (progress.state, progress.report.inserted, len(statuses(ready))) == (DONE, 7, 7)


def test_memory_does_not_grow_with_a_group_of_rows(move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a file whose only column of some size has many pages in one group of rows
    content = (FILES / "pages.parquet").read_bytes()
    monkeypatch.setattr("lambdas.migration.parquet_pages._BLOCK_BYTES", 64)
    monkeypatch.setattr("lambdas.migration.parquet_pages._HEADER_BYTES", 64)
    read: list[int] = []

    def fetch(offset: int, number: int) -> bytes:
        read.append(number)
        return content[offset : offset + number]

    # When it is read, and from its middle on
    file = ParquetFile(fetch, len(content))
    assert len(file.columns()) == 14
    footer = max(read)
    read.clear()
    assert len(list(file.rows(BEGIN))) == 30
    # Then no part is longer than a page, although a column is
    assert 0 < max(read) <= 200 < footer
    whole = sum(read)
    read.clear()
    assert [row.line for row in file.rows(list(file.rows(BEGIN))[24].after)] == [*range(26, 31)]
    assert sum(read) < 2 * whole


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "the file is empty"),
        (b"Op,customer_id\nI,c-1\n", "it is no Parquet file, or a part of one"),
        (customers(5)[:-20], "it is no Parquet file, or a part of one"),
        (customers(5).replace(b"\x15\x0c", b"\xff\xff"), "its footer can't be read: the file is damaged"),
        (
            parquet_file(["Op", "customer_id", "country"], [["I", "c", "DE"]]),
            "the header lacks the column status, allo",
        ),
        (parquet_file(["Op", "status", "Status"], []), "column 3 has the name of an earlier one"),
        (parquet_file(["Op", VISA], []), "column 2 may be a card number"),
    ],
)
def test_a_file_that_is_none_is_refused_as_a_whole(content: bytes, fault: str, move: Move) -> None:
    loaded = move.load(CUSTOMERS, content)
    assert (loaded.state, move.rows("SELECT count(*) FROM customers")) == (REFUSED, [[0]])
    assert fault in loaded.report.fault


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("snappy", "the column op is compressed by SNAPPY: write it with GZIP, or uncompressed"),
        ("list", "the column tags is a list or a group: write it as text, as DMS does"),
        ("delta", "the column status is encoded by number 7 of Parquet's encodings: write it plain"),
    ],
)
def test_what_dms_does_not_write_is_refused_with_the_way_out(name: str, fault: str) -> None:
    with pytest.raises(BadFile, match=re.escape(fault)):
        list(opened((FILES / f"{name}.parquet").read_bytes()).rows(BEGIN))


def test_a_page_that_is_damaged_refuses_the_file_and_nothing_waits(move: Move) -> None:
    content = bytearray(customers(20))
    second_group = content.index(b"\x1f\x8b", content.index(b"\x1f\x8b") + len(content) // 4)
    content[second_group + 12] ^= 0xFF
    loaded = move.load(CUSTOMERS, bytes(content))
    assert loaded.state == REFUSED
    assert re.fullmatch(r"row \d+ can't be read: the file is damaged. Export it again", loaded.report.fault)
    assert move.rows("SELECT count(*) FROM customers") == move.rows("SELECT count(*) FROM migration.staged_rows")


def test_damage_anywhere_is_a_fault_of_the_file_and_never_a_crash() -> None:
    content, refused = customers(20), 0
    for at in range(0, len(content), 3):
        damaged = content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :]
        try:
            list(opened(damaged).rows(BEGIN))
        except BadFile:
            refused += 1
    assert refused > len(content) / 9
