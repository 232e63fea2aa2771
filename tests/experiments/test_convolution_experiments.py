"""The experiments on convolution run, and find what they say they find."""

import math
from dataclasses import replace

import numpy as np
import pytest

from experiments.convolution import benchmark_convolution, fourier, tune_convolution
from jaxnets.errors import JaxnetsError
from jaxnets.ops.convolution import onednn_support, table
from jaxnets.study.convolution import tuning


def test_fourier_finds_blur_edges_and_the_overshoot(smoke_run):
    results, workdir, *_ = smoke_run("experiments.convolution.fourier")
    assert (workdir / "filters.png").stat().st_size > 10_000
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


def test_strassen_counts_and_errors(smoke_run):
    results = smoke_run("experiments.convolution.strassen").results
    assert results["counts"]["multiplications"][3] == 7**4
    assert results["counts"]["exponent"] == pytest.approx(math.log2(7))
    assert all(row["error"] <= row["bound"] for row in results["errors"])
    assert {row["level"] for row in results["times"]} == {0, 1, 2}


def test_benchmark_compares_all_with_xla(smoke_run):
    results, workdir, *_ = smoke_run("experiments.convolution.benchmark_convolution")
    large = [r for r in results["rows"] if r["family"] == "large depthwise 15x15"]
    # Which of the two wins depends on the processor.
    assert {r["algorithm"] for r in large if r["auto"]} <= {"fft", "onednn"}
    assert {r["algorithm"] for r in large if not r["auto"]} == {"direct"}
    assert all(r["error"] < 1e-5 for r in results["rows"])
    assert (workdir / "ratios.png").exists() and (workdir / "summary.json").exists()


def test_benchmark_names_the_families_it_knows(tmp_path):
    config = replace(benchmark_convolution.smoke(), families=("nonsense",), workdir=tmp_path)
    with pytest.raises(ValueError, match="fit none of"):
        benchmark_convolution.main(config)


def test_tuning_writes_a_table_that_can_be_read(tmp_path, monkeypatch):
    config = replace(tune_convolution.smoke(), workdir=tmp_path)
    few = [x for x in tuning.ladders(config.batch_size, config.shrink) if x.limit == "few_channels"]
    monkeypatch.setattr(tune_convolution, "ladders", lambda *_: few)
    wide = tuning.onednn_ladders(config.batch_size, config.shrink)
    assert {x.limit for x in wide} | {"least_macs"} == set(
        table.ONEDNN["amx"]["float32"]["forward"]
    )
    one = [x for x in wide if x.limit == "blocked_channels"]
    monkeypatch.setattr(tune_convolution, "onednn_ladders", lambda *_: one)
    results = tune_convolution.main(config)
    limits, onednn = results["limits"], results["onednn"]
    assert limits["forward"].keys() == table.TABLES["cpu"]["forward"].keys()
    path = tmp_path / "table.py"
    with open(table.__file__, encoding="utf-8") as source:
        path.write_text(source.read(), encoding="utf-8")
    tuning.write_table(limits, "cpu", path, onednn)
    names = {}
    exec(path.read_text(encoding="utf-8"), names)
    assert names["TABLES"]["cpu"] == limits
    assert names["ONEDNN"] == {**table.ONEDNN, **onednn}
    assert set(onednn) == ({onednn_support.instruction_set()} if onednn else set())


def test_fourier_takes_a_small_photograph(tmp_path):
    from PIL import Image

    Image.new("RGB", (31, 20), "green").save(tmp_path / "small.png")
    config = replace(fourier.Config(), image=tmp_path / "small.png")
    assert fourier.load(config).shape == (20, 20)
    Image.new("RGB", (31, 2)).save(tmp_path / "tiny.png")
    with pytest.raises(JaxnetsError, match="at least 16 pixels"):
        fourier.load(replace(config, image=tmp_path / "tiny.png"))
