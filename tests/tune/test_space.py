"""Search spaces: draws, words and back, zooming, bad input."""

import numpy as np
import pytest

from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.tune import SEARCHABLE, Choice, Range, Study, parse_space, zoom
from jaxnets.tune.space import check_space, describe_space


def test_log_uniform_draws_are_uniform_in_the_logarithm():
    study = Study(None, "a", {"x": Range(1e-4, 1.0)}, {})
    shares = np.sort([np.log10(study.ask().params["x"]) / 4 + 1 for _ in range(80)])
    # Kolmogorov-Smirnov: 1.63/√n at 1 %.
    assert np.abs(shares - (np.arange(80) + 0.5) / 80).max() < 1.63 / np.sqrt(80)


def test_words_and_back():
    space = {"x": Range(1e-4, 0.1), "y": Range(0.0, 0.2, log=False), "z": Choice(("a", "b"))}
    assert parse_space([f"{k}={v}" for k, v in describe_space(space).items()]) == space
    assert parse_space(["batch_size=16,32"])["batch_size"] == Choice((16, 32))


def test_zoom_keeps_its_width_and_stays_inside():
    for best in (1e-4, 2e-3, 1.0):
        part = zoom({"x": Range(1e-4, 1.0)}, {"x": best}, 4)["x"]
        assert part.high / part.low == pytest.approx(10.0)
        assert part.low >= 1e-4 * (1 - 1e-9) and part.high <= 1 + 1e-9
        assert part.low <= best * (1 + 1e-9) and best <= part.high * (1 + 1e-9)


@pytest.mark.parametrize(
    "space, words",
    [
        ({}, "empty"),
        ({"x": Range(1.0, 0.1)}, "x: the lower limit 1 is not below"),
        ({"x": Range(0.0, 0.1)}, "logarithmic range cannot reach 0"),
        ({"x": Range(0.1, float("nan"))}, "must be finite"),
        ({"x": Choice(())}, "no value to choose"),
        ({"x": 3}, "expected a Range or a Choice"),
    ],
)
def test_bad_spaces(space, words):
    with pytest.raises(JaxnetsError, match=words):
        check_space(space)


def test_unknown_names_and_bad_words():
    with pytest.raises(UnknownNameError, match="Did you mean 'learning_rate'"):
        check_space({"learning_rat": Range(1e-3, 1)}, SEARCHABLE)
    for line in ("learning_rate", "=1:2", "x=1:2:3", "x=a:b"):
        with pytest.raises(JaxnetsError, match="expected"):
            parse_space([line])
    with pytest.raises(JaxnetsError, match="named twice"):
        parse_space(["x=1:2", "x=1:3"])
