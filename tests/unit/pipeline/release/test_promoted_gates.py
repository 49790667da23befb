"""What the gate measured of a promoted release is kept for the next gate."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadtest.baseline import promoted_gates
from names import PROMOTED_GATES, Function
from pipeline.release.promoted_gates import MOST, remember
from tests.unit.pipeline.release.bench import Bench


def gate(folder: Path, version: str, **changes: Any) -> Path:
    """A report of a gate that measured ``version``."""
    routes = [{"route": each.path, "p50_ms": 10.0, "p99_ms": 40.0, "samples": 300} for each in Function]
    report = {
        "verdict": "pass", "machine": "a processor, 2 processors", "rate": 40.0, "routes": routes,
        "versions": {each.path: {version: 300} for each in Function},
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "gate.json").write_text(json.dumps(report | changes))
    return folder


def kept(bench: Bench) -> list[str]:
    """The versions whose measurements the next gate finds, newest first."""
    found = promoted_gates(bench.aws, "table", "test")  # type: ignore[arg-type]
    assert not isinstance(found, str)
    return [next(iter(set(each["versions"].values()))) for each in found]


def shifted(bench: Bench, *folders: Path) -> None:
    outcome = bench.controller().shift()
    assert outcome.release
    remember(bench.aws, "table", outcome.release, folders)  # type: ignore[arg-type]


def test_the_next_gate_finds_the_measurement_of_the_promoted_release(tmp_path: Path) -> None:
    bench = Bench()
    shifted(bench, tmp_path / "nothing here", gate(tmp_path / "gate", "2"))
    bench.aws.deploy("3")
    shifted(bench, gate(tmp_path / "gate", "3"))

    assert kept(bench) == ["3", "2"]
    [newest, _] = json.loads(bench.aws.table[PROMOTED_GATES]["document"]["S"])
    assert newest["release_id"] == bench.controller().world.records.latest(1)[0].release_id
    assert newest["routes"]["/process"] == {"p50_ms": 10.0, "p99_ms": 40.0}


@pytest.mark.parametrize(
    "changes", [{"verdict": "fail"}, {"versions": {"/process": {"1": 300}}}, {"routes": None}, {"machine": None}]
)
def test_a_report_that_is_not_about_the_promoted_version_is_not_kept(tmp_path: Path, changes: dict[str, Any]) -> None:
    bench = Bench()
    folder = gate(tmp_path / "gate", "2", **changes)
    if changes == {"machine": None}:  # a report of an older gate
        (folder / "gate.json").write_text((folder / "gate.json").read_text().replace('"machine"', '"was_new"'))
    shifted(bench, folder)
    assert PROMOTED_GATES not in bench.aws.table


def test_of_a_candidate_that_went_back_nothing_is_kept(tmp_path: Path) -> None:
    bench = Bench()
    bench.clock.after(30, bench.clock.interrupt)
    shifted(bench, gate(tmp_path / "gate", "2"))
    assert PROMOTED_GATES not in bench.aws.table


def test_an_undo_forgets_the_version_that_it_leaves(tmp_path: Path) -> None:
    bench = Bench()
    shifted(bench, gate(tmp_path / "gate", "2"))
    bench.aws.deploy("3")
    shifted(bench, gate(tmp_path / "gate", "3"))

    undone = bench.controller().undo(now=True).release
    assert undone
    remember(bench.aws, "table", undone, [tmp_path / "gate"])  # type: ignore[arg-type]

    assert kept(bench) == ["2"]


def test_only_the_last_are_kept_and_a_spoilt_item_is_written_anew(tmp_path: Path) -> None:
    bench = Bench()
    for version in range(2, MOST + 5):
        bench.aws.deploy(str(version))
        shifted(bench, gate(tmp_path / "gate", str(version)))
    assert len(kept(bench)) == MOST

    bench.aws.table[PROMOTED_GATES]["document"]["S"] = "no JSON"
    bench.aws.deploy("99")
    shifted(bench, gate(tmp_path / "gate", "99"))
    assert kept(bench) == ["99"]


def test_the_record_of_the_last_release_is_found_beside_it(tmp_path: Path) -> None:
    bench = Bench()
    shifted(bench, gate(tmp_path / "gate", "2"))
    assert len(bench.controller().world.records.latest(5)) == 1
