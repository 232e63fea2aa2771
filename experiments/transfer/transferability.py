"""How general are the first layers? Yosinski's AnB, BnB, AnB+ and BnB+.

Command:  python -m experiments.transfer.transferability
          python -m experiments.transfer.transferability --dataset digits
          python -m experiments.transfer.transferability --image-size 32 \
              --widths 16 16 32 32 48 48 64 --steps 300
Time:     8 minutes of one CPU core; the last one 23 of one. The same command
          goes on where it stopped.
Result:   runs/transferability/: summary.json, transferability.png (accuracy on B against the number
          of layers that were copied, as figure 2 of the paper). docs/results.md has the figures.

The classes are split into halves A and B, at random and, for CIFAR-10, into human-made things
and animals. Networks are trained on A and on B. Then, for n = 1 … L − 1, a network for B begins
with the first n layers of one of them and random others:

  BnB   the first n layers from the network for B, frozen: what is lost by splitting co-adapted
        layers ("selffer")
  AnB   the first n layers from the network for A, frozen: what is lost by being specific to A
  BnB+, AnB+  the same, all layers trained

That the first n layers are the copied ones at the start, and at the end where they are frozen,
running statistics included, is checked bit by bit in every run.

Source: Yosinski, Clune, Bengio, Lipson, "How transferable are features in deep neural networks?",
2014.
"""

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from jaxnets import command
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.errors import JaxnetsError
from jaxnets.study.small_images import load_small
from jaxnets.study.summaries import json_values, measured_once, write_settings
from jaxnets.train.run_directory import write_json
from jaxnets.transfer import class_subsets, transferability_report
from jaxnets.transfer.transferability import TransferabilityStudy

# Settings that do not decide what a key measures.
NOT_LEARNED = ("splits", "keys", "data_dir", "workdir")


@dataclass(frozen=True)
class Config:
    """What to train.

    Attributes:
        dataset: "cifar10", "digits", or another TFDS set.
        splits: how the classes are split: "random", "natural" (human-made / animals; for other sets
            even / odd numbers).
        train_per_class, test_per_class: images of each class.
        image_size: images are brought to this many pixels a side (default: as they are).
        widths: channels of the convolutional layers; the classifier is one layer more.
        steps, batch_size, rate: of every run.
        keys: repetitions, each with its own random split, for the intervals.
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
        workdir: where the results go.
    """

    dataset: str = "cifar10"
    splits: tuple[class_subsets.Halves, ...] = ("random", "natural")
    train_per_class: int = 1000
    test_per_class: int = 500
    image_size: int | None = 16
    widths: tuple[int, ...] = (16, 32, 48, 64)
    steps: int = 400
    batch_size: int = 64
    learning_rate: float = 0.2
    keys: int = 3
    data_dir: Path | None = None
    workdir: Path = Path("runs/transferability")


def smoke() -> Config:
    """A tiny network on a part of the digits."""
    return Config(
        dataset="digits",
        splits=("random",),
        train_per_class=20,
        test_per_class=10,
        image_size=None,
        widths=(4, 6),
        steps=6,
        batch_size=20,
        keys=2,
        workdir=Path("runs/smoke/transferability"),
    )


def one_key(config, dataset, study_of, split: class_subsets.Halves, key: int) -> dict[str, Any]:
    """All networks of one split and key, by the study of halves of these sizes."""
    take = class_subsets.take_per_class
    a, b = class_subsets.split_classes(dataset, split, key)
    return study_of(a.num_classes, b.num_classes).one_key(
        take(a.train, config.train_per_class, key),
        take(b.train, config.train_per_class, key),
        take(b.test, config.test_per_class, 0),
        1000 * (key + 1),
    )


def main(config: Config) -> dict[str, Any]:
    """Train all networks, check their bits, draw the paper's figure."""
    if config.keys < 1 or config.steps < 1:
        raise JaxnetsError("--keys and --steps must be at least 1")
    if not config.learning_rate > 0:
        raise JaxnetsError(f"--learning-rate must be above 0, got {config.learning_rate}")
    workdir = write_settings(config)
    dataset = load_small(config.dataset, config.data_dir, side=config.image_size)
    preprocess = fit_channel_mean_std(dataset.train.images).apply
    training = {"steps": config.steps, "batch_size": config.batch_size}

    @cache
    def study_of(a: int, b: int) -> TransferabilityStudy:
        places = (config.widths, dataset.image_shape, preprocess, {"A": a, "B": b})
        return TransferabilityStudy(*places, **training, rate=config.learning_rate)

    summary: dict[str, Any] = {}
    with tqdm(total=config.keys * len(config.splits), disable=None, desc="keys") as bar:
        for split in config.splits:
            measured = []
            for key in range(config.keys):
                measure = partial(one_key, config, dataset, study_of, split, key)
                path = workdir / "keys" / f"{split}_{key}.json"
                measured.append(measured_once(path, config, measure, without=NOT_LEARNED))
                bar.update()
            summary[split] = transferability_report.summarize(measured)
    write_json(workdir / "summary.json", json_values(summary))
    natural = (
        "human-made / animals" if config.dataset.startswith("cifar10") else "even / odd classes"
    )
    titles = {"random": "random halves", "natural": natural}
    transferability_report.save_picture(summary, titles, workdir / "transferability.png")
    print(transferability_report.as_text(summary, config.dataset))
    print(f"{workdir}: transferability.png, summary.json")
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
