"""Every kind of curve is recognized, through noise and for many seeds."""

import numpy as np
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.tune.curves import typical_curves
from jaxnets.tune.diagnose import ADVICE, Diagnosis, diagnose, smoothing_entropy
from jaxnets.tune.figures import save_curves


@pytest.mark.parametrize("kind", ADVICE)
@pytest.mark.parametrize("points, noise", [(200, 0.02), (200, 0.1), (1000, 0.05)])
def test_typical_curves_of_forty_seeds(kind, points, noise):
    found = [
        diagnose(*typical_curves(kind, points=points, noise=noise, seed=seed)).kind
        for seed in range(40)
    ]
    assert np.mean([one == kind for one in found]) >= 0.95, found


def test_closed_forms():
    t = np.linspace(0, 1, 100)
    falling = 2.3 * np.exp(-10 * t)
    assert diagnose(falling, falling).kind == "good"
    assert diagnose(falling, falling + 2 * t).kind == "over_fitting"
    assert diagnose(2.3 - 0.3 * t).kind == "learning_rate_too_low"
    assert diagnose(2.3 + t).kind == "learning_rate_too_high"
    assert diagnose(np.where(t < 0.5, falling, np.nan)).kind == "learning_rate_too_high"
    stuck = 0.8 + 1.5 * np.exp(-20 * t)
    assert diagnose(stuck, stuck).kind == "plateau"
    # The same curve after the rate was decayed: nothing left but a larger network.
    assert diagnose(stuck, stuck, rate_decayed=True).kind == "under_fitting"
    # The same curve when 0.8 is all that label smoothing leaves.
    assert diagnose(stuck, floor=0.78).kind == "good"


def test_a_curve_scaled_by_any_factor_reads_the_same():
    for kind in ADVICE:
        train, valid = typical_curves(kind, seed=3)
        assert diagnose(train, valid).kind == diagnose(100 * train, 100 * valid).kind


def test_words_and_evidence():
    train, valid = typical_curves("over_fitting", seed=1)
    found = diagnose(train, valid)
    assert "validation loss ends at" in found.finding and "rose since" in found.finding
    assert isinstance(found, Diagnosis) and found.advice == ADVICE["over_fitting"]
    assert found.evidence["gap"] > 0.12


def test_smoothing_entropy_is_that_of_the_smoothed_labels():
    for smoothing, classes in ((0.1, 10), (0.05, 1000)):
        q = np.full(classes, smoothing / classes)
        q[0] += 1 - smoothing
        assert smoothing_entropy(smoothing, classes) == pytest.approx(-(q * np.log(q)).sum())
    assert smoothing_entropy(0.0, 10) == 0


def test_bad_input():
    with pytest.raises(JaxnetsError, match="at least 8 values"):
        diagnose([1.0, 0.5])
    with pytest.raises(JaxnetsError, match=r"valid_loss.*at least 4"):
        diagnose(np.ones(20), [1.0])
    with pytest.raises(JaxnetsError, match="first value is nan"):
        diagnose([np.nan] * 20)
    with pytest.raises(ValueError, match="one of the six"):
        typical_curves("bad")


def test_picture(tmp_path):
    train, valid = typical_curves("plateau")
    save_curves(train, valid, diagnose(train, valid), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000
