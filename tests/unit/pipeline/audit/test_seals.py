"""The sealing job and its seals: what was taken away, added or rewritten in ledger *and* log is named by a seal."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lambdas.books.sealing import Untrusted
from lambdas.books.seals import SignedSeal, Total
from lambdas.payments.audit import GENESIS, canonical, digest
from lambdas.payments.transactions import PENDING
from lambdas.sealing import handler
from tests.unit.pipeline.audit.fake_cloud import START, Cloud, verify

MIDNIGHT = START.replace(hour=0) + timedelta(days=1)
DAY, NEXT_DAY, DAY_BEFORE = "2026-11-22", "2026-11-23", "2026-11-21"


def out(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def content(cloud: Cloud, key: str) -> dict[str, Any]:
    seal: dict[str, Any] = json.loads(cloud.objects[key].body)["seal"]
    return seal


def remove_newest_payments(cloud: Cloud, count: int = 1) -> str:
    """Take the newest payments out of both stores. Returns the key of the last record."""
    keys = list(cloud.records)[-count:]
    for key in keys:
        del cloud.objects[key]
        id = key.rpartition("/")[2].removesuffix(".json")
        cloud.bench.ledger.items.pop(id)
        cloud.bench.ledger.audited.pop(id)
    return keys[-1]


def rewrite_whole_chain(cloud: Cloud) -> None:
    """Make every payment smaller, in both stores, and link the records anew. Only a seal knows better."""
    previous: tuple[str | None, str] = None, GENESIS
    for key, record in cloud.records.items():
        document = json.loads(record.body) | {"minor": 1}
        document["chain"] |= {"previous_key": previous[0], "previous_hash": previous[1]}
        cloud.put(key, canonical(document))
        previous = key, cloud.objects[key].hash
        id = document["transaction_id"]
        cloud.bench.ledger.items[id] = replace(cloud.bench.ledger.items[id], minor=1)
        cloud.bench.ledger.audited[id] = previous  # type: ignore[assignment]


def test_a_seal_says_what_the_books_held(cloud: Cloud) -> None:
    [key] = [key for key in cloud.objects if key.startswith("seals/")]
    assert key == "seals/year=2026/month=11/day=22/00000000.json"
    seal = content(cloud, key)
    [*_, last] = cloud.records.values()
    assert (seal["environment"], seal["number"], seal["previous"]) == ("dev", 0, None)
    held = seal["days"][DAY]
    assert held["totals"] == {"USD": {"approved": {"records": 5, "minor": 5 * 1250}}}
    [head] = held["heads"].values()
    assert head == {"sequence": 4, "key": last.key, "hash": last.hash}
    assert (held["final"], held["pending"], held["fault"]) == (False, [], None)


def test_the_newest_payment_removed_from_both_stores_is_missed(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    key = remove_newest_payments(cloud)
    assert verify(cloud) == 1
    assert f"BROKEN {key}: is missing: the seal seals/" in out(capsys)


def test_what_came_after_the_last_seal_is_not_held_by_it(cloud: Cloud) -> None:
    # Given a payment after the seal, when it is removed from both stores, then nothing shows it until the next seal
    cloud.pay()
    remove_newest_payments(cloud)
    assert verify(cloud) == 0


def test_a_chain_that_was_rewritten_in_both_stores_is_named(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite_whole_chain(cloud)
    assert verify(cloud) == 1
    last = list(cloud.records)[-1]
    assert f"BROKEN {last}: was changed after the seal seals/" in out(capsys)


def test_a_payment_dated_back_is_named(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    # Given a seal, and a payment that somebody enters into both stores with a time before it, in a chain of its own
    cloud.seal(START + timedelta(minutes=30))
    cloud.pay()
    # Then it is named, unless it was pending when the seal was made
    assert verify(cloud) == 1
    key = list(cloud.records)[-1]
    assert f"BROKEN {key}: was added after the seal seals/" in out(capsys)


def test_a_payment_that_was_pending_may_be_completed_later(cloud: Cloud) -> None:
    # Given a payment whose function died before its record was written
    [*_, last] = cloud.bench.ledger.items
    key = list(cloud.records)[-1]
    record = cloud.objects.pop(key)
    audited = cloud.bench.ledger.audited.pop(last)
    settled = cloud.bench.ledger.items[last]
    cloud.bench.ledger.items[last] = replace(settled, status=PENDING)
    seals = [key for key in cloud.objects if key.startswith("seals/")]
    for each in seals:
        del cloud.objects[each]
    made = cloud.seal(START + timedelta(minutes=30))
    assert content(cloud, made)["days"][DAY]["pending"] == [last]
    # When its retry completes it after the seal
    cloud.objects[key] = record
    cloud.bench.ledger.items[last], cloud.bench.ledger.audited[last] = settled, audited
    # Then the day is whole, and so it is after the next seal
    assert verify(cloud) == 0
    cloud.seal(START + timedelta(minutes=90))
    assert verify(cloud) == 0


def forge_seal(cloud: Cloud, key: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a seal in place. The attacker has no key: the signature stays."""
    stored = json.loads(cloud.objects[key].body)
    change(stored["seal"])
    cloud.put(key, canonical(stored))


SEAL_CHANGES: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda seal: seal["days"][DAY].update(records=4), "was changed, or signed with another key"),
    (lambda seal: seal.update(at="2026-11-22T11:00:00.000000Z"), "was changed, or signed with another key"),
    (lambda seal: seal.update(days={}), "was changed, or signed with another key"),
    (lambda seal: seal.pop("number"), "missing 1 required keyword-only argument"),
    (lambda seal: seal.update(format=9), "it is not of format 1"),
]


@pytest.mark.parametrize(("change", "reason"), SEAL_CHANGES)
def test_a_changed_seal_is_named(
    change: Callable[[dict[str, Any]], Any], reason: str, cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    key = cloud.seal(START + timedelta(hours=1))
    forge_seal(cloud, key, change)
    assert verify(cloud) == 1
    assert f"BROKEN {key}: is no seal: " in (said := out(capsys))
    assert reason in said


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"{}", b"\xff", b'{"seal":[],"signature":""}'])
def test_garbage_in_place_of_a_seal_is_named(body: bytes, cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    key = cloud.seal(START + timedelta(hours=1))
    cloud.put(key, body)
    assert verify(cloud) == 1
    assert f"BROKEN {key}: is no seal: " in out(capsys)


def test_a_seal_signed_with_another_key_is_named(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    own, cloud.key = cloud.key, ec.generate_private_key(ec.SECP256R1())
    # Given one who takes a payment away, replaces all seals, and signs them with a key of their own
    remove_newest_payments(cloud)
    [first] = [key for key in cloud.objects if key.startswith("seals/")]
    del cloud.objects[first]
    assert cloud.seal() == first
    assert verify(cloud) == 0  # by the forger's key
    cloud.key = own
    assert verify(cloud) == 1
    assert f"BROKEN {first}: is no seal: it was changed, or signed with another key" in out(capsys)


def test_a_seal_of_another_environment_is_named(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVIRONMENT", "staging")
    [first] = [key for key in cloud.objects if key.startswith("seals/")]
    del cloud.objects[first]
    cloud.seal()
    assert verify(cloud) == 1
    assert f"BROKEN {first}: is no seal: it is a seal of staging" in out(capsys)


def test_a_seal_that_its_own_job_signed_wrongly_is_recounted(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    # Given one who may use the key, and signs another sum
    key = list(cloud.objects)[-1]
    signed = SignedSeal.of(cloud.objects[key].body)
    held = signed.seal.days[DAY]
    wrong = replace(signed.seal, days={DAY: replace(held, totals={"USD": {"approved": Total(records=5, minor=1)}})})
    signature = cloud.sign(hashlib.sha256(wrong.message()).digest())["Signature"]
    cloud.put(key, SignedSeal(seal=wrong, signature=signature).to_bytes())
    assert verify(cloud) == 1
    said = "holds 5 approved of 1 USD, and the records are 5 approved of 6250 USD"
    assert f"BROKEN {key}: {said}" in out(capsys)


def test_a_seal_of_the_future_is_named(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    key = cloud.seal(START + timedelta(hours=5))
    cloud.now = START + timedelta(hours=1)
    assert verify(cloud) == 1
    assert f"BROKEN {key}: is of the future: 2026-11-22T17:00" in out(capsys)


def test_a_deleted_seal_is_missed_by_the_next_one(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    middle = cloud.seal(START + timedelta(hours=1))
    last = cloud.seal(START + timedelta(hours=2))
    del cloud.objects[middle]
    assert verify(cloud) == 1
    assert f"BROKEN {middle}: is missing before the seal {last}" in out(capsys)


def test_the_final_seal_of_a_day_is_missed_by_the_seals_of_the_next(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    final = cloud.seal(MIDNIGHT + timedelta(minutes=45))
    after = cloud.seal(MIDNIGHT + timedelta(minutes=105))
    del cloud.objects[final]
    assert verify(cloud) == 1
    assert f"BROKEN {final}: is missing before the seal {after}" in out(capsys)


def test_a_copied_seal_is_named(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    # Given the seal of a day, which is copied over the one of the next day, where payments were taken away
    first = list(cloud.objects)[-1]
    final = cloud.seal(MIDNIGHT + timedelta(minutes=45))
    cloud.put(final, cloud.objects[first].body)
    assert verify(cloud, day=NEXT_DAY) == 1
    assert f"BROKEN {final}: is no seal: it belongs under {first}" in out(capsys)


def test_two_seals_in_the_wrong_order_are_named(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    keys = [cloud.seal(START + timedelta(hours=n)) for n in (1, 2)]
    bodies = [cloud.objects[key].body for key in keys]
    for key, body in zip(keys, reversed(bodies), strict=True):
        cloud.put(key, body)
    assert verify(cloud) == 1
    assert f"BROKEN {keys[0]}: is no seal: it belongs under {keys[1]}" in out(capsys)


def test_without_any_seal_the_day_is_neither_whole_nor_broken(
    unsealed: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(unsealed) == 4
    said = out(capsys)
    assert "the sealing job has never run, or its seals were deleted" in said
    assert "NOT SEALED" in said
    assert "whole" not in said


def test_a_day_before_the_first_seal_needs_none(unsealed: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    unsealed.seal(MIDNIGHT + timedelta(hours=5))
    assert verify(unsealed) == 0
    assert f"it has no seal: the first one is of {NEXT_DAY}" in out(capsys)


def test_an_empty_day_is_sealed_too(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.seal(MIDNIGHT + timedelta(hours=1))
    made = cloud.seal(MIDNIGHT + timedelta(days=1, hours=1))
    assert content(cloud, made)["days"][NEXT_DAY] | {"heads": {}} == {
        "final": True, "records": 0, "totals": {}, "heads": {}, "pending": [], "fault": None,
    }  # fmt: skip
    assert verify(cloud, day=NEXT_DAY) == 0
    assert "finally sealed at 2026-11-24" in out(capsys)


@pytest.mark.parametrize(
    ("after_midnight", "days", "final"),
    [(-1, [DAY], False), (0, [DAY, NEXT_DAY], False), (29, [DAY, NEXT_DAY], False), (30, [DAY, NEXT_DAY], True)],
)
def test_a_day_is_final_half_an_hour_after_midnight(
    after_midnight: int, days: list[str], final: bool, cloud: Cloud
) -> None:
    made = cloud.seal(MIDNIGHT + timedelta(minutes=after_midnight))
    assert list(content(cloud, made)["days"]) == days
    assert content(cloud, made)["days"][DAY]["final"] is final
    following = cloud.seal(MIDNIGHT + timedelta(minutes=90))
    assert (DAY in content(cloud, following)["days"]) is not final
    assert [verify(cloud), verify(cloud, day=NEXT_DAY)] == [0, 0]


def test_a_payment_written_into_a_finally_sealed_day_is_named(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.seal(MIDNIGHT + timedelta(minutes=45))
    cloud.pay()
    assert verify(cloud) == 1
    assert "was added after the seal seals/year=2026/month=11/day=23/" in out(capsys)


def test_after_a_pause_the_job_seals_every_day_that_it_missed(cloud: Cloud) -> None:
    # Given a job that did not run for nine days
    first = cloud.seal(MIDNIGHT + timedelta(days=9, hours=1))
    held = content(cloud, first)["days"]
    assert (next(iter(held)), len(held), {each["final"] for each in held.values()}) == (DAY, 7, {True})
    # Then it catches up with the next runs
    second = content(cloud, cloud.seal(MIDNIGHT + timedelta(days=9, hours=2)))["days"]
    assert list(second) == ["2026-11-29", "2026-11-30", "2026-12-01", "2026-12-02"]
    assert [verify(cloud), verify(cloud, day="2026-11-30")] == [0, 0]


@pytest.mark.parametrize("day", [DAY, NEXT_DAY])
def test_a_job_that_runs_no_more_is_noticed(day: str, cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.now = MIDNIGHT + timedelta(hours=4)
    assert verify(cloud, day=day) == 4
    assert "NOT SEALED" in out(capsys)


def test_books_that_do_not_agree_are_sealed_with_their_fault_and_counted(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    # Given a payment that was taken away between two runs of the job
    key = remove_newest_payments(cloud)
    out(capsys)
    # When the job runs, then it counts the fault, logs it, and signs that it found it
    made = cloud.seal(START + timedelta(hours=1))
    said = out(capsys)
    assert '"AuditFaults":[1.0]' in said
    assert '"AuditSeals":[1.0]' in said
    assert "the books do not agree" in caplog.text
    fault = content(cloud, made)["days"][DAY]["fault"]
    assert fault.startswith(f"{key}: is missing: the seal seals/")
    # And the payments that follow are protected all the same
    cloud.pay()
    cloud.seal(START + timedelta(hours=2))
    remove_newest_payments(cloud)
    assert verify(cloud) == 1


def test_a_fault_that_was_repaired_does_not_stay(cloud: Cloud) -> None:
    removed = list(cloud.records)[-1]
    record = cloud.objects.pop(removed)
    cloud.seal(START + timedelta(hours=1))
    assert verify(cloud) == 1
    cloud.objects[removed] = record
    cloud.seal(START + timedelta(hours=2))
    assert verify(cloud) == 0


def test_a_fault_of_the_books_delays_the_final_seal_three_days_at_most(cloud: Cloud) -> None:
    remove_newest_payments(cloud)
    for hours, final in ((1, False), (71, False), (72, True)):
        made = cloud.seal(MIDNIGHT + timedelta(hours=hours))
        assert content(cloud, made)["days"][DAY]["final"] is final
    assert verify(cloud) == 1


def test_no_seal_follows_one_that_can_not_be_trusted(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    key = cloud.seal(START + timedelta(hours=1))
    before = cloud.objects[key]
    forge_seal(cloud, key, lambda seal: seal.update(signing_key="mine"))
    out(capsys)
    with pytest.raises(Untrusted, match=f"{key} is no seal: it was changed"):
        cloud.seal(START + timedelta(hours=2))
    assert '"AuditFaults":[1.0]' in out(capsys)
    # Once its earlier version is restored, the job goes on
    cloud.objects[key] = before
    cloud.seal(START + timedelta(hours=3))
    assert verify(cloud) == 0


@pytest.mark.parametrize(
    ("when", "later"),
    [
        ("while it reads", timedelta(0)),
        ("while it reads", timedelta(seconds=2)),  # midnight passes, and the two seals would have different keys
        ("while it signs", timedelta(0)),
    ],
)
def test_of_two_jobs_at_once_one_seals(
    when: str, later: timedelta, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a job that another one overtakes
    at, sign = MIDNIGHT - timedelta(seconds=1), cloud.sign

    def overtake(what: str = "all records") -> None:
        if what == "all records":
            monkeypatch.setattr(cloud, "sign", sign)
            cloud.on_read = lambda _: None
            cloud.seal(at + later)

    def overtaken(**arguments: Any) -> Any:
        overtake()
        return sign(**arguments)

    if when == "while it reads":
        cloud.on_read = overtake
    else:
        monkeypatch.setattr(cloud, "sign", overtaken)
    cloud.now = at
    handler.handler({}, None)
    # Then the slower one writes none, and there is no gap
    assert [content(cloud, key)["number"] for key in cloud.objects if key.startswith("seals/")] == [0, 1]
    assert verify(cloud) == 0


def test_a_seal_made_while_the_verification_reads_is_no_fault(cloud: Cloud) -> None:
    # Given a payment and a seal of it, after the verification has listed the records
    def once(what: str) -> None:
        if what == "all records":
            cloud.on_read = lambda _: None
            cloud.pay()
            cloud.seal(START + timedelta(minutes=7))

    cloud.on_read = once
    assert verify(cloud) == 0
    assert len([key for key in cloud.objects if key.startswith("seals/")]) == 2


def test_payments_made_while_the_job_reads_are_held_whole_or_not_at_all(cloud: Cloud) -> None:
    # Given payments after each page that the job reads, some under keys that its listing has passed
    arriving = iter(range(12))

    def arrive(what: str) -> None:
        if what == "objects" and next(arriving, None) is not None:
            cloud.pay()

    cloud.on_read = arrive
    made = cloud.seal(START + timedelta(minutes=7))
    cloud.on_read = lambda _: None
    # Then the seal counts each record that its heads hold
    assert content(cloud, made)["days"][DAY]["records"] > 5
    assert verify(cloud) == 0


def test_the_signature_is_checked_with_a_key_that_the_auditor_has_kept(
    cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a saved key and one of another account, and no right to ask KMS
    own, other = tmp_path / "own.der", tmp_path / "other.der"
    own.write_bytes(cloud.get_public_key("")["PublicKey"])
    cloud.key = ec.generate_private_key(ec.SECP256R1())
    other.write_bytes(cloud.get_public_key("")["PublicKey"])
    monkeypatch.delattr(Cloud, "get_public_key")
    assert verify(cloud, "--key", str(own)) == 0
    assert f"key of {own}" in out(capsys)
    assert verify(cloud, "--key", str(other), "--key", str(own)) == 0
    assert verify(cloud, "--key", str(other)) == 1
    for file, reason in ((tmp_path / "none.der", "can't be read"), (Path(__file__), "is no public key in DER")):
        with pytest.raises(SystemExit, match="2"):
            verify(cloud, "--key", str(file))
        assert reason in capsys.readouterr().err


def test_json_tells_the_seal(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(cloud, "--json") == 0
    report = json.loads(out(capsys))
    [key] = [key for key in cloud.objects if key.startswith("seals/")]
    assert report["sealed"] is True
    assert report["seal"] == {
        "key": key,
        "at": "2026-11-22T12:06:00.000000Z",
        "final": False,
        "sha256": digest(cloud.objects[key].body),
        "signing_key": "SIGNING_KEY_ARN",
    }


def test_a_seal_is_stored_as_what_was_signed_and_a_signature(cloud: Cloud) -> None:
    body = list(cloud.objects.values())[-1].body
    signed = SignedSeal.of(body)
    assert signed.to_bytes() == body
    assert base64.b64decode(json.loads(body)["signature"]) == signed.signature
