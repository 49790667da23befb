"""Records that earlier versions of the controller wrote. Never edit the stored ones: they are what production holds."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.release.outcome import ExitCode
from pipeline.release.record import Release
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import FUNCTIONS, PROCESSING

STORED = Path(__file__).with_name("stored_records")


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
    assert bench.all_on("2")


def test_an_undo_that_was_not_to_bake_is_finished_without_bakes() -> None:
    # Given an `undo --now` to version 1 that was killed before its first move
    bench = given("undo-now", Bench(stable="2", candidate="2"))
    started = bench.clock.time

    bench.controller().shift()

    # Then it is finished at once, and alias green goes back to the deployment
    assert bench.all_on("1")
    assert bench.clock.time - started < 60
    assert bench.aws.aliases[PROCESSING, "green"][0] == "2"


def test_the_history_and_the_status_show_it() -> None:
    bench = given("promoted", Bench(stable="2", candidate="2"))

    assert "promoted" in bench.controller().history().text
    assert "verdict    pass at 100 %" in bench.controller().status().text
