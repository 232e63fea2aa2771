"""Classify image files with a trained network: the five most probable classes of each.

Command:  python -m experiments.predict --images photo.jpg --workdir RUN
Time:     a few seconds, most of it start-up and compilation.
Result:   a line for each of the five most probable classes, with its probability.

Each image is scaled to cover the network's input and cropped around its center.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnets import command
from jaxnets.data import read_image
from jaxnets.errors import JaxnetsError
from jaxnets.tasks import load_classifier


@dataclass(frozen=True)
class Config:
    """What to classify.

    Attributes:
        images: image files, any format that Pillow reads.
        workdir: the run's directory.
        step: a certain checkpoint (default: the newest whole one).
        top: how many classes to show.
        invert: turn dark ink on white paper into the light strokes on black of digits and MNIST.
    """

    images: tuple[Path, ...]
    workdir: Path = Path("runs/train_classifier/digits-lenet5")
    step: int | None = None
    top: int = 5
    invert: bool = False


def main(config: Config) -> dict[str, Any]:
    """Classify and return ``{file: [(class name, probability), …]}``, most probable first."""
    if not config.images:
        raise JaxnetsError("no image given: --images FILE [FILE …]")
    if config.top < 1:
        raise JaxnetsError(f"--top must be at least 1, got {config.top}")
    classifier, _ = load_classifier(config.workdir, step=config.step)
    height, width, channels = classifier.info.image_shape
    # All files first: one that cannot be read is named before anything is computed.
    images = np.stack([read_image(path, (height, width), channels) for path in config.images])
    probabilities = np.asarray(jax.jit(classifier)(255 - images if config.invert else images))
    results = {}
    for path, row in zip(config.images, probabilities, strict=True):
        best = np.argsort(-row)[: config.top]
        results[str(path)] = [(classifier.info.class_names[i], float(row[i])) for i in best]
        print(path)
        for name, probability in results[str(path)]:
            print(f"  {100 * probability:6.2f} %  {name}")
    return results


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
