"""What a subject did lately: no window counts too little, none much too much, and an item stays small."""

from hypothesis import example, given
from hypothesis import strategies as st

from lambdas.payments.velocity import DAY, MONTH, MOST_DISTINCT, State, Sums

EVENTS = st.lists(st.tuples(st.integers(0, 40 * DAY), st.integers(1, 10_000_00)), max_size=60)
SLOTS = {1: 5, 7: 5, 60: 5, 300: 60, 3600: 300, DAY: 3600, MONTH: DAY}
"""How long a slot is at the age of each window."""
WINDOWS = st.sampled_from(list(SLOTS))


def total(events: list[tuple[int, int]]) -> Sums:
    found = Sums()
    for moment, minor in sorted(events):
        found = found.plus(moment, minor)
    return found


@given(EVENTS, WINDOWS)
@example([(0, 1), (359, 1)], 300)
def test_a_window_counts_all_that_is_in_it_and_at_most_a_slot_more(events: list[tuple[int, int]], window: int) -> None:
    now = max((moment for moment, _ in events), default=0)
    found = total(events)
    within = [minor for moment, minor in events if moment > now - window]
    around = [minor for moment, minor in events if moment > now - window - SLOTS[window]]
    assert len(within) <= found.count(window, now) <= len(around)
    assert sum(within) <= found.minor(window, now) <= sum(around)


@given(EVENTS, WINDOWS)
def test_payments_that_were_decided_earlier_may_be_written_later(events: list[tuple[int, int]], window: int) -> None:
    # Given functions whose payments are written in another order than that of their times, at most 8 seconds late
    late = Sums()
    for moment, minor in sorted(events, key=lambda event: event[0] + event[1] % 8):
        late = late.plus(moment, minor)
    now = max((moment for moment, _ in events), default=0)
    within = [minor for moment, minor in events if moment > now - window]
    assert late.minor(window, now) >= sum(within)


@given(EVENTS, st.integers(1, 1000), st.integers(0, MONTH - DAY))
def test_what_is_given_back_no_longer_counts(events: list[tuple[int, int]], minor: int, later: int) -> None:
    now = 80 * DAY
    before = total([(moment + 40 * DAY, amount) for moment, amount in events])
    after = before.plus(now, minor).plus(now + later, 1).minus(now, minor)
    assert after.minor(MONTH, now + later) == before.plus(now + later, 1).minor(MONTH, now + later)


def test_a_month_of_a_payment_a_minute_fits_into_few_slots() -> None:
    found = Sums()
    for minute in range(0, 31 * DAY, 600):
        found = found.plus(minute, 1)
    assert len(found.slots) < 140
    assert len(State(key="c", paid=found).to_json()) < 4_096


def test_a_state_is_read_as_it_was_written() -> None:
    state = State(key="c", version=3, paid=total([(1, 2), (900, 4)]), others={"o": 5}, amounts=(1, 2))
    assert State.of("c", 3, state.to_json()) == state


@given(st.lists(st.text(alphabet="abcdef0123456789", min_size=64, max_size=64), max_size=60, unique=True))
def test_others_are_told_apart_up_to_the_largest_threshold(names: list[str]) -> None:
    state = State(key="c")
    for moment, name in enumerate(names):
        state = state.saw([name], moment)
    counted = state.distinct_others(["another"], DAY, len(names))
    different = len({name[:16] for name in names}) + 1
    assert counted == min(different, MOST_DISTINCT + 1)
