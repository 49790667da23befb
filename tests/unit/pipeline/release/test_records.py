"""The store of records: items are small, and all of them are found again."""

import re

from pipeline.release.charts import draw
from pipeline.release.outcome import ExitCode
from pipeline.release.plan import Plan
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import ITEM_BYTES, PAGE_BYTES, _size


def test_a_long_release_stays_far_below_the_limit_of_an_item_and_its_chart_has_every_analysis() -> None:
    # Given long bakes, with a verdict in reach only after a hold at each step
    bench = Bench(plan=Plan(weights=(10, 25, 50, 100), bake_seconds=900, hold_seconds=300))
    bench.aws.requests_per_second = 20 / 3

    outcome = bench.controller().shift()

    # Then it was analysed again whenever there was a quarter more data
    assert outcome.code is ExitCode.DONE
    release = outcome.release
    assert release
    assert len(release.analysis_summaries) == 4 * 13
    # And the item is a fraction of the limit
    assert max(map(_size, bench.aws.table.values())) < ITEM_BYTES / 10
    # And the report has each step's deciding analysis in full, the chart every one
    assert [run.weight for run in release.analysis_runs] == [10, 25, 50, 100]
    assert all(len(run.findings) > 5 for run in release.analysis_runs)
    _, latency, _ = draw(release)
    [of_candidate] = [each for each in latency.shapes if each.attributes["class"] == "line candidate"]
    assert len(re.findall("[ML]", of_candidate.attributes["d"])) == 4 * 13


def test_a_bake_of_hours_stays_below_it_too() -> None:
    bench = Bench(plan=Plan(weights=(50, 100), bake_seconds=14_400, hold_seconds=300))

    assert bench.controller().shift().code is ExitCode.DONE
    assert max(map(_size, bench.aws.table.values())) < ITEM_BYTES / 5


def test_history_reaches_past_the_first_page_of_a_query() -> None:
    # Given more records than one page of DynamoDB holds, the first of which names the previous stable version
    bench = Bench()
    bench.controller().shift()
    for version in range(3, 15):
        bench.aws.deploy(str(version))
        bench.clock.after(90, bench.clock.interrupt)
        bench.controller().shift()
        bench.clock.interrupted = False
        bench.clock.forget()
        key = max(key for key in bench.aws.table if key[0].isdigit())
        bench.aws.table[key]["padding"] = {"S": "x" * (PAGE_BYTES // 5)}

    # Then all are listed, and an undo finds where to go back to
    assert len(bench.controller().history().text.splitlines()) == 13
    assert bench.aws.calls[-1] == bench.aws.calls[-2] == "Query"
    assert bench.controller().undo(now=True).code is ExitCode.DONE
    assert bench.all_on("1")
