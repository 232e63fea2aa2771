"""Train a small detector on annotated images of your own: an SSD, a YOLO, an R-CNN.

Command:  python -m experiments.detection.train_detector --data FOLDER
          python -m experiments.detection.train_detector --data bccd --size 240 320 \\
              --workdir runs/bccd
          python -m experiments.detection.train_detector --data bccd --size 240 320 \\
              --recipe.kind yolo --workdir runs/bccd_yolo
          python -m experiments.detection.train_detector --data bccd --size 240 320 \\
              --recipe.kind fast_rcnn --workdir runs/bccd_fast_rcnn
          python -m experiments.detection.train_detector --data pennfudan --size 288 288 \\
              --recipe.kind mask_rcnn --recipe.trunk fastestdet.pth --workdir runs/pennfudan
          python -m experiments.detection.train_detector --data people --size 256 256 \\
              --recipe.kind keypoint_rcnn --workdir runs/people
          python -m experiments.detection.train_detector --data traffic --size 300 300 \\
              --recipe.kind mobilenet_ssd --workdir runs/traffic
Time:     BCCD (205 images of 320×240) ten to fifteen minutes on two CPU cores.
Result:   runs/train_detector/: AP and AP50 on the test images, in summary.json; a run that
          experiments.detection.detect and evaluate_detector read. BCCD: see docs/results.md.

FOLDER holds COCO's JSON, PASCAL VOC's XML or YOLO's text files (see jaxnets.data.load_objects).
A killed run goes on where it was.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets import command
from jaxnets.data import AnnotationError, ObjectSource, load_objects
from jaxnets.errors import JaxnetsError
from jaxnets.study.synthetic_objects import write_shapes
from jaxnets.tasks.detector_training import DetectorRecipe, train_detector
from jaxnets.train import RunOptions


@dataclass(frozen=True)
class Config(RunOptions):
    """What to train on, and how.

    Attributes:
        data: the folder of the data set.
        split, validation, test: names of its splits; where there is no such validation or test
            split, it is left out.
        size: height and width of the canvas that images are fitted into.
        recipe: what decides the result.
    """

    data: Path | None = None
    split: str = "train"
    validation: str = "val"
    test: str = "test"
    size: tuple[int, int] = (320, 320)
    recipe: DetectorRecipe = field(default_factory=DetectorRecipe)
    workdir: Path | None = Path("runs/train_detector")
    evaluate_every: int = 5


def smoke() -> Config:
    """Two epochs on a few images of colored shapes, made on the spot."""
    recipe = DetectorRecipe(width=4, anchors_per_map=1, epochs=2, batch_size=2)
    folder = write_shapes(np.random.default_rng(0), Path("runs/smoke/shapes_to_train"), 6)
    run = {"devices": 1, "quiet": True, "restart": True, "evaluate_every": 0}
    workdir = Path("runs/smoke/train_detector")
    return Config(data=folder, size=(64, 64), recipe=recipe, workdir=workdir, **run)


def load_split(config: Config, name: str, *, ignored: bool) -> ObjectSource | None:
    """A split of the data set, or None where it has no such split."""
    try:
        kind = config.recipe.kind
        more = {"masks": kind == "mask_rcnn", "keypoints": kind == "keypoint_rcnn"}
        return load_objects(config.data, name, size=config.size, ignored=ignored, **more)
    except AnnotationError as error:
        if name == config.split or "found neither" not in str(error):
            raise
        return None


def main(config: Config) -> dict[str, Any]:
    """Train, and return what summary.json holds."""
    if config.data is None:
        raise JaxnetsError(
            "no data given: python -m experiments.detection.train_detector --data FOLDER"
        )
    source = load_split(config, config.split, ignored=False)
    validation = load_split(config, config.validation, ignored=False)
    test = load_split(config, config.test, ignored=True)
    found = train_detector(config.recipe, config, source, validation=validation, test=test)
    for name, value in found.summary.items():
        if isinstance(value, float) and ("AP" in name or "loss" in name):
            config.say(f"{name}: {value:.4f}")
    return found.summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
