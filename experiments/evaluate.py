"""Measure a trained classifier on a test set: a run of this library, or weights from PyTorch.

Command:  python -m experiments.evaluate --workdir runs/train_classifier/digits-lenet5
          python -m experiments.evaluate --workdir runs/mine --step 4000
          python -m experiments.evaluate --weights resnet20-12fca82f.th --model resnet20 \\
              --dataset cifar10 --views flip
Time:     seconds for digits; CIFAR-10 with ResNet-20 about ten seconds on two CPU cores.
Result:   accuracy, loss and the numbers of every class; for a finished run the same accuracy as
          its summary.json. The published CIFAR-10 ResNet-20 of akamaster/pytorch_resnet_cifar10
          classifies 91.73 %.

The same as ``jaxnets evaluate``, for a clone that is not installed.
"""

from dataclasses import dataclass
from typing import Any

from jaxnets import command
from jaxnets.commands import evaluate


@dataclass(frozen=True)
class Config(evaluate.Config):
    """The options of ``jaxnets evaluate``."""


def main(config: Config) -> dict[str, Any]:
    """Run ``jaxnets evaluate`` and return what it found."""
    return evaluate.main(config)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__, positional="workdir")
