"""The curvature of linear models before and after whitening, as the experiment reports it."""

import dataclasses
import json

import pytest

from experiments.optimization import conditioning
from jaxnets.errors import JaxnetsError


def test_smoke_whitening_makes_the_condition_number_one(smoke_run):
    summary, workdir, *_ = smoke_run("experiments.optimization.conditioning")
    for name in ("pca", "zca"):
        # Exact in theory; float64 eigenvalues of a covariance with κ of millions leave 1e-8.
        assert summary[name]["condition_least_squares"] == pytest.approx(1, abs=1e-8)
        assert summary[name]["condition_logistic_start"] == pytest.approx(1, abs=1e-8)
        assert summary[name]["gradient_spread"] == pytest.approx(1, abs=1e-8)
    standardized = summary["standardized"]
    assert standardized["gradient_spread"] == pytest.approx(1, abs=1e-12)
    order = ["raw", "mean", "standardized", "zca"]
    numbers = [summary[name]["condition_least_squares"] for name in order]
    assert numbers == sorted(numbers, reverse=True) and numbers[0] > 1000 * numbers[2]
    losses = [summary[name]["last_loss"] for name in order]
    assert losses == sorted(losses, reverse=True)
    assert all(summary[name]["last_loss"] >= summary[name]["least_loss"] for name in summary)
    assert json.loads((workdir / "summary.json").read_text()) == summary
    assert (workdir / "conditioning.png").stat().st_size > 10_000


def test_too_few_examples_are_named(tmp_path):
    config = dataclasses.replace(conditioning.smoke(), train_examples=30, workdir=tmp_path)
    with pytest.raises(JaxnetsError, match="more training examples"):
        conditioning.main(config)
