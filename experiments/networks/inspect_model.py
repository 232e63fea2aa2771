"""Look into a network: every layer's shape, cost and receptive field, and four design principles.

Command:  python -m experiments.networks.inspect_model vgg16
          python -m experiments.networks.inspect_model resnet50 --image-size 448 --dtype bfloat16
          python -m experiments.networks.inspect_model inception_v3 --endpoints
Time:     1 s for VGG-16, 7 s for ResNet-152, 20 s for NASNet-A large: nothing is initialized or
          run.
Result:   the layer table on the screen, and in runs/inspect_model/NAME/: layers.md, layers.png
          (where parameters, arithmetic and memory lie), config.json, summary.json. VGG-16:
          15,237,608 activations with input and pooling (61 MB; the CS231n slide adds the same
          rows up to 24 M), 102,764,544 of 138,357,544 parameters in fc6.

The principles are those of "Rethinking the Inception Architecture", section 2.
The same as ``jaxnets inspect``, for a clone that is not installed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxnets import command
from jaxnets.commands import inspect


@dataclass(frozen=True)
class Config(inspect.Config):
    """The options of ``jaxnets inspect``."""


def smoke() -> Config:
    """LeNet-5."""
    return Config(model="lenet5", endpoints=True, workdir=Path("runs/smoke/inspect_model"))


def main(config: Config) -> dict[str, Any]:
    """Run ``jaxnets inspect`` and return what it found."""
    return inspect.main(config)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
