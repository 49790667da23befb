"""How exact the weights of a cut-over come out, and how fast clients follow: ``python -m benchmarks dns_weights``.

Resolvers of the same size ask at random moments, remember each answer for the TTL, and send one request a second. The
local cloud's name server chooses the answers. Time is simulated, and no request is sent. The first table has the spread
(standard deviation) of the platform's share in percentage points, in one minute and over a bake. The second one has the
share that still reaches the side that was left, at times after its weight became 0.
"""

import random
from statistics import mean, pstdev

from localcloud.emulator.dns import pick

TTL_SECONDS = 30
BAKE_SECONDS = 1800
ROUNDS = 30
RESOLVERS = (5, 20, 100, 1000)
WEIGHTS = (1, 5, 25, 50)
DEAF = 0.05
"""The share of resolvers in the last row that keep their answers for ever."""


def answer(weight: int) -> bool:
    """Whether the name server answers with the platform."""
    old, new = {"Weight": 100 - weight}, {"Weight": weight}
    return pick([old, new], {}, random.random()) is new


def shares(resolvers: int, weight: int, seconds: int) -> list[float]:
    """The share of requests that the platform gets, second by second."""
    reached = [answer(weight) for _ in range(resolvers)]
    asks_next = [random.randrange(TTL_SECONDS) for _ in range(resolvers)]
    found = []
    for second in range(seconds):
        for each, at in enumerate(asks_next):
            if at == second:
                reached[each], asks_next[each] = answer(weight), second + TTL_SECONDS
        found.append(sum(reached) / resolvers)
    return found


def left_behind(resolvers: int, deaf: float, seconds: int) -> list[float]:
    """The share of requests at the side whose weight has become 0 from 100, second by second."""
    ends = [float("inf") if random.random() < deaf else random.uniform(0, TTL_SECONDS) for _ in range(resolvers)]
    return [sum(end > second for end in ends) / resolvers for second in range(seconds)]


def main() -> None:
    random.seed(16)
    print(f"TTL {TTL_SECONDS} s, bake {BAKE_SECONDS} s; spread in percentage points: one minute / a bake")
    print(f"{'resolvers':>9}" + "".join(f"{f'{weight} %':>16}" for weight in WEIGHTS))
    for resolvers in RESOLVERS:
        cells = []
        for weight in WEIGHTS:
            rounds = [shares(resolvers, weight, BAKE_SECONDS) for _ in range(max(3, ROUNDS * 20 // resolvers))]
            minutes = [mean(each[at : at + 60]) for each in rounds for at in range(0, BAKE_SECONDS, 60)]
            cells.append(f"{100 * pstdev(minutes):5.2f} / {100 * pstdev(map(mean, rounds)):4.2f}")
        print(f"{resolvers:>9}" + "".join(f"{cell:>16}" for cell in cells))
    print("\nrequests at the side that was left, after its weight became 0")
    moments = (0, 10, 20, 30, 60, 300)
    print(f"{'':>30}" + "".join(f"{f'{at} s':>8}" for at in moments))
    for label, deaf in ((f"all keep to a TTL of {TTL_SECONDS} s", 0.0), (f"{DEAF:.0%} keep no TTL", DEAF)):
        left = left_behind(10_000, deaf, moments[-1] + 1)
        print(f"{label:>30}" + "".join(f"{left[at]:>8.1%}" for at in moments))


if __name__ == "__main__":
    main()
