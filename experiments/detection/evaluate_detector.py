"""Measure a detector on annotated images, as COCO and PASCAL VOC do.

Command:  python -m experiments.detection.evaluate_detector --data FOLDER --split test \\
              --weights runs/train_detector
          python -m experiments.detection.evaluate_detector --data FOLDER --split val \\
              --weights yolo.weights --cfg yolo.cfg
Time:     seconds for a hundred images on two CPU cores, most of it compilation.
Result:   AP, AP50, AP75 and the AP of each class, printed and in runs/evaluate_detector/, with a
          picture of the first images: what is there beside what was found.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets import command
from jaxnets.data import load_objects, read_image
from jaxnets.data.object_masks import object_mask
from jaxnets.errors import JaxnetsError
from jaxnets.metrics import CocoEvaluator, VocEvaluator, keypoint_sigmas
from jaxnets.study.object_pictures import save_objects
from jaxnets.study.synthetic_objects import write_darknet, write_shapes
from jaxnets.tasks.detector_files import read_detector
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to measure.

    Attributes:
        data: the folder of the data set, see `jaxnets.data.load_objects`.
        split: which of its splits.
        weights: a run's directory, or a file of weights.
        masks: also measure masks, which the data set must have.
        keypoints: also measure key points, which the data set must have.
        model: of a file of torchvision's weights.
        cfg: of a file of darknet's weights.
        pictures: how many images to draw.
        picture_score: draw what is at least this certain.
        workdir: where pictures and summary.json go.
    """

    data: Path | None = None
    split: str = "test"
    weights: Path | None = None
    masks: bool = False
    keypoints: bool = False
    model: str | None = None
    cfg: Path | None = None
    pictures: int = 4
    picture_score: float = 0.3
    workdir: Path = Path("runs/evaluate_detector")


def smoke() -> Config:
    """Colored shapes, made on the spot, and a tiny network of random weights."""
    folder = Path("runs/smoke/shapes")
    cfg, weights = write_darknet(np.random.default_rng(0), folder)
    write_shapes(np.random.default_rng(0), folder, 2)
    return Config(folder, weights=weights, cfg=cfg, workdir=Path("runs/smoke/evaluate_detector"))


def main(config: Config) -> dict[str, Any]:
    """Measure; returns the averages by name."""
    if config.data is None or config.weights is None:
        raise JaxnetsError("give --data FOLDER and --weights WEIGHTS")
    detector = read_detector(config.weights, model=config.model, cfg=config.cfg)
    wanted = {"masks": config.masks, "keypoints": config.keypoints, "ignored": True}
    source = load_objects(config.data, config.split, size=detector.size, **wanted)
    numbers = {name: i for i, name in enumerate(source.class_names)}
    if not set(detector.class_names) & set(numbers):
        if len(detector.class_names) != len(numbers):
            raise JaxnetsError(
                f"the detector knows {detector.class_names}, the images hold {source.class_names}"
            )
        numbers = {name: i for i, name in enumerate(detector.class_names)}
    measures: dict[str, Any] = {
        "coco": CocoEvaluator(source.class_names),
        "voc": VocEvaluator(source.class_names),
    }
    painted = CocoEvaluator(source.class_names, kind="segm")
    sigmas = keypoint_sigmas(source.joints or 1)
    jointed = CocoEvaluator(source.class_names, kind="keypoints", sigmas=sigmas)
    found_all = detector.find([one.path for one in source.images])
    for number, (one, found) in enumerate(zip(source.images, found_all, strict=True)):
        # What the data set has no class for is neither right nor wrong.
        known = np.array([name in numbers for name in found.labels], bool)
        names = [name for name in found.labels if name in numbers]
        truth = {"boxes": one.boxes[None], "box_label": one.labels[None]}
        truth["box_mask"] = np.ones((1, len(one.boxes)))
        more = {"box_ignore": one.ignored, "box_area": one.areas}
        truth |= {name: array[None] for name, array in more.items() if array is not None}
        seen = {
            "boxes": found.boxes[known][None],
            "scores": found.scores[known][None],
            "labels": np.array([[numbers[name] for name in names]], np.int32),
            "mask": np.ones((1, len(names)), bool),
        }
        for measure in measures.values():
            measure.add(truth, seen)
        if config.masks:
            if found.masks is None:
                raise JaxnetsError("--masks: this detector paints none; expected a Mask R-CNN")
            true_masks = [object_mask(mask, one.size) for mask in one.masks or ()]
            truth["masks"] = np.array(true_masks, np.uint8).reshape(1, -1, *one.size)
            painted.add(truth, seen | {"masks": found.masks[known][None]})
        if config.keypoints:
            count = 0 if found.keypoints is None else found.keypoints.shape[1]
            if count != source.joints:
                raise JaxnetsError(
                    f"--keypoints: this detector finds {count}; the images have {source.joints}"
                )
            truth["keypoints"] = one.keypoints[None]
            jointed.add(truth, seen | {"keypoints": found.keypoints[known][None]})
        if number < config.pictures:
            sure = found.scores >= config.picture_score
            labels = [name for name, there in zip(found.labels, sure, strict=True) if there]
            place, image = config.workdir / one.path.stem, read_image(one.path)
            save_objects(
                Path(f"{place}_found.png"),
                image,
                found.boxes[sure],
                labels,
                found.scores[sure],
                masks=None if found.masks is None else found.masks[sure],
                keypoints=None if found.keypoints is None else found.keypoints[sure],
            )
            true = [source.class_names[label] for label in one.labels]
            save_objects(Path(f"{place}_true.png"), image, one.boxes, true)
    result = {**measures["coco"].summarize(), "mAP": measures["voc"].summarize()["mAP"]}
    if config.masks:
        result |= {f"mask_{name}": value for name, value in painted.summarize().items()}
    if config.keypoints:
        result |= {f"keypoint_{name}": value for name, value in jointed.summarize().items()}
    for name, value in result.items():
        print(f"{name:20} {value:.4f}")
    config.workdir.mkdir(parents=True, exist_ok=True)
    write_json(config.workdir / "summary.json", result)
    return result


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
