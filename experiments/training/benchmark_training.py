"""Measure training: steps and images per second, waiting for data, compile time, memory, FLOP/s.

Command:  python -m experiments.training.benchmark_training
          python -m experiments.training.benchmark_training --model resnet50 \
              --dtype bfloat16 --batch-size 256
          python -m experiments.training.benchmark_training --dataset cifar10
Time:     about a minute on two CPU cores for the default; the ResNet-50 line is what to run first
          on a GPU or TPU, where it takes about two minutes, most of it compilation.
Result:   a table of measurements, also in summary.json. FLOP/s count 2 per multiply-accumulate and
          three forward passes per step; their share is of the device's published dense peak in the
          compute dtype (on CPU: of a large float32 matrix product measured in the same run).

Without --dataset the images are random, as large as the network's published input.
The same as ``jaxnets benchmark``, for a clone that is not installed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxnets import command
from jaxnets.commands import benchmark


@dataclass(frozen=True)
class Config(benchmark.Config):
    """The options of ``jaxnets benchmark``."""


def smoke() -> Config:
    """Three steps of a small network."""
    return Config(
        model="mlp",
        image_size=8,
        num_classes=10,
        batch_size=16,
        devices=1,
        steps=3,
        workdir=Path("runs/smoke/benchmark_training"),
    )


def main(config: Config) -> dict[str, Any]:
    """Run ``jaxnets benchmark`` and return what it found."""
    return benchmark.main(config)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
