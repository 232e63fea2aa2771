"""Ensembles of networks, of checkpoints, of snapshots; and averaged weights.

Command:  python -m experiments.ensembles.ensemble
          python -m experiments.ensembles.ensemble --dataset digits
          python -m experiments.ensembles.ensemble --runs runs/a runs/b --last 3
Time:     about 6 minutes of one CPU core (11 minutes on two cores shared with two other programs).
Result:   runs/ensemble/: summary.json, ensemble.png: accuracy and negative log-likelihood of each
          ensemble beside its members, and how often its members disagree. On 5,000 images of
          CIFAR-10 at 16×16 five networks gained 6.5 ± 0.8 points over their mean (55.9 %), for
          five times the cost. At the cost of one run snapshots gained 1.0 ± 1.2, checkpoints
          0.1 ± 0.9, SWA 0.3 ± 1.0; five networks of a fifth of the steps lost 5.0 ± 1.6.

With --runs nothing is trained: finished runs of train_classifier, and their newest checkpoints, are
measured as an ensemble on their test set. Otherwise one run is T steps; the rows of the table, from
one network to SWA, are those of `jaxnets.ensembles.equal_cost`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from jaxnets import command
from jaxnets.data import Split, stratified_subset
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.ensembles import describe_runs, equal_cost_report, measure_runs
from jaxnets.ensembles.equal_cost import EnsembleStudy
from jaxnets.errors import JaxnetsError
from jaxnets.study.small_convnet import SmallConvNet
from jaxnets.study.small_images import load_small
from jaxnets.study.summaries import json_values, write_settings
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to train.

    Attributes:
        dataset: "cifar10", "digits", or another TFDS set.
        train_examples: training images, equally many of each class; all where there are fewer.
        test_examples: test images, the first of the set (default: all).
        image_size: images are brought to this many pixels a side (default: as they are).
        members: k.
        steps: T, of one run.
        batch_size: of a step.
        learning_rate: highest learning rate.
        widths: channels of the network's layers.
        keys: repetitions of everything, for the intervals.
        runs: directories of finished runs, to be measured instead.
        last: with ``runs``: this many of the newest checkpoints of each.
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
        workdir: where the results go.
    """

    dataset: str = "cifar10"
    train_examples: int | None = 5000
    test_examples: int | None = 5000
    image_size: int | None = 16
    members: int = 5
    steps: int = 800
    batch_size: int = 64
    learning_rate: float = 0.2
    widths: tuple[int, ...] = (16, 32, 48, 64)
    keys: int = 3
    runs: tuple[Path, ...] = ()
    last: int = 1
    data_dir: Path | None = None
    workdir: Path = Path("runs/ensemble")


def smoke() -> Config:
    """Two members of a tiny network on a part of the digits."""
    return Config(
        dataset="digits",
        train_examples=200,
        test_examples=100,
        image_size=None,
        members=2,
        steps=12,
        batch_size=40,
        widths=(4, 8),
        keys=2,
        workdir=Path("runs/smoke/ensemble"),
    )


def build_study(config: Config) -> EnsembleStudy:
    """The data, the network and its compiled trainings."""
    dataset = load_small(config.dataset, config.data_dir, side=config.image_size, channels=3)
    train, keep = dataset.train, slice(0, config.test_examples)
    if config.train_examples is not None:
        train = stratified_subset(train, min(config.train_examples, len(train)))
    return EnsembleStudy(
        SmallConvNet(dataset.num_classes, widths=config.widths),
        fit_channel_mean_std(train.images).apply,
        train,
        Split(dataset.test.images[keep], dataset.test.labels[keep]),
        members=config.members,
        steps=config.steps,
        batch_size=config.batch_size,
        rate=config.learning_rate,
    )


def main(config: Config) -> dict[str, Any]:
    """Train, measure, draw; or measure finished runs."""
    if config.runs:
        return of_runs(config)
    least = 2 * config.members
    if config.members < 2:
        raise JaxnetsError(f"--members must be at least 2, got {config.members}")
    if config.steps < least:
        short = f"--steps {config.steps} is too short for {config.members} members"
        raise JaxnetsError(f"{short}; give at least {least}")
    if not config.learning_rate > 0:
        raise JaxnetsError(f"--learning-rate must be above 0, got {config.learning_rate}")
    workdir = write_settings(config)
    study = build_study(config)
    results, pairs = [], {}
    for key in tqdm(range(config.keys), disable=None, desc="keys"):
        found = study.one_key(key)
        results.append(equal_cost_report.measure_key(found, study.test.labels))
        pairs = pairs or equal_cost_report.disagreements(found)
    summary = equal_cost_report.summarize(*zip(*results, strict=True))
    summary["disagreement_of_the_first_key"] = {k: m.tolist() for k, m in pairs.items()}
    write_json(workdir / "summary.json", json_values(summary))
    equal_cost_report.save_picture(summary, pairs, config.dataset, workdir / "ensemble.png")
    print(equal_cost_report.as_text(summary, config.dataset))
    print(f"{workdir}: ensemble.png, summary.json")
    return summary


def of_runs(config: Config) -> dict[str, Any]:
    """The ensemble of finished runs beside its members, on the test set of the first."""
    if config.last < 1:
        raise JaxnetsError(f"--last must be at least 1, got {config.last}")
    found = measure_runs(config.runs, last=config.last, data_dir=config.data_dir)
    config.workdir.mkdir(parents=True, exist_ok=True)
    write_json(config.workdir / "summary.json", found)
    print(describe_runs(found))
    return found


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
