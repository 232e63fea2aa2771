"""Propose boxes that may hold an object, by selective search; measure them beside growing boxes.

Command:  python -m experiments.detection.propose IMAGE
          python -m experiments.detection.propose IMAGE --mode quality --workdir runs/quality
          python -m experiments.detection.propose --data pennfudan --workdir runs/coverage
Time:     one to two seconds an image of 400×300 on a CPU core; with --mode quality half a minute.
Result:   runs/propose/: the image with its first boxes, and all boxes in summary.json. Of a data
          set: which share of its objects has a proposal of IoU ½, and the mean best overlap, by the
          number of boxes, for selective search and for boxes that grow from small to large; the
          proposals nearest to the objects of the first images are drawn.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from jaxnets import command
from jaxnets.data import load_objects, read_image
from jaxnets.data.object_source import resize
from jaxnets.data.proposals import grow_boxes, selective_search
from jaxnets.errors import JaxnetsError
from jaxnets.metrics import proposal_quality
from jaxnets.metrics.collected import overlaps
from jaxnets.study.object_pictures import save_objects
from jaxnets.study.synthetic_objects import write_shapes
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to propose boxes for.

    Attributes:
        image: an image file.
        data: without an image, a folder of annotated ones, see `jaxnets.data.load_objects`.
        split: which of its splits.
        mode: of selective search.
        side: images are made smaller until no side is longer, in pixels.
        min_side: boxes are at least so wide and high, in pixels of those.
        counts: how many of the first boxes are measured; all are measured, too.
        shown: how many boxes of an image are drawn.
        limit: how many images of a data set are looked at; 0: all.
        json: print the boxes as JSON instead of lines.
        workdir: where pictures and summary.json go.
    """

    image: Annotated[Path | None, tyro.conf.Positional] = None
    data: Path | None = None
    split: str = "test"
    mode: Literal["single", "fast", "quality"] = "fast"
    side: int = 500
    min_side: float = 10.0
    counts: tuple[int, ...] = (10, 100, 1000)
    shown: int = 30
    limit: int = 0
    json: bool = False
    workdir: Path = Path("runs/propose")


def smoke() -> Config:
    """Colored shapes, made on the spot."""
    folder = write_shapes(np.random.default_rng(0), Path("runs/smoke/shapes_to_frame"), 2)
    workdir = Path("runs/smoke/propose")
    return Config(data=folder, mode="single", counts=(10,), min_side=1, workdir=workdir)


def main(config: Config) -> dict[str, Any]:
    """Propose, draw and measure; returns what summary.json holds."""
    if config.image is None and config.data is None:
        raise JaxnetsError("give an image or a data set: propose IMAGE, or propose --data FOLDER")
    config.workdir.mkdir(parents=True, exist_ok=True)
    summary = of_data(config) if config.image is None else of_image(config)
    write_json(config.workdir / "summary.json", summary)
    return summary


def of_image(config: Config) -> dict[str, Any]:
    """The boxes of one image, in its pixels."""
    image = read_image(config.image)
    small, factor = reduce(image, config.side)
    options = {"mode": config.mode, "min_side": config.min_side}
    boxes = np.round(selective_search(small, **options) * factor, 1)
    place = config.workdir / f"{config.image.stem}.png"
    first = boxes[: config.shown]
    save_objects(place, image, first, [str(i + 1) for i in range(len(first))])
    found = {"image": str(config.image), "boxes": boxes.tolist()}
    print(json.dumps(found) if config.json else f"{config.image}: {len(boxes)} boxes, {place}")
    return found


def of_data(config: Config) -> dict[str, Any]:
    """Coverage of a data set's objects, by method and number of boxes."""
    images = load_objects(config.data, config.split, size=64).images
    images = images[: config.limit or None]
    options = {"mode": config.mode, "min_side": config.min_side}
    methods = {
        "selective search": lambda image: selective_search(image, **options),
        "growing boxes": lambda image: grow_boxes(image, min_side=config.min_side),
    }
    found: dict[str, list[np.ndarray]] = {name: [] for name in methods}
    seconds = dict.fromkeys(methods, 0.0)
    for number, one in enumerate(images):
        image = read_image(one.path)
        small, factor = reduce(image, config.side)
        for name, propose in methods.items():
            start = time.perf_counter()
            found[name].append(propose(small) * factor)
            seconds[name] += time.perf_counter() - start
        if number < 4 and len(one.boxes):
            overlap = overlaps(one.boxes, found["selective search"][-1])
            best = found["selective search"][-1][overlap.argmax(1)]
            names = [f"{value:.2f}" for value in overlap.max(1)]
            save_objects(config.workdir / f"{one.path.stem}.png", image, best, names)
    truth = [one.boxes for one in images], [one.labels for one in images]
    rows = {}
    for name, boxes in found.items():
        counts: tuple[int | None, ...] = (*config.counts, None)
        for count in counts:
            quality = proposal_quality([each[:count] for each in boxes], *truth)
            rows[f"{name}, {count or 'all'}"] = quality._asdict()
            print(
                f"{name:17} {count or 'all':>5}: MABO {quality.mean_best_overlap:.3f}, recall "
                f"{100 * quality.recall:.1f} %, {quality.proposals:.0f} boxes an image"
            )
    times = {name: value / len(images) for name, value in seconds.items()}
    return {"quality": rows, "seconds_an_image": times, "images": len(images)}


def reduce(image: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """An image with no longer side, and what its boxes are multiplied by to be the original's."""
    share = min(1.0, side / max(image.shape[:2]))
    size = tuple(max(1, round(share * length)) for length in image.shape[:2])
    factors = np.array(image.shape[1::-1], np.float32) / np.array(size[::-1], np.float32)
    return resize(image, size), np.tile(factors, 2)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
