"""Training as measured: random images, arithmetic that follows from times, an unknown peak."""

import pytest

from jaxnets.study.timing import Timing
from jaxnets.study.training_speed import TrainingSpeed, peak_flops, random_images


def test_random_images_are_as_large_as_the_network_wants_them():
    split = random_images("lenet5", 6, num_classes=3, image_size=20)
    assert split.images.shape == (6, 20, 20, 1) and split.images.dtype == "uint8"
    assert set(split.labels) <= {0, 1, 2} and split.labels.dtype == "int32"


def test_a_summary_follows_from_the_median_step():
    speed = TrainingSpeed(Timing((0.1, 0.5, 0.9)), 0.25, 1.0, 2.0)
    found = speed.summary(8, 1000, devices=2, peak=1e5)
    assert found["steps_per_second"] == 2 and found["images_per_second"] == 16
    assert found["milliseconds_per_step"] == 500
    # Three forward passes, two operations a multiply-accumulate.
    assert found["flops_per_second"] == 6 * 1000 * 16
    assert found["share_of_peak"] == pytest.approx(96_000 / 200_000)
    assert (found["waiting_share"], found["init_seconds"], found["compile_seconds"]) == (0.25, 1, 2)
    unknown = speed.summary(8, 1000)
    assert unknown["peak_flops_per_second"] is None and unknown["share_of_peak"] is None


def test_a_processor_without_a_published_peak_is_measured(monkeypatch):
    monkeypatch.setattr("jaxnets.study.training_speed.matmul_flops_per_second", lambda dtype: 7.0)
    assert peak_flops("bfloat16") == ("measured matrix product", 7.0)
