"""Where production traffic goes, and the calls that lead from one state to another. Pure: no AWS here.

``/validate`` and ``/fraud-check`` reach their functions through the alias ``blue``, whose routing config may send a
share to a second version. ``/process`` reaches its function through the load balancer: target group blue leads to
alias ``blue``, target group green to alias ``green``, and the listener's weights choose.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from names import Colour, Function, Reached

ROUTED = tuple(function for function in Function if function.reached is Reached.ALIAS)
"""The functions whose colour the alias' routing config chooses; the load balancer chooses that of the other."""

Versions = Mapping[Function, str]
"""One published version number for each function."""


def contains(versions: Versions, recorded: Versions) -> bool:
    """Whether ``versions`` has every version that was ``recorded``. A record has no version of a function that is newer
    than the record."""
    return recorded.items() <= versions.items()


@dataclass(frozen=True, kw_only=True)
class Alias:
    """A Lambda alias: its main version, and the percent of requests that other versions get."""

    version: str
    shares: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"version {self.version}" + "".join(f", {share:g} % to {v}" for v, share in self.shares.items())


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The listener's weights, as they stand. Any numbers are possible when a person has set them."""

    blue: int
    green: int
    others: Mapping[str, int] = field(default_factory=dict)
    """Where requests go that reach neither: target groups that are not the platform's, with their weights, or an action
    of another type, such as ``fixed-response``."""

    def __str__(self) -> str:
        return f"blue {self.blue}, green {self.green}" + "".join(f", {name} {n}" for name, n in self.others.items())

    @property
    def percent(self) -> Mapping[str, float]:
        """The percent of requests that each one gets that gets any. Weights of 0 alone send requests nowhere."""
        weights = {Colour.STABLE: self.blue, Colour.CANDIDATE: self.green, **self.others}
        every = sum(weights.values())
        return {name: 100 * weight / every for name, weight in weights.items() if weight}

    def divides_like(self, other: "Weights | None") -> bool:
        """Whether requests are divided in the same way: as 1 and 0 divide them like 100 and 0."""
        return other is not None and self.percent == other.percent


STEADY = Weights(blue=100, green=0)


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Everything that decides which version answers a production request.

    Parts may be left out: of traffic as it was read, what is unknown; of wanted traffic, what is left alone.
    """

    listener: Weights | None = None
    blue: Mapping[Function, Alias] = field(default_factory=dict)
    green: str | None = None
    """The version of the processing function behind target group green."""

    @property
    def stable(self) -> dict[Function, str]:
        """The stable versions: the main versions of the aliases ``blue``."""
        return {function: alias.version for function, alias in self.blue.items()}

    @property
    def is_known(self) -> bool:
        """Whether no part is left out."""
        return self.listener is not None and len(self.blue) == len(Function) and self.green is not None

    @property
    def is_steady(self) -> bool:
        """All traffic goes where the aliases ``blue`` point, as after every finished release."""
        return STEADY.divides_like(self.listener) and not any(alias.shares for alias in self.blue.values())

    def satisfies(self, wanted: "Traffic") -> bool:
        """Whether this traffic, as it was read, is known to be in the state ``wanted``."""
        aliases = wanted.blue.items() <= self.blue.items()
        listener = wanted.listener is None or wanted.listener.divides_like(self.listener)
        return listener and aliases and wanted.green in (None, self.green)


def steady(versions: Versions, *, green: str | None = None) -> Traffic:
    """All production traffic on ``versions``; target group green leads to version ``green`` and gets nothing."""
    return Traffic(listener=STEADY, blue={f: Alias(version=v) for f, v in versions.items()}, green=green)


def shifted(stable: Versions, candidate: Versions, percent: int) -> Traffic:
    """``percent`` of production traffic on ``candidate``, the rest on ``stable``.

    At 100 the aliases still name the stable version as the main one, with a share of 1.0 for the candidate: so the way
    back can be read from the aliases themselves until the promotion. A function whose version does not change needs no
    share (Lambda refuses a routing config that names the main version).
    """
    blue = {f: Alias(version=v) for f, v in stable.items()}
    if percent:
        for f in stable:
            if f in ROUTED and candidate[f] != stable[f]:
                blue[f] = Alias(version=stable[f], shares={candidate[f]: float(percent)})
    return Traffic(listener=Weights(blue=100 - percent, green=percent), blue=blue, green=candidate[Function.PROCESSING])


@dataclass(frozen=True, kw_only=True)
class PointAlias:
    """Set an alias' main version and shares, in one call."""

    function: Function
    colour: Colour
    alias: Alias

    def __str__(self) -> str:
        return f"{self.function} alias {self.colour} → {self.alias}"


@dataclass(frozen=True, kw_only=True)
class WeighListener:
    """Set the listener's two weights, in one call."""

    weights: Weights

    def __str__(self) -> str:
        return f"listener → {self.weights}"


Move = PointAlias | WeighListener


def moves(seen: Traffic, wanted: Traffic, *, back: bool = False) -> list[list[Move]]:
    """The calls from ``seen`` to ``wanted``: chains that are independent; within one, a call needs those before it.

    For a part that is unknown the call is made. A function that ``wanted`` leaves out stays as it is: the record of a
    release may be older than the function. Alias green changes only while it is given no weight. The rest of the order
    is that of ``/process``:

    - shift: alias green (no traffic yet), then the weights;
    - promote: at green 100 alias blue (no traffic), then the weights back to blue, then alias green;
    - ``back`` to the stable version: the weights first, and whatever becomes of the aliases. Alias blue is right
      already, unless a promotion broke off half-way, and then both target groups lead to the same version.
    """
    blue: dict[Function, list[Move]] = {
        f: [PointAlias(function=f, colour=Colour.STABLE, alias=alias)] if seen.blue.get(f) != alias else []
        for f, alias in wanted.blue.items()
    }
    green: list[Move] = []
    if wanted.green is not None and seen.green != wanted.green:
        green = [PointAlias(function=Function.PROCESSING, colour=Colour.CANDIDATE, alias=Alias(version=wanted.green))]
    weigh: list[Move] = []
    if wanted.listener is not None and not wanted.listener.divides_like(seen.listener):
        weigh = [WeighListener(weights=wanted.listener)]
    rest = green + weigh if wanted.listener and wanted.listener.green else weigh + green
    if back:
        return [chain for chain in (rest, *blue.values()) if chain]
    processing = blue.pop(Function.PROCESSING, [])
    chains: list[list[Move]] = [[*processing, *rest], *blue.values()]
    return [chain for chain in chains if chain]
