"""The benchmark of augmentation: what it measures and draws, and what it refuses."""

import dataclasses

import pytest

from experiments.augmentation import benchmark_augment
from jaxnets.errors import JaxnetsError
from jaxnets.study.augment_cost import CIFAR


def test_the_recipes_for_cifar_are_measured_beside_a_training_step(smoke_run):
    results, workdir, output, _ = smoke_run("experiments.augmentation.benchmark_augment")
    entries = results["augmentations"]
    assert set(entries) == set(CIFAR)
    for entry in entries.values():
        share = entry["milliseconds"] / results["step_milliseconds"]
        assert entry["share_of_step"] == pytest.approx(share)
    assert results["largest_cifar_share"] == max(e["share_of_step"] for e in entries.values())
    assert (workdir / "augmentations.png").stat().st_size > 10_000
    assert "policy crop_flip + mixup" in output


def test_what_cannot_be_measured_is_refused(tmp_path):
    config = dataclasses.replace(benchmark_augment.smoke(), workdir=tmp_path)
    with pytest.raises(JaxnetsError, match="--batch-size at least 2"):
        benchmark_augment.main(dataclasses.replace(config, batch_size=1))
    with pytest.raises(JaxnetsError, match="not a directory"):
        benchmark_augment.main(dataclasses.replace(config, photos=tmp_path / "none"))
