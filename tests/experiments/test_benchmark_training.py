"""The benchmark of training: its rates follow from each other."""

import pytest


def test_rates_follow_from_the_time_of_a_step(smoke_run):
    results, _, output, _ = smoke_run("experiments.training.benchmark_training")
    assert results["images_per_second"] == pytest.approx(16 * results["steps_per_second"])
    assert 0 <= results["waiting_share"] < 1
    # An MLP's MACs are its weights; the published rate of arithmetic follows from them.
    assert results["flops_per_second"] == pytest.approx(
        6 * results["macs_per_image"] * results["images_per_second"]
    )
    assert 0 < results["share_of_peak"] < 1
    assert "images per second" in output
