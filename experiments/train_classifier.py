"""Train a network on images, on any number of devices; a killed run goes on where it was.

Command:  python -m experiments.train_classifier
          python -m experiments.train_classifier --dataset mnist --epochs 6
          python -m experiments.train_classifier --dataset cifar10 --model resnet20 \\
              --optimizer nesterov --learning-rate 0.1 --weight-decay 1e-4 --augment crop_flip \\
              --batch-size 128 --epochs 12
Time:     digits with LeNet-5 about half a minute on two CPU cores, compilation included.
Result:   test accuracy of at least 98 % on digits; the README's table has the others.

The same as ``jaxnets train``, for a clone that is not installed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxnets import command
from jaxnets.commands import train


@dataclass(frozen=True)
class Config(train.Config):
    """The options of ``jaxnets train``."""


def smoke() -> Config:
    """Two epochs of a small network on a part of the digits."""
    return Config(
        model="mlp",
        train_examples=200,
        epochs=2,
        warmup_epochs=0,
        batch_size=40,
        workdir=Path("runs/smoke/train_classifier"),
        devices=1,
        restart=True,
        quiet=True,
    )


def main(config: Config) -> dict[str, Any]:
    """Run ``jaxnets train`` and return what it found."""
    return train.main(config)


if __name__ == "__main__":
    command.run(
        main,
        Config,
        description=__doc__,
        positional="dataset",
        choose_defaults=train.choose_defaults,
    )
