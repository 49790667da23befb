"""The style sheet: colours that can be told apart from their ground, on a light and on a dark screen."""

import re

import pytest

from reporting.page import TEMPLATES

STYLE = (TEMPLATES / "page.css").read_text()
TEXT, GRAPHICS = 4.5, 3.0
"""The least contrast (WCAG 2.2, success criteria 1.4.3 and 1.4.11)."""
ON_GROUNDS = [(colour, ground) for colour in ("ink", "dim", "fail", "first") for ground in ("card", "paper")]
ON_DETAILS = [(colour, f"{kind}-ground") for colour in ("ink", "fail") for kind in ("fail", "warn", "pass")]
ON_BADGES = [("on-badge", badge) for badge in ("pass", "fail", "warn", "invalid", "neutral")]
IN_CHARTS = [
    (colour, "card") for colour in ("first", "second", "third", "faint", "strong", "middle", "fail", "warn", "dim")
]


def palette(scheme: str) -> dict[str, str]:
    roots = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+)", roots[scheme == "dark"]))


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    digits = colour.removeprefix("#")
    pairs = [digit * 2 for digit in digits] if len(digits) == 3 else re.findall("..", digits)
    channels = [int(pair, 16) / 255 for pair in pairs]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_stand_out_from_their_ground(scheme: str) -> None:
    colours = palette(scheme)
    least = [(pair, TEXT) for pair in ON_GROUNDS + ON_DETAILS + ON_BADGES] + [(pair, GRAPHICS) for pair in IN_CHARTS]
    weak = {
        pair: round(found, 2)
        for pair, wanted in least
        if (found := contrast(colours[pair[0]], colours[pair[1]])) < wanted
    }
    assert weak == {}


def test_both_schemes_have_the_same_colours() -> None:
    assert palette("light").keys() == palette("dark").keys()


def test_every_colour_that_is_used_is_there() -> None:
    used = {*re.findall(r"var\(--([a-z-]+)\)", STYLE)} - {"series"}
    assert used == {*palette("light")}
