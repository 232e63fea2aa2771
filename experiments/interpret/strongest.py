"""Find the images of a data set that excite each map of a network most, in one pass.

Command:  python -m experiments.interpret.strongest --weights resnet20-12fca82f.th --model resnet20
          python -m experiments.interpret.strongest --workdir runs/train_classifier/digits-lenet5 \
              --dataset digits --layers c3 s4
Time:     half a minute on two CPU cores for ResNet-20 and the 10,000 test images of CIFAR-10.
Result:   in --target: a picture for each layer with the nine images, or the parts of them that
          the units see, of its strongest maps; summary.json with images, positions and boxes of
          all maps, and the seconds of the pass.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets import command
from jaxnets.data import load_dataset
from jaxnets.errors import JaxnetsError
from jaxnets.interpret import crops, load_subject, mosaic, sheet, top_activations
from jaxnets.interpret.program import endpoints
from jaxnets.study.data import available
from jaxnets.study.figures import save_figure
from jaxnets.study.summaries import json_values, write_settings
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to look for.

    Attributes:
        workdir: a run's directory.
        weights: instead of a run, a file of weights …
        model: … of this network; without weights they are random.
        dataset: whose test images are searched; digits where it is not prepared.
        layers: endpoints or paths of submodules (default: all endpoints).
        maps: strongest maps of each layer that are drawn.
        batch_size: images computed together.
        count: test images at most.
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
        target: where the results go.
    """

    workdir: Path | None = None
    weights: str | None = None
    model: str | None = None
    dataset: str = "cifar10"
    layers: tuple[str, ...] = ()
    maps: int = 8
    batch_size: int = 250
    count: int | None = None
    data_dir: Path | None = None
    target: Path = Path("runs/strongest")


def smoke() -> Config:
    """Some digits, by a LeNet-5 with random weights."""
    small = {"layers": ("s2",), "count": 40, "batch_size": 20, "maps": 2}
    return Config(model="lenet5", dataset="digits", **small, target=Path("runs/smoke/strongest"))


def main(config: Config) -> dict[str, Any]:
    """Search, draw, and return the strongest activation of each layer and the seconds."""
    if config.workdir is not None and (config.weights or config.model):
        raise JaxnetsError("--workdir is of a run, --weights and --model of a file: give one")
    subject = load_subject(config.workdir or config.weights, config.model)
    name = available(config.dataset, config.data_dir)
    images = np.asarray(load_dataset(name, data_dir=config.data_dir).test.images)[: config.count]
    if images.max() <= 16:  # scikit-learn's digits have 17 gray levels
        images = (images * (255 / 16)).astype(np.uint8)
    if images.shape[-1] != subject.channels:
        raise JaxnetsError(
            f"--dataset {name} has images with {images.shape[-1]} channels, the network takes "
            f"{subject.channels}"
        )
    if images.shape[1] < subject.side:  # a whole number of times larger
        factor = -(-subject.side // images.shape[1])
        images = images.repeat(factor, axis=1).repeat(factor, axis=2)
    workdir = write_settings(config, config.target)
    example = subject.prepare(images[:1])
    layers = config.layers or tuple(endpoints(subject.model, subject.variables, example))
    started = time.perf_counter()
    # Normalized batch by batch, so that the data set stays as it is stored.
    batches = (
        subject.prepare(images[i : i + config.batch_size])
        for i in range(0, len(images), config.batch_size)
    )
    found = top_activations(subject.model, subject.variables, batches, layers)
    seconds = time.perf_counter() - started
    summary: dict[str, Any] = {"images": len(images), "seconds": seconds, "layers": {}}
    for layer, top in found.items():
        chosen = np.argsort(-top.values[:, 0])[: config.maps]
        parts = type(top)(*(values[chosen] for values in top))
        panels = {
            f"map {c}": mosaic(cut) for c, cut in zip(chosen, crops(images, parts), strict=True)
        }
        save_figure(sheet(panels), workdir / f"{layer.replace('/', '_')}.png")
        boxes = np.where(np.isfinite(top.boxes), top.boxes, np.nan)
        summary["layers"][layer] = {
            "strongest": float(top.values.max()),
            "images": top.images.tolist(),
            "positions": top.positions.tolist(),
            "boxes": None if np.isnan(boxes).any() else boxes.tolist(),
        }
    write_json(workdir / "summary.json", json_values(summary))
    print(f"{len(images)} images in {seconds:.1f} s; {workdir}: {', '.join(found)}")
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
