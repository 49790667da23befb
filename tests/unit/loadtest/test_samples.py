"""Exact samples and their merge."""

import random

import msgpack
import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from loadtest.faults import Fault, FaultKind
from loadtest.samples import Samples, Series, histogram, microseconds


def measured(count: int) -> list[tuple[float, float]]:
    dice = random.Random(5)
    return [(index / 100, dice.lognormvariate(-3.5, 1.2)) for index in range(count)]


@pytest.mark.parametrize(
    ("seconds", "whole"), [(0.2, 200_000), (0.1999999, 200_000), (0.2000001, 200_001), (0.200000001, 200_001), (0, 0)]
)
def test_microseconds_round_up_so_that_over_a_limit_stays_over(seconds: float, whole: int) -> None:
    assert microseconds(seconds) == whole


def test_four_workers_give_the_same_histogram_as_one() -> None:
    # Given 20,000 latencies measured by one process
    alone = Samples()
    workers = [Samples() for _ in range(4)]
    for index, (start, latency) in enumerate(measured(20_000)):
        alone.answer("/process", start, latency)
        workers[index % 4].answer("/process", start, latency)
    # When four processes measure them and their reports travel to the control as locust sends them
    together = Samples()
    for worker in workers:
        together.merge(Samples.from_message(msgpack.unpackb(msgpack.packb(worker.to_message()), strict_map_key=False)))
    # Then the histogram is the same, bucket by bucket, and no latency was changed at all
    one, four = (histogram(samples.latencies("/process", 0, 1000)) for samples in (alone, together))
    assert one.encode() == four.encode()
    assert one.get_total_count() == 20_000
    exact = [np.sort(samples.latencies("/process", 0, 1000)) for samples in (alone, together)]
    assert (exact[0] == exact[1]).all()


def test_the_histogram_holds_four_significant_digits() -> None:
    latencies = [microseconds(latency) for _, latency in measured(5_000)]
    decoded = HdrHistogram.decode(histogram(latencies).encode())
    for percentile in (50, 90, 99, 99.9):
        exact = sorted(latencies)[int(np.ceil(len(latencies) * percentile / 100)) - 1]
        assert decoded.get_value_at_percentile(percentile) == pytest.approx(exact, rel=1e-4)


def test_the_warm_up_is_no_part_of_the_window() -> None:
    # Given one answer in each second
    samples = Samples()
    for second in range(10):
        samples.answer("/validate", float(second), 0.001 * (second + 1))
    # When looking at [3, 7), then it is the intended start that counts
    assert samples.latencies("/validate", 3.0, 7.0).tolist() == [4000, 5000, 6000, 7000]
    assert samples.count_before(7.0) == 7


def test_errors_are_kept_apart_and_counted_by_reason() -> None:
    samples = Samples()
    samples.answer("/validate", 1.0, 0.02)
    for second in (1.1, 1.2, 9.0):
        samples.error("/validate", second, 0.0001, Fault(FaultKind.UNAVAILABLE, "status 500"))
    samples.error("/validate", 1.3, 0.0001, Fault(FaultKind.TIMEOUT, "timeout"))
    assert samples.latencies("/validate", 0, 10).tolist() == [20_000]
    assert samples.faults("/validate", 0, 5) == {"status 500": 2, "timeout": 1}
    assert samples.count_before(10) == 5


def test_a_fault_travels_to_the_control_with_its_kind() -> None:
    fault = Fault(FaultKind.NO_CONNECTION, "connection: ECONNREFUSED")
    samples = Samples()
    samples.error("/process", 1.0, 0.1, fault)
    arrived = Samples.from_message(msgpack.unpackb(msgpack.packb(samples.to_message())))
    assert list(arrived.errors) == [("/process", fault)]


def test_processor_times_travel_to_the_control() -> None:
    samples = Samples(processor={"/process": Series()})
    samples.processor["/process"].add(1.0, 0.0123)
    together = Samples()
    for _ in range(2):
        together.merge(Samples.from_message(msgpack.unpackb(msgpack.packb(samples.to_message()))))
    assert together.processor_times("/process", 0, 5).tolist() == [12_300, 12_300]


def test_how_many_ended_in_a_window_whenever_they_began() -> None:
    # Given an answer that began before the window and ended in it, one within, one that outlasts it, and an error
    samples = Samples()
    for start, latency in ((1.0, 1.5), (3.0, 0.1), (4.9, 3.0)):
        samples.answer("/validate", start, latency)
    samples.error("/validate", 4.0, 0.1, Fault(FaultKind.TIMEOUT, "timeout"))
    assert samples.ended(2.0, 5.0) == 3
