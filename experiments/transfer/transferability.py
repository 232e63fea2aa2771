"""How general are the first layers? Yosinski's AnB, BnB, AnB+ and BnB+.

Command:  python -m experiments.transfer.transferability
          python -m experiments.transfer.transferability --dataset digits
Time:     8 minutes of one CPU core (14 minutes on two cores shared with two other programs).
Result:   runs/transferability/: summary.json, transferability.png (accuracy on B against the number
          of layers that were copied, as figure 2 of the paper). On random halves of CIFAR-10 at
          16×16, AnB lost −0.3, 1.9, 5.7 and 14.3 points with n = 1 … 4 layers frozen, AnB+ gained
          1.5 ± 1.1 on average, and BnB lost nothing: this network of five layers shows no
          co-adaptation.

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
from pathlib import Path
from typing import Any

from tqdm import tqdm

from jaxnets import command
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.errors import JaxnetsError
from jaxnets.study.small_images import load_small
from jaxnets.study.summaries import json_values, write_settings
from jaxnets.train.run_directory import write_json
from jaxnets.transfer import class_subsets, transferability_report
from jaxnets.transfer.transferability import TransferabilityStudy


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


def main(config: Config) -> dict[str, Any]:
    """Train all networks, check their bits, draw the paper's figure."""
    if config.keys < 1 or config.steps < 1:
        raise JaxnetsError("--keys and --steps must be at least 1")
    if not config.learning_rate > 0:
        raise JaxnetsError(f"--learning-rate must be above 0, got {config.learning_rate}")
    workdir = write_settings(config)
    dataset = load_small(config.dataset, config.data_dir, side=config.image_size)
    preprocess = fit_channel_mean_std(dataset.train.images).apply
    training = {
        "steps": config.steps,
        "batch_size": config.batch_size,
        "rate": config.learning_rate,
    }
    studies: dict[tuple[int, int], TransferabilityStudy] = {}
    summary: dict[str, Any] = {}
    runs = (4 * len(config.widths) + 3) * config.keys * len(config.splits)
    with tqdm(total=runs, disable=None, desc="networks") as bar:
        for split in config.splits:
            measured = []
            for key in range(config.keys):
                a, b = class_subsets.split_classes(dataset, split, key)
                sizes = (a.num_classes, b.num_classes)
                if sizes not in studies:
                    studies[sizes] = TransferabilityStudy(
                        config.widths,
                        dataset.image_shape,
                        preprocess,
                        {"A": a.num_classes, "B": b.num_classes},
                        **training,
                    )
                train = config.train_per_class
                found = studies[sizes].one_key(
                    class_subsets.take_per_class(a.train, train, key),
                    class_subsets.take_per_class(b.train, train, key),
                    class_subsets.take_per_class(b.test, config.test_per_class, 0),
                    1000 * (key + 1),
                    bar.update,
                )
                measured.append(found)
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
