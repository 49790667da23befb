"""The frame of every report, and what becomes of the values that are put into it."""

from pathlib import Path

import jinja2
import pytest

from reporting import render
from reporting.text import visible
from tests.unit.reporting.reading import accessible, self_contained

TEMPLATE = """{% extends "page.html" %}
{% block title %}{{ text }}{% endblock %}
{% block header %}<h1>{{ text }}</h1>{% endblock %}"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    file = tmp_path / "report.html"
    file.write_text(TEMPLATE)
    return file


def test_a_report_beside_its_code_gets_the_common_frame(template: Path) -> None:
    page = render(template, text="A <b>report</b> & {{ 7 * 7 }}")
    self_contained(page)
    accessible(page)
    assert "<h1>A &lt;b&gt;report&lt;/b&gt; &amp; {{ 7 * 7 }}</h1>" in page


def test_a_value_that_is_missing_is_an_error_and_not_a_blank(template: Path) -> None:
    with pytest.raises(jinja2.UndefinedError, match="text"):
        render(template)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b\x1b[31m", "a\\x00b\\x1b[31m"),
        ("line\r\n\tnext", "line\\r\n\tnext"),
        ("gnp.\u202egpj.exe\u2066", "gnp.\\u202egpj.exe\\u2066"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("from a broken decoder \udc80", "from a broken decoder \\udc80"),
        ("na\u00efve \u6f22\u5b57 \N{FAMILY} \u0645\u06cc\u200c\u062e 10\u00a0%",) * 2,
    ],
)
def test_invisible_characters_are_spelled_out_and_visible_ones_stay(text: str, shown: str) -> None:
    assert visible(text) == shown
