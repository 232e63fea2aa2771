"""The experiments on convolution run, and find what they say they find."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import benchmark_convolution, fourier, strassen, tune_convolution
from experiments.convolution.shapes import all_cases
from jaxnets.ops.convolution import table
from jaxnets.ops.convolution.algorithms import ALGORITHMS
from jaxnets.ops.convolution.choose import DIRECT, choose
from jaxnets.ops.convolution.problem import make_problem


def test_fourier_finds_blur_edges_and_the_overshoot(tmp_path):
    results = fourier.main(replace(fourier.smoke(), workdir=tmp_path, terms=(1, 5, 25)))
    assert (tmp_path / "filters.png").stat().st_size > 10_000
    at_zero, share = results["response_at_zero"], results["high_frequency_share"]
    for name in ("box 5×5", "Gauss σ=2"):
        assert at_zero[name] == pytest.approx(1)
        assert share[name] < share["picture"]
    for name in ("Laplace", "Sobel"):
        assert at_zero[name] == pytest.approx(0, abs=1e-12)
        assert share[name] > share["picture"]
    assert results["circular_theorem_error"] < 1e-5  # float32 against float64
    waves = results["square_wave"]
    errors = [w["mean_square_error"] for w in waves]
    assert errors == sorted(errors, reverse=True)
    # Wilbraham and Gibbs: (2/π)·Si(π) − 1 over two.
    gibbs = (2 / np.pi * 1.8519370519824662 - 1) / 2
    assert waves[-1]["overshoot"] == pytest.approx(gibbs, abs=2e-3)
    # A Gaussian's response falls from the middle outwards; cut at three sigmas it ripples by 1e-3.
    response = fourier.response(fourier.FILTERS["Gauss σ=2"], 64)[32, 32:60]
    assert np.all(np.diff(response) <= 1e-3)


def test_strassen_counts_and_errors(tmp_path):
    results = strassen.main(replace(strassen.smoke(), workdir=tmp_path))
    assert results["counts"]["multiplications"][3] == 7**4
    assert results["counts"]["exponent"] == pytest.approx(math.log2(7))
    assert all(row["error"] <= row["bound"] for row in results["errors"])
    assert {row["level"] for row in results["times"]} == {0, 1, 2}


def test_benchmark_compares_all_with_xla(tmp_path):
    config = replace(benchmark_convolution.smoke(), families="large depthwise 15", workdir=tmp_path)
    results = benchmark_convolution.main(config)
    assert {r["algorithm"] for r in results["rows"]} == {"direct", "fft"}
    assert all(r["error"] < 1e-5 for r in results["rows"])
    assert (tmp_path / "ratios.png").exists() and (tmp_path / "summary.json").exists()
    with pytest.raises(ValueError, match="fit none of"):
        benchmark_convolution.main(replace(config, families="nonsense"))


def test_tuning_writes_a_table_that_can_be_read(tmp_path, monkeypatch):
    config = replace(tune_convolution.smoke(), workdir=tmp_path)
    few = [x for x in tune_convolution.ladders(config) if x.limit == "few_channels"]
    monkeypatch.setattr(tune_convolution, "ladders", lambda config: few)
    limits = tune_convolution.main(config)["limits"]
    assert limits["forward"].keys() == table.TABLES["cpu"]["forward"].keys()
    place = tmp_path / "table.py"
    with open(table.__file__, encoding="utf-8") as source:
        place.write_text(source.read(), encoding="utf-8")
    tune_convolution.write_table(limits, "cpu", place)
    names = {}
    exec(place.read_text(encoding="utf-8"), names)
    assert names["TABLES"]["cpu"] == limits


@pytest.mark.parametrize("case", all_cases(), ids=lambda c: f"{c.family} {c.name}")
def test_what_auto_chooses_can_be_done(case):
    shapes = [jax.ShapeDtypeStruct(s, "float32") for s in (case.x, case.kernel)]
    problem = make_problem(*shapes, **case.arguments)
    plan = choose(problem, jnp.float32, "cpu")
    for name in (plan.forward, plan.input_gradient, plan.kernel_gradient):
        assert ALGORITHMS[name].unsupported(problem) is None
    assert plan == choose(problem, jnp.float32, "cpu")
    assert choose(problem, jnp.float64, "cpu") == DIRECT
    assert choose(problem, jnp.float32, "gpu") == choose(problem, jnp.float32, "tpu") == DIRECT
