"""What augmentation costs beside a training step of ResNet-20, and what every transform looks like.

Command:  python -m experiments.benchmark_augment
          python -m experiments.benchmark_augment --dataset cifar10 --photos DIRECTORY
          python -m experiments.benchmark_augment --cifar-only
Time:     about a minute on two CPU cores.
Result:   runs/benchmark_augment/: augmentations.png, every transform on photographs; summary.json,
          milliseconds of each transform, policy and mix for a batch of 128 images of 32×32, and
          their share of a training step of ResNet-20. What the CIFAR recipes use costs less than
          10 %.

A transform is timed alone, compiled for the whole batch, in turns with the training step, so that
a change of the machine's load meets both.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.augment_sheet import load_photos, make_rows, save_sheet
from jaxnets import augment as a
from jaxnets import command
from jaxnets.data import load_dataset
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model
from jaxnets.optim import create_optimizer
from jaxnets.tasks import classification
from jaxnets.train import create_state, train_step
from jaxnets.train.measure import hardware
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to measure.

    Attributes:
        model: whose training step is the measure.
        dataset: a TFDS dataset of color images; by default random images of 32×32.
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
        batch_size: images a step.
        repeats: of each measurement; the median counts.
        cifar_only: measure only what the recipes for CIFAR-10 use, and draw a few rows.
        photos: directory of JPEG photographs for the sheet (default: two of scikit-learn).
        workdir: where the results go.
    """

    model: str = "resnet20"
    dataset: str | None = None
    data_dir: Path | None = None
    batch_size: int = 128
    repeats: int = 15
    cifar_only: bool = False
    photos: Path | None = None
    workdir: Path = Path("runs/benchmark_augment")


def smoke() -> Config:
    """One small network, three repeats, little to compile."""
    return Config(
        model="mlp",
        batch_size=8,
        repeats=3,
        cifar_only=True,
        workdir=Path("runs/smoke/benchmark_augment"),
    )


TRANSFORMS: dict[str, a.Transform] = {
    "random_flip": a.random_flip,
    "random_crop": a.random_crop,
    "random_translate": partial(a.random_translate, limit=4),
    "cutout": partial(a.cutout, size=16),
    "random_color_noise": a.random_color_noise,
    "color_jitter without hue": a.color_jitter,
    "color_jitter with hue": partial(a.color_jitter, hue=0.1),
    "random_resized_crop, bilinear": partial(a.random_resized_crop, size=32, method="bilinear"),
    "random_resized_crop, 1 of 4": partial(a.random_resized_crop, size=32),
}
# The policies that the recipes for CIFAR-10 use.
CIFAR = tuple(f"policy crop_flip{more}" for more in ("", " + cutout 16", " + mixup", " + cutmix"))
FEW_ROWS = ("as stored", "cutout", "CutMix")


def candidates(images: np.ndarray, classes: int) -> dict[str, Callable]:
    """Name → (key, images, labels) → changed images (and labels)."""

    def of_images(transform):
        augment = a.per_example(transform)
        return lambda key, images, labels: augment(key, images)

    def of_batch(*prepares):
        mix = a.chain(*prepares)
        return lambda key, images, labels: mix(key, {"image": images, "label": labels})

    mixup = partial(a.mixup, alpha=1.0, num_classes=classes)
    cutmix = partial(a.cutmix, num_classes=classes)
    found = {name: of_images(transform) for name, transform in TRANSFORMS.items()}
    found["mixup"] = of_batch(mixup)
    found["cutmix"] = of_batch(cutmix)
    for name in a.list_policies():
        if name != "none":
            found[f"policy {name}"] = of_images(a.create_policy(name, images))
    with_cutout = a.create_policy("crop_flip", images, cutout_size=16)
    found["policy crop_flip + cutout 16"] = of_images(with_cutout)
    crop_flip = a.per_example(a.create_policy("crop_flip", images))
    found["policy crop_flip + mixup"] = of_batch(crop_flip, mixup)
    found["policy crop_flip + cutmix"] = of_batch(crop_flip, cutmix)
    return found


def main(config: Config) -> dict[str, Any]:
    """Measure, draw, and return ``{"step_milliseconds", "augmentations", …}``."""
    if config.repeats < 1 or config.batch_size < 2:
        raise JaxnetsError("--repeats must be at least 1 and --batch-size at least 2")
    if config.photos is not None and not config.photos.is_dir():
        raise JaxnetsError(f"--photos {config.photos} is not a directory")
    config.workdir.mkdir(parents=True, exist_ok=True)
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(config).items()}
    write_json(config.workdir / "config.json", settings)
    images, labels, classes = _batch(config)
    step, state = _training_step(config, images, classes)
    batch = {"image": jax.device_put(images), "label": jax.device_put(labels)}
    key = jax.random.key(0)
    compiled = {
        name: jax.jit(function)
        for name, function in candidates(images, classes).items()
        if name in CIFAR or not config.cifar_only
    }
    for function in compiled.values():
        jax.block_until_ready(function(key, batch["image"], batch["label"]))
    jax.block_until_ready(step(state, batch))
    seconds: dict[str, list[float]] = {name: [] for name in compiled}
    step_seconds = []
    for _ in range(config.repeats):
        step_seconds.append(_time(step, state, batch))
        for name, function in compiled.items():
            seconds[name].append(_time(function, key, batch["image"], batch["label"]))
    whole = statistics.median(step_seconds)
    summary = {
        "model": config.model,
        "dataset": config.dataset or "random images",
        "batch_size": config.batch_size,
        "step_milliseconds": 1000 * whole,
        "augmentations": {
            name: {"milliseconds": 1000 * median, "share_of_step": median / whole}
            for name, median in ((n, statistics.median(s)) for n, s in seconds.items())
        },
        "hardware": hardware(),
        "jax": jax.__version__,
    }
    summary["largest_cifar_share"] = max(
        summary["augmentations"][name]["share_of_step"] for name in CIFAR
    )
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


def _training_step(config, images, classes):
    network = create_model(config.model, num_classes=classes)
    rule = create_optimizer("momentum", 0.01)
    task = classification(classes, preprocess=fit_channel_mean_std(images).apply)
    example = {"image": images[:1], "label": np.zeros(1, int)}
    state = create_state(network, rule, example, jax.random.key(0), task=task)
    return jax.jit(partial(train_step, task=task)), state


def _time(function: Callable, *args: Any) -> float:
    clock = time.perf_counter()
    jax.block_until_ready(function(*args))
    return time.perf_counter() - clock


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
