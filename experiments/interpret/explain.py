"""Explain what a network says of one picture: class map, occlusion, deconvnet, saliency.

Command:  python -m experiments.interpret.explain photo.jpg --weights compressed_SqueezeNet.net
          python -m experiments.interpret.explain photo.jpg --weights resnet20-12fca82f.th \
              --model resnet20
          python -m experiments.interpret.explain photo.jpg --workdir runs/mine
Time:     half a minute on two CPU cores for SqueezeNet at 227×227 pixels, most of it compilation.
Result:   in --target: explain.png, one sheet with all maps; summary.json with the five most
          probable classes and the box around what was recognized.

The same as ``jaxnets explain``, for a clone that is not installed.
"""

from dataclasses import dataclass
from typing import Any

from jaxnets import command
from jaxnets.commands import explain


@dataclass(frozen=True)
class Config(explain.Config):
    """The options of ``jaxnets explain``."""


def main(config: Config) -> dict[str, Any]:
    """Run ``jaxnets explain`` and return what it found."""
    return explain.main(config)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
