"""Records that earlier versions of the controller wrote. Never edit the stored ones: they are what production holds."""

import json
from pathlib import Path
from typing import Any

import pytest

from names import Function
from pipeline.release.outcome import ExitCode
from pipeline.release.record import Release
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import FUNCTIONS, PROCESSING

COLOURS = ("stable", "candidate")
STORED = Path(__file__).with_name("stored_records")


LATER = tuple(FUNCTIONS[3:])
"""The functions that are newer than the stored records. What was recorded before leaves them as they are."""


def kept(old: Any, new: Any) -> bool:
    """Whether all of ``old`` is in ``new``, under the same names; ``new`` may say more."""
    if isinstance(old, dict):
        return all(name in new and kept(value, new[name]) for name, value in old.items())
    if isinstance(old, list):
        return len(old) == len(new) and all(kept(*pair) for pair in zip(old, new, strict=True))
    return bool(old == new)


def given(record: str, bench: Bench) -> Bench:
    """A bench whose table holds a stored record, and nobody's lease."""
    document = (STORED / f"{record}.json").read_text()
    written = json.loads(document)
    bench.aws.table[written["release_id"]] = {
        "environment": {"S": "test"},
        "release_id": {"S": written["release_id"]},
        "document": {"S": document},
        "phase": {"S": written["phase"]},
        "revision": {"N": str(written["revision"])},
    }
    bench.clock.time = written["since"] + 600
    return bench


@pytest.mark.parametrize("file", sorted(STORED.glob("*.json")), ids=lambda file: file.stem)
def test_a_record_is_written_again_as_it_was_read(file: Path) -> None:
    document = file.read_text()

    assert kept(json.loads(document), json.loads(Release.from_json(document).to_json()))


def test_a_release_that_was_held_is_finished() -> None:
    # Given a release that an earlier version held at 25 %, and was killed
    bench = given("held", Bench())
    bench.aws.weights = {"blue": 75, "green": 25}
    for function in FUNCTIONS[:2]:
        bench.aws.aliases[function, "blue"] = ("1", {"2": 0.25})

    outcome = bench.controller().shift()

    # Then this version bakes the step again and goes on
    assert outcome.code is ExitCode.DONE
    assert outcome.release
    assert outcome.release.release_id == "20270115T080000.000Z"
    assert bench.aws.stable() == ["2", "2", "2", *("1" for _ in LATER)]
    assert bench.aws.weights == {"blue": 100, "green": 0}


def test_an_undo_that_was_not_to_bake_is_finished_without_bakes() -> None:
    # Given an `undo --now` to version 1 that was killed before its first move
    bench = given("undo-now", Bench(stable="2", candidate="2"))
    started = bench.clock.time

    bench.controller().shift()

    # Then it is finished at once, and alias green goes back to the deployment
    assert bench.aws.stable() == ["1", "1", "1", *("2" for _ in LATER)]
    assert bench.clock.time - started < 60
    assert bench.aws.aliases[PROCESSING, "green"][0] == "2"


def test_the_history_and_the_status_show_it() -> None:
    bench = given("promoted", Bench(stable="2", candidate="2"))

    assert "promoted" in bench.controller().history().text
    assert "verdict    pass at 100 %" in bench.controller().status().text


# A record that is older than a function names no version of it. The stored records get one function fewer for this.
NEW = FUNCTIONS[1]


def given_before_the_function(record: str, bench: Bench) -> Bench:
    """A bench whose record was written before ``NEW`` existed. ``NEW`` was deployed once, as version 7."""
    release_id = next(iter(given(record, bench).aws.table))
    written = json.loads(bench.aws.table[release_id]["document"]["S"])
    for versions in (written["stable"], written["candidate"], *(run[c] for run in written["looks"] for c in COLOURS)):
        del versions[Function.FRAUD_DETECTION]
    bench.aws.table[release_id]["document"]["S"] = json.dumps(written)
    bench.aws.aliases[NEW, "blue"] = bench.aws.aliases[NEW, "green"] = ("7", {})
    return bench


def given_held_before_the_function() -> Bench:
    """A release from version 1 to 2 of the older functions, held at 25 %; its controller was killed."""
    bench = given_before_the_function("held", Bench())
    bench.aws.weights = {"blue": 75, "green": 25}
    bench.aws.aliases[FUNCTIONS[0], "blue"] = ("1", {"2": 0.25})
    return bench


def test_a_release_that_is_older_than_a_function_is_finished_without_it() -> None:
    bench = given_held_before_the_function()

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.DONE
    assert outcome.release
    assert outcome.release.release_id == "20270115T080000.000Z"
    assert bench.aws.stable() == ["2", "7", "2", *("1" for _ in LATER)]
    assert bench.controller().status().text


def test_a_release_that_is_older_than_a_function_is_aborted_without_it() -> None:
    bench = given_held_before_the_function()

    bench.controller().abort()

    assert bench.aws.stable() == ["1", "7", "1", *("1" for _ in LATER)]
    assert bench.aws.weights == {"blue": 100, "green": 0}
    # And the candidate that it rejected stays rejected
    assert "rolled back in 20270115T080000.000Z" in bench.controller().shift().text


def test_a_release_that_is_older_than_a_function_is_undone_without_it() -> None:
    bench = given_before_the_function("promoted", Bench(stable="2", candidate="2"))

    outcome = bench.controller().undo()

    assert outcome.code is ExitCode.DONE
    assert bench.aws.stable() == ["1", "7", "1", *("2" for _ in LATER)]
