"""Find objects in images: draws boxes, masks and key points, or says them as JSON.

Command:  python -m experiments.detection.detect IMAGE --weights runs/train_detector
          python -m experiments.detection.detect FOLDER --weights ssd300.pth --model ssd300_vgg16
          python -m experiments.detection.detect IMAGE --weights yolo.weights --cfg yolo.cfg --json
Time:     seconds on two CPU cores, most of it compilation.
Result:   runs/detect/: each image with what was found, and summary.json with all of them.

IMAGE is a file or a folder of images. --weights is the directory of a run of train_detector, a file
of torchvision's weights, or one of darknet's.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from jaxnets import command
from jaxnets.data import read_image
from jaxnets.data.yolo_files import list_images
from jaxnets.errors import JaxnetsError
from jaxnets.study.object_pictures import save_objects
from jaxnets.study.synthetic_objects import write_darknet, write_shapes
from jaxnets.tasks.detector_files import read_detector
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to look at, and with which detector.

    Attributes:
        image: an image file, or a folder of them.
        weights: a run's directory, or a file of weights.
        model: of a file of torchvision's weights.
        cfg: of a file of darknet's weights.
        classes: a file with the classes' names, one a line.
        min_score: what is less certain is left out.
        json: print JSON instead of lines, and draw nothing.
        workdir: where pictures and summary.json go.
    """

    image: Annotated[Path | None, tyro.conf.Positional] = None
    weights: Path | None = None
    model: str | None = None
    cfg: Path | None = None
    classes: Path | None = None
    min_score: float = 0.3
    json: bool = False
    workdir: Path = Path("runs/detect")


def smoke() -> Config:
    """Colored shapes, made on the spot, and a tiny network of random weights."""
    folder = Path("runs/smoke/shapes")
    cfg, weights = write_darknet(np.random.default_rng(0), folder)
    images = write_shapes(np.random.default_rng(0), folder, 2) / "images"
    return Config(images, weights, cfg=cfg, min_score=0.0, workdir=Path("runs/smoke/detect"))


def main(config: Config) -> dict[str, Any]:
    """Find objects, draw or print them, and return them by file."""
    if config.image is None or config.weights is None:
        raise JaxnetsError("give an image and weights: detect IMAGE --weights WEIGHTS")
    paths = list_images(config.image) if config.image.is_dir() else [config.image]
    if not paths:
        raise JaxnetsError(f"{config.image}: there are no images")
    detector = read_detector(
        config.weights, model=config.model, cfg=config.cfg, classes=config.classes
    )
    results = []
    for found in detector.find(paths, min_score=config.min_score):
        labels = found.labels
        results.append(found.to_json())
        if config.json:
            continue
        place = config.workdir / f"{found.path.stem}.png"
        drawn = (read_image(found.path), found.boxes, labels, found.scores)
        save_objects(place, *drawn, masks=found.masks, keypoints=found.keypoints)
        print(f"{found.path}: {len(labels)} objects, {place}")
        for label, score, box in zip(labels, found.scores, found.boxes, strict=True):
            print(f"  {100 * score:5.1f} %  {label}  {np.round(box).astype(int).tolist()}")
    if config.json:
        print(json.dumps(results))
    config.workdir.mkdir(parents=True, exist_ok=True)
    write_json(config.workdir / "summary.json", {"images": results})
    return {"images": results}


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
