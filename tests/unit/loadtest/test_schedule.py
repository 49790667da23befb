"""The open model's schedule."""

from itertools import pairwise, takewhile

import pytest

from loadtest.schedule import Schedule, Ticket


def tickets(end: float, **options: float) -> list[Ticket]:
    schedule = Schedule(seed=1, **options)
    return list(takewhile(lambda ticket: ticket.start < end, iter(schedule.take, None)))


def test_the_rate_is_exact_in_every_second() -> None:
    # Given 40 requests a second
    starts = [ticket.start for ticket in tickets(60, rate=40)]
    # Then each second has exactly 40, at times that keep no step
    assert [sum(second <= start < second + 1 for start in starts) for second in range(60)] == [40] * 60
    gaps = {round(later - earlier, 4) for earlier, later in pairwise(starts)}
    assert len(gaps) > 200


def test_workers_share_the_very_same_requests() -> None:
    # Given the schedule of one process, and the parts of four
    alone = tickets(30, rate=40)
    parts = [tickets(30, rate=40, worker=worker, workers=4) for worker in range(4)]
    # Then the parts together are the whole
    assert sorted((t for part in parts for t in part), key=lambda t: t.index) == alone


def test_the_rate_ramps_up_from_zero() -> None:
    # Given ten seconds of ramp to 40 a second
    starts = [ticket.start for ticket in tickets(20, rate=40, ramp=10)]
    # Then each second of it has some 4 requests more than the one before, and afterwards the rate is exact
    per_second = [sum(second <= start < second + 1 for start in starts) for second in range(20)]
    assert per_second[:10] == pytest.approx([2 + 4 * second for second in range(10)], abs=1)
    assert per_second[10:] == [40] * 10


@pytest.mark.parametrize("end", [0.001, 3.7, 10.0, 17.523])
def test_it_knows_how_many_are_due(end: float) -> None:
    due = sum(1 for t in tickets(30, rate=33, ramp=10) if t.start < end)
    assert Schedule(rate=33, seed=1, ramp=10).count_before(end) == due
