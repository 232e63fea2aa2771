"""Whether published weights help where there are few images: fine-tuning beside from scratch.

Command:  python -m experiments.transfer.fine_tune_few --weights resnet20-12fca82f.th
          python -m experiments.transfer.fine_tune_few --weights resnet20-12fca82f.th \
              --dataset objects:pennfudan
          python -m experiments.transfer.fine_tune_few --weights resnet20-12fca82f.th \
              --dataset folder:photos --per-class 10
Time:     two minutes on two idle CPU cores, half of it compilation.
Result:   runs/fine_tune_few/: accuracy.json, summary.json, fine_tuning.png: test accuracy of
          ResNet-20 trained from random numbers, with the published weights and a new classifier
          alone, and with all layers trained; and the paired gains over keys. The figures are in
          docs/results.md.

Every key draws the training images, the new classifier, the initial numbers and the order; the
other images are tested on. All ways take the same steps on the same images, from scratch with a
rate of its own. Without --dataset the images are drawn: five shapes whose color says nothing.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from jaxnets import command
from jaxnets.augment import augment_batch
from jaxnets.data import Dataset, Split, load_dataset
from jaxnets.data.preprocessing import Standardization
from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model, model_info
from jaxnets.pretrained import load
from jaxnets.study.drawn_pictures import draw_pictures
from jaxnets.study.object_crops import load_object_crops
from jaxnets.study.repeated_training import SplitPredictor, Trainer
from jaxnets.study.summaries import json_values, write_settings
from jaxnets.train.run_directory import write_json
from jaxnets.transfer import copy_layers, layers_up_to, transfer_state
from jaxnets.transfer.class_subsets import split_per_class
from jaxnets.transfer.gain_report import gains_as_text, save_gains, summarize_gains


@dataclass(frozen=True)
class Config:
    """What to learn, and from how much.

    Attributes:
        dataset: folder:PATH, objects:PATH (boxes of a detection set beside background), or "drawn".
        weights: a file with the weights of the network; None for random ones (a control).
        model: the network.
        per_class: training images of each class; the others are tested on.
        steps: of a training.
        batch_size: of a step.
        learning_rate: highest one from random numbers.
        fine_tuning_rate: highest one from published weights.
        keys: repetitions, for the intervals.
        workdir: where the results go.
    """

    dataset: str = "drawn"
    weights: str | None = None
    model: str = "resnet20"
    per_class: int = 4
    steps: int = 80
    batch_size: int = 20
    learning_rate: float = 0.1
    fine_tuning_rate: float = 0.02
    keys: int = 5
    workdir: Path = Path("runs/fine_tune_few")


def smoke() -> Config:
    """A few steps on pictures that are drawn."""
    small = {"steps": 2, "batch_size": 5, "per_class": 1, "keys": 2}
    return Config(**small, workdir=Path("runs/smoke/fine_tune_few"))


def load_images(config: Config, side: int) -> Dataset:
    """The data set, with images of ``side`` pixels."""
    kind, _, path = config.dataset.partition(":")
    if kind == "objects":
        return load_object_crops(path, side=side)
    if config.dataset == "drawn":
        return load_dataset(f"folder:{draw_pictures(config.workdir / 'pictures')}", size=side)
    return load_dataset(config.dataset, size=side)


def main(config: Config) -> dict[str, Any]:
    """Train every way from every key, compare, draw."""
    if config.keys < 1 or config.per_class < 1:
        raise JaxnetsError("--keys and --per-class must be at least 1")
    info, workdir = model_info(config.model), write_settings(config)
    data = load_images(config, info.input_size)
    whole = Split(*(np.concatenate(parts) for parts in zip(data.train, data.test, strict=True)))
    fewest = int(np.bincount(whole.labels).min())
    if config.per_class >= fewest:
        raise JaxnetsError(
            f"--per-class {config.per_class}: a class has {fewest} images in all, and what is not "
            f"learned from is the test; choose less than {fewest}"
        )
    network = create_model(config.model, num_classes=data.num_classes)
    shape = (*whole.images.shape[1:3], info.channels)
    normalize = Standardization(255 * np.array(info.mean), 255 * np.array(info.std)).apply
    backbone = layers_up_to(network, shape, "backbone")
    amount = {"steps": config.steps, "batch_size": config.batch_size, "prepare": augment_batch}
    make = partial(Trainer, network, shape, normalize, **amount)
    head = partial(transfer_state, frozen=backbone)
    trainers = {
        "from scratch": make(rate=config.learning_rate),
        "new classifier": make(rate=config.learning_rate, make_state=head),
        "all layers": make(rate=config.fine_tuning_rate),
    }
    published = load(config.model, config.weights)[1] if config.weights else None
    predictor = SplitPredictor(network, normalize, batch_size=100)
    found: dict[str, list[float]] = {way: [] for way in trainers}
    for key in tqdm(range(config.keys), disable=None, desc="keys"):
        train, test = split_per_class(whole, config.per_class, key)
        for way, trainer in trainers.items():
            start = trainer.initial(key)
            if way != "from scratch" and published is not None:
                start = copy_layers(start, published, backbone)
            end = trainer.run(start, train, key)[-1]
            found[way].append(predictor.accuracy(end, test))
        # After every key, so that a long run can be looked at.
        write_json(workdir / "accuracy.json", found)
    rows = summarize_gains(found, "from scratch")
    summary = {"rows": rows, "train": len(train), "test": len(test)}
    write_json(workdir / "summary.json", json_values(summary))
    title = f"{config.model}, {len(train)} images to learn from, {config.keys} keys"
    save_gains(rows, title, workdir / "fine_tuning.png")
    print(gains_as_text(rows))
    print(f"{workdir}: fine_tuning.png, summary.json")
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
