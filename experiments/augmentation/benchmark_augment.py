"""What augmentation costs beside a training step of ResNet-20, and what every transform looks like.

Command:  python -m experiments.augmentation.benchmark_augment
          python -m experiments.augmentation.benchmark_augment --dataset cifar10 \
              --photos DIRECTORY
          python -m experiments.augmentation.benchmark_augment --cifar-only
Time:     about a minute on two CPU cores.
Result:   runs/benchmark_augment/: augmentations.png, every transform on photographs; summary.json,
          milliseconds of each transform, policy and mix for a batch of 128 images of 32×32, and
          their share of a training step of ResNet-20. What the CIFAR recipes use costs less than
          10 %.

A transform is timed alone, compiled for the whole batch, in turns with the training step, so that
a change of the machine's load meets both.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnets import command
from jaxnets.data import load_dataset
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model
from jaxnets.optim import create_optimizer
from jaxnets.study.augment_cost import CIFAR, candidates
from jaxnets.study.augment_sheet import FEW_ROWS, load_photos, make_rows, save_sheet
from jaxnets.study.programs import processor
from jaxnets.study.summaries import write_settings
from jaxnets.study.timing import time_calls
from jaxnets.tasks import classification
from jaxnets.train import create_state, train_step
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to measure.

    Attributes:
        model: whose training step is the measure.
        dataset: a TFDS dataset of color images; by default random images of 32×32.
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
        batch_size: images a step.
        rounds: of each measurement; the median counts.
        cifar_only: measure only what the recipes for CIFAR-10 use, and draw a few rows.
        photos: directory of JPEG photographs for the sheet (default: two of scikit-learn).
        workdir: where the results go.
    """

    model: str = "resnet20"
    dataset: str | None = None
    data_dir: Path | None = None
    batch_size: int = 128
    rounds: int = 15
    cifar_only: bool = False
    photos: Path | None = None
    workdir: Path = Path("runs/benchmark_augment")


def smoke() -> Config:
    """One small network, three repeats, little to compile."""
    return Config(
        model="mlp",
        batch_size=8,
        rounds=3,
        cifar_only=True,
        workdir=Path("runs/smoke/benchmark_augment"),
    )


def main(config: Config) -> dict[str, Any]:
    """Measure, draw, and return ``{"step_milliseconds", "augmentations", …}``."""
    if config.rounds < 1 or config.batch_size < 2:
        raise JaxnetsError("--rounds must be at least 1 and --batch-size at least 2")
    if config.photos is not None and not config.photos.is_dir():
        raise JaxnetsError(f"--photos {config.photos} is not a directory")
    write_settings(config)
    images, labels, classes = _batch(config)
    step, state, batch = _training_step(config, images, labels, classes)
    key = jax.random.key(0)
    calls = {"training step": partial(step, state, batch)}
    for name, augment in candidates(images, classes).items():
        if name in CIFAR or not config.cifar_only:
            calls[name] = partial(jax.jit(augment), key, batch["image"], batch["label"])
    timings = time_calls(calls, rounds=config.rounds)
    whole = timings.pop("training step").median
    summary = {
        "model": config.model,
        "dataset": config.dataset or "random images",
        "batch_size": config.batch_size,
        "step_milliseconds": 1000 * whole,
        "augmentations": {
            name: {"milliseconds": t.milliseconds, "share_of_step": t.median / whole}
            for name, t in timings.items()
        },
        "hardware": processor(),
        "jax": jax.__version__,
    }
    summary["largest_cifar_share"] = max(timings[name].median / whole for name in CIFAR)
    photos, summary["photos"] = load_photos(config.photos)
    rows = make_rows(photos, only=FEW_ROWS if config.cifar_only else ())
    save_sheet(rows, config.workdir / "augmentations.png")
    write_json(config.workdir / "summary.json", summary)
    print(_report(summary, config))
    return summary


def _batch(config: Config) -> tuple[np.ndarray, np.ndarray, int]:
    if config.dataset is None:
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (config.batch_size, 32, 32, 3), np.uint8)
        return images, random.integers(0, 10, config.batch_size).astype(np.int32), 10
    data = load_dataset(config.dataset, data_dir=config.data_dir)
    if data.image_shape[2] != 3:
        raise JaxnetsError(f"--dataset {config.dataset}: its images have no colors")
    count = config.batch_size
    return np.asarray(data.train.images[:count]), data.train.labels[:count], data.num_classes


def _training_step(config, images, labels, classes):
    network = create_model(config.model, num_classes=classes)
    task = classification(classes, preprocess=fit_channel_mean_std(images).apply)
    batch = {"image": jax.device_put(images), "label": jax.device_put(labels)}
    rule = create_optimizer("momentum", 0.01)
    state = create_state(network, rule, batch, jax.random.key(0), task=task)
    return jax.jit(partial(train_step, task=task)), state, batch


def _report(summary: dict[str, Any], config: Config) -> str:
    lines = [
        f"{config.model}, batch {config.batch_size}, {summary['hardware']}: "
        f"{summary['step_milliseconds']:.1f} ms a training step; of it"
    ]
    for name, entry in summary["augmentations"].items():
        lines.append(
            f"  {name:<32}{entry['milliseconds']:9.2f} ms {100 * entry['share_of_step']:7.2f} %"
        )
    lines.append(f"{config.workdir}: augmentations.png, summary.json")
    return "\n".join(lines)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
