"""Means over keys with their intervals, and the verdicts that follow from them."""

import numpy as np
import pytest

from jaxnets.study.summaries import judge, percent, summarize_keys


def test_intervals_and_verdicts():
    """Student's t for n = 4: the half width is 3.1824·s/√4."""
    found = summarize_keys([1.0, 2.0, 3.0, 4.0])
    assert found["high"] - found["mean"] == pytest.approx(3.182446 * np.sqrt(5 / 3) / 2, rel=1e-5)
    assert [
        judge(summarize_keys(x)) for x in ([1, 1.1, 1.2], [-1, -1.1, -1.2], [-1, 1, 2], [5.0])
    ] == [
        "holds",
        "fails",
        "undecided",
        "undecided",
    ]
    assert percent(summarize_keys([0.5])) == "50.0"
