"""All analyses of ZFNet's paper on a network that is trained here.

Command:  python -m experiments.interpret.zfnet_analyses
          python -m experiments.interpret.zfnet_analyses --dataset digits --train-examples 1200
Time:     about five minutes on two CPU cores, most of it training.
Result:   runs/zfnet_analyses/: report.html with filters, strongest activations and their
          projections, feature evolution, sensitivity to shifts, scaling and rotation, occlusion,
          correspondence, linear classifiers on every layer and transfer to unseen classes;
          summary.json with all numbers.

Three classes are kept from training, for transfer.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnets import command
from jaxnets.data import Split, load_dataset, stratified_subset
from jaxnets.errors import JaxnetsError
from jaxnets.interpret import zfnet_report as report
from jaxnets.interpret.page import write_page
from jaxnets.interpret.small_zfnet import SmallZFNet, train_snapshots
from jaxnets.study.data import available
from jaxnets.study.summaries import json_values, write_settings
from jaxnets.train.run_directory import write_json
from jaxnets.transfer.class_subsets import ClassSubset, choose_classes


@dataclass(frozen=True)
class Config:
    """What to train and to look at.

    Attributes:
        dataset: its last classes are kept for transfer; digits where it is not prepared.
        unseen: how many of them.
        train_examples, test_examples: images.
        epochs: at which the network is kept; the last one ends the training.
        widths: channels of the five convolutions.
        coarse: kernel and stride of another first layer, to compare with.
        seed: of the start and the order of images.
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
        workdir: where the results go.
    """

    dataset: str = "cifar10"
    unseen: int = 3
    train_examples: int = 7000
    test_examples: int = 1400
    epochs: tuple[int, ...] = (1, 2, 5, 10, 15)
    widths: tuple[int, ...] = (32, 48, 64, 64, 64)
    coarse: tuple[int, int] = (7, 4)
    seed: int = 0
    data_dir: Path | None = None
    workdir: Path = Path("runs/zfnet_analyses")


def smoke() -> Config:
    """A tiny network on the digits."""
    counts = {"train_examples": 210, "test_examples": 70}
    small = {"epochs": (1, 2), "widths": (4, 4, 6, 6, 6), "coarse": (3, 2)}
    return Config("digits", **counts, **small, workdir=Path("runs/smoke/zfnet_analyses"))


def parts_of(subset: ClassSubset, config: Config, statistics=None):
    """(train, test) as the network takes them, test images for the eye, (mean, std)."""
    train_part = stratified_subset(subset.train, min(config.train_examples, len(subset.train)))
    test_part = stratified_subset(subset.test, min(config.test_examples, len(subset.test)))
    images = np.asarray(train_part.images, np.float32)
    mean, std = statistics or (images.mean((0, 1, 2)), images.std((0, 1, 2)))

    def ready(split):
        return (np.asarray(split.images, np.float32) - mean) / std, np.asarray(split.labels)

    stored = np.asarray(test_part.images)
    pictures = stored * np.uint8(255 // stored.max())  # digits have 17 gray levels
    return ready(train_part), ready(test_part), pictures, (mean, std)


def main(config: Config) -> dict[str, Any]:
    """Train, analyze, write the page."""
    if not 1 <= config.unseen <= 8:
        raise JaxnetsError(f"--unseen must lie in 1 … 8, got {config.unseen}")
    workdir, key = write_settings(config), jax.random.key(config.seed)
    data = load_dataset(available(config.dataset, config.data_dir), data_dir=config.data_dir)
    seen = list(range(data.num_classes - config.unseen))
    names = [data.class_names[c] for c in seen]
    subset = choose_classes("seen", data, seen)
    train, test, pictures, statistics = parts_of(subset, config)

    def trained(first):
        model = SmallZFNet(len(seen), widths=config.widths, first=first)
        return model, train_snapshots(key, model, Split(*train), config.epochs)

    layers = tuple(f"conv{i}" for i in range(1, 6))
    material, coarse = (
        report.Material(*trained(first), train, test, pictures, layers, tuple(names))
        for first in ((5, 1), config.coarse)
    )
    name = "{0}×{0}, stride {1}".format(*config.coarse)
    others = {name: (coarse.variables, config.coarse[1], coarse.accuracy())}
    summary = {"accuracy": material.accuracy(), "classes": names}
    results = {
        "filters": lambda: report.filters(material, others),
        "strongest": lambda: report.strongest(material),
        "evolution": lambda: report.evolution(material),
        "sensitivity": lambda: report.sensitivity(material),
        "occlusion": lambda: report.occlusion(material),
        "correspondence": lambda: report.correspondences(material),
        "probes": lambda: report.probes(material),
        "transfer": lambda: unseen_classes(config, data, material, statistics),
    }
    sections = []
    for name, analyze in results.items():
        section, summary[name] = analyze()
        sections.append(section)
    title = f"Inside a network for {data.name}, {100 * summary['accuracy']:.1f} % right"
    write_page(workdir / "report.html", title, sections)
    write_json(workdir / "summary.json", json_values(summary))
    print(f"{workdir}: report.html, summary.json")
    return summary


def unseen_classes(config, data, material, statistics):
    """Transfer to the classes that were kept."""
    unseen = list(range(len(material.class_names), data.num_classes))
    subset = choose_classes("unseen", data, unseen)
    train, test, _, _ = parts_of(subset, config, statistics)
    key, last = jax.random.key(config.seed + 1), "conv5"
    fresh = jax.jit(material.model.init)({"params": key, "dropout": key}, train[0][:1])
    sources = {
        "pretrained features": (material.model, material.variables, last),
        "random features": (material.model, fresh, last),
    }

    def scratch(key, images, labels):
        model = SmallZFNet(len(unseen), widths=config.widths)
        epochs, split = max(1, 200 * config.epochs[-1] // len(labels)), Split(images, labels)
        final = train_snapshots(key, model, split, [epochs], batch_size=min(32, len(labels)))
        run = jax.jit(model.apply)
        return lambda x: np.asarray(run(final[epochs], x)).argmax(1)

    return report.transfer(key, sources, train, test, scratch)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
