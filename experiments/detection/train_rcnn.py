"""Train an R-CNN on annotated images of your own: proposals, a CNN on crops, linear machines.

Command:  python -m experiments.detection.train_rcnn --data FOLDER
          python -m experiments.detection.train_rcnn --data pennfudan --size 288 288 \\
              --recipe.epochs 8 --workdir runs/rcnn_pennfudan
Time:     minutes for sixty images of 96×96 on two CPU cores; a second or two more for each
          image of 300×300, for its proposals.
Result:   runs/train_rcnn/: the network, the machines in regions.npz, and in summary.json the
          accuracy on crops and PASCAL VOC's mAP on the test images; a run that
          experiments.detection.detect and evaluate_detector read.

FOLDER holds COCO's JSON, PASCAL VOC's XML or YOLO's text files (see jaxnets.data.load_objects).
With --recipe.width 0 the network is the published AlexNet, on crops of 227×227.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets import command
from jaxnets.data import AnnotationError, load_objects
from jaxnets.errors import JaxnetsError
from jaxnets.metrics import VocEvaluator
from jaxnets.study.synthetic_objects import write_shapes
from jaxnets.tasks.rcnn import RCNNRecipe, load_rcnn, train_rcnn
from jaxnets.train import RunOptions
from jaxnets.train.run_directory import read_json, write_json


@dataclass(frozen=True)
class Config(RunOptions):
    """What to train on, and how.

    Attributes:
        data: the folder of the data set.
        split, test: names of its splits; where there is no such test split, it is left out.
        size: height and width of the canvas that images are fitted into.
        recipe: what decides the result.
    """

    data: Path | None = None
    split: str = "train"
    test: str = "test"
    size: tuple[int, int] = (320, 320)
    recipe: RCNNRecipe = field(default_factory=RCNNRecipe)
    workdir: Path | None = Path("runs/train_rcnn")


def smoke() -> Config:
    """One epoch on a few images of colored shapes, made on the spot."""
    recipe = RCNNRecipe(width=4, mode="single", regions=16, epochs=1, batch_size=16)
    folder = write_shapes(np.random.default_rng(0), Path("runs/smoke/shapes_to_crop"), 6)
    run = {"devices": 1, "quiet": True, "restart": True, "evaluate_every": 0}
    workdir = Path("runs/smoke/train_rcnn")
    return Config(data=folder, size=(64, 64), recipe=recipe, workdir=workdir, **run)


def main(config: Config) -> dict[str, Any]:
    """Train, measure, and return what summary.json holds."""
    if config.data is None:
        raise JaxnetsError(
            "no data given: python -m experiments.detection.train_rcnn --data FOLDER"
        )
    source = load_objects(config.data, config.split, size=config.size)
    fitted = train_rcnn(config.recipe, config, source)
    if fitted.interrupted:
        return fitted.summary
    place = config.workdir / "summary.json"
    summary = read_json(place)
    try:
        test = load_objects(config.data, config.test, size=config.size, ignored=True)
    except AnnotationError as error:
        if "found neither" not in str(error):
            raise
        return summary
    detector, voc = load_rcnn(config.workdir), VocEvaluator(source.class_names)
    found_all = detector.find([one.path for one in test.images])
    for one, found in zip(test.images, found_all, strict=True):
        truth = {"boxes": one.boxes[None], "box_label": one.labels[None]}
        truth |= {"box_mask": np.ones((1, len(one.boxes)))}
        if one.ignored is not None:
            truth["box_ignore"] = one.ignored[None]
        labels = [source.class_names.index(name) for name in found.labels]
        seen = {"boxes": found.boxes[None], "scores": found.scores[None]}
        seen |= {"labels": np.array([labels], np.int32), "mask": np.ones((1, len(labels)), bool)}
        voc.add(truth, seen)
    summary["mAP"] = voc.summarize()["mAP"]
    write_json(place, summary)
    config.say(f"mAP: {summary['mAP']:.4f}")
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
