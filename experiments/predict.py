"""Classify image files with a trained network: the five most probable classes of each.

Command:  python -m experiments.predict --images photo.jpg --workdir runs/mine
Time:     a few seconds, most of it start-up and compilation.
Result:   a line for each of the five most probable classes, with its probability, and a picture.

The same as ``jaxnets predict``, for a clone that is not installed.
"""

from dataclasses import dataclass
from typing import Any

from jaxnets import command
from jaxnets.commands import predict


@dataclass(frozen=True)
class Config(predict.Config):
    """The options of ``jaxnets predict``."""


def main(config: Config) -> dict[str, Any]:
    """Run ``jaxnets predict`` and return what it found."""
    return predict.main(config)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
