"""Numbers with units and intervals, and Markdown tables of them."""

import math

import pytest

from jaxnets.study.statistics import Interval
from jaxnets.study.tables import markdown_table, number, plus_minus, span, with_unit


def test_numbers():
    assert [number(x) for x in (0.0, 0.5, 123.4, 1234.5, 0.00001, -3.25, -4321)] == [
        "0",
        "0.5",
        "123",
        "1,234",
        "1e-05",
        "−3.25",
        "−4,321",
    ]
    assert number(math.pi, digits=5) == "3.1416" and number(2e12) == "2e+12"


def test_units_and_intervals():
    assert with_unit(1.5, "points") == "1.5 points" and with_unit(40.0, "%") == "40%"
    assert span(Interval(0.0, -1.0, 1.0)) == "[−1, 1]"
    assert plus_minus(Interval(0.5, 0.4, 0.6), digits=2) == "0.50 ± 0.10"
    assert plus_minus(Interval(0.5, -math.inf, math.inf), scale=100) == "50.0"


def test_a_table_aligns_numbers_right_and_escapes_bars():
    rows = [["a|b", 1234, 0.5, Interval(1.0, 0.5, 1.5)], ["c", None, None, None]]
    assert markdown_table(["name", "count", "share", "gain [points]"], rows) == (
        "| name | count | share | gain [points] |\n"
        "|---|--:|--:|--:|\n"
        "| a\\|b | 1,234 | 0.5 | 1 [0.5, 1.5] |\n"
        "| c |  |  |  |\n"
    )
    turned = markdown_table(["x", "y"], [["1.50", 2]], align=("right", "left"))
    assert turned.splitlines()[1] == "|--:|---|"


def test_refused():
    with pytest.raises(ValueError, match="got one of 1 entries; expected 2"):
        markdown_table(["a", "b"], [["x"]])
    with pytest.raises(ValueError, match="align: got 1"):
        markdown_table(["a", "b"], [["x", "y"]], align=("left",))
