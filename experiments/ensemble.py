"""Ensembles of networks, of checkpoints, of snapshots; and averaged weights.

Command:  python -m experiments.ensemble
          python -m experiments.ensemble --dataset digits
          python -m experiments.ensemble --runs runs/a runs/b --last 3
Time:     about 6 minutes of one CPU core (11 minutes on two cores shared with two other programs).
Result:   runs/ensemble/: summary.json, ensemble.png: accuracy and negative log-likelihood of each
          ensemble beside its members, and how often its members disagree. On 5,000 images of
          CIFAR-10 at 16×16 five networks gained 6.5 ± 0.8 points over their mean (55.9 %), for
          five times the cost. At the cost of one run snapshots gained 1.0 ± 1.2, checkpoints
          0.1 ± 0.9, SWA 0.3 ± 1.0; five networks of a fifth of the steps lost 5.0 ± 1.6.

With --runs nothing is trained: finished runs of train_classifier, and their newest checkpoints, are
measured as an ensemble on their test set.

One run is T steps. The rows of the table and what they cost:

  one network            1 run, half a cosine
  k networks             k runs with other keys
  k short networks       k runs of T/k steps: one run's cost in all
  checkpoints            the last k checkpoints of one run
  snapshots              k snapshots of one run with the cyclic rate (Huang et al. 2017)
  SWA                    the mean of the weights of the last k checkpoints of one run with a quarter
                         of the rate, constant, in its second half (Izmailov 2018), statistics of
                         batch normalization counted anew; beside it the same run's last network
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.transfer_study import data as tasks
from experiments.transfer_study.network import ConvNet
from experiments.transfer_study.statistics import interval, percent, plain, verdict
from experiments.transfer_study.training import Predictor, Trainer
from jaxnets import command
from jaxnets.data import Split, eval_batches, load_dataset, stratified_subset
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.ensembles import (
    average_checkpoints,
    load_ensemble,
    measure_ensemble,
    pairwise_disagreement,
)
from jaxnets.errors import JaxnetsError
from jaxnets.optim.schedules import snapshot_steps
from jaxnets.tasks import load_classifier
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to train.

    Attributes:
        dataset: "cifar10", "digits", or another TFDS set.
        train_examples: training images, equally many of each class.
        test_examples: test images, the first of the set (default: all).
        side: images are brought to this many pixels a side (default: as they are).
        members: k.
        steps: T, of one run.
        batch_size: of a step.
        rate: highest learning rate.
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
    side: int | None = 16
    members: int = 5
    steps: int = 800
    batch_size: int = 64
    rate: float = 0.2
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
        side=None,
        members=2,
        steps=12,
        batch_size=40,
        widths=(4, 8),
        keys=2,
        workdir=Path("runs/smoke/ensemble"),
    )


KINDS = {
    "one": "one network",
    "networks": "k networks (k × the cost)",
    "short": "k short networks",
    "checkpoints": "checkpoints of one run",
    "snapshots": "snapshots, cyclic rate",
    "swa": "SWA",
    "swa_last": "last network of the SWA run",
}


class Study:
    """Compiled trainings and the data, for all keys."""

    def __init__(self, config: Config):
        dataset = tasks.load(config.dataset, config.data_dir, side=config.side, channels=3)
        train = dataset.train
        if config.train_examples is not None:
            train = stratified_subset(train, config.train_examples)
        self.train = train
        keep = slice(0, config.test_examples)
        self.test = Split(dataset.test.images[keep], dataset.test.labels[keep])
        self.preprocess = fit_channel_mean_std(self.train.images).apply
        self.network = ConvNet(dataset.num_classes, widths=config.widths)
        self.predictor = Predictor(self.network, self.preprocess)
        self.config = config

        def trainer(steps: int, schedule: str = "cosine", **options: Any) -> Trainer:
            return Trainer(
                self.network,
                dataset.image_shape,
                self.preprocess,
                steps=steps,
                batch_size=config.batch_size,
                rate=config.rate,
                schedule=schedule,
                **options,
            )

        steps, k = config.steps, config.members
        self.whole, self.short = trainer(steps), trainer(max(steps // k, 1))
        self.cyclic = trainer(steps, "snapshot", cycles=k)
        self.constant = trainer(steps, "step", step_size=max(steps // 2, 1), gamma=0.25)

    def probabilities(self, members: Sequence[Any]) -> np.ndarray:
        """(k, N, K) of each member on the test images."""
        return np.stack([self.predictor.probabilities(v, self.test) for v in members])

    def one_key(self, key: int) -> dict[str, np.ndarray]:
        """Every kind of ensemble once: kind → members' probabilities."""
        config, k, steps = self.config, self.config.members, self.config.steps
        seeds = [100 * key + i for i in range(k)]
        spacing = max(steps // (4 * k), 1)
        last = [steps - spacing * i for i in reversed(range(k))]
        independent, checkpoints = [], []
        for seed in seeds:
            kept = self.whole.run(
                self.whole.initial(seed), self.train, seed, last if seed == seeds[0] else ()
            )
            checkpoints = checkpoints or kept
            independent.append(kept[-1])
        short = [self.short.run(self.short.initial(s), self.train, s)[-1] for s in seeds]
        snapshots = self.cyclic.run(
            self.cyclic.initial(seeds[0]), self.train, seeds[0], snapshot_steps(steps, k)
        )
        swa_run = self.constant.run(self.constant.initial(seeds[0]), self.train, seeds[0], last)
        size = config.batch_size
        batches = [
            self.preprocess(self.train.images[i : i + size])
            for i in range(0, len(self.train.images) - size + 1, size)
        ][:40]
        averaged = average_checkpoints(self.network.apply, swa_run, batches)
        return {
            "one": self.probabilities(independent[:1]),
            "networks": self.probabilities(independent),
            "short": self.probabilities(short),
            "checkpoints": self.probabilities(checkpoints),
            "snapshots": self.probabilities(snapshots),
            "swa": self.probabilities([averaged]),
            "swa_last": self.probabilities(swa_run[-1:]),
        }


def main(config: Config) -> dict[str, Any]:
    """Train, measure, draw; or measure finished runs."""
    if config.runs:
        return of_runs(config)
    if config.members < 2:
        raise JaxnetsError(f"--members must be at least 2, got {config.members}")
    if config.steps < 2 * config.members:
        raise JaxnetsError(
            f"--steps {config.steps} is too short for {config.members} members; give at least "
            f"{2 * config.members}"
        )
    if not config.rate > 0:
        raise JaxnetsError(f"--rate must be above 0, got {config.rate}")
    from tqdm import tqdm

    config.workdir.mkdir(parents=True, exist_ok=True)
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(config).items()}
    write_json(config.workdir / "config.json", settings)
    study = Study(config)
    measured: list[dict[str, dict[str, Any]]] = []
    growth: list[list[float]] = []
    pairs: dict[str, np.ndarray] = {}
    for key in tqdm(range(config.keys), disable=None, desc="keys"):
        found = study.one_key(key)
        labels = study.test.labels
        measured.append({kind: measure_ensemble(p, labels) for kind, p in found.items()})
        networks = found["networks"]
        growth.append(
            [
                measure_ensemble(networks[:i], labels)["accuracy"]
                for i in range(1, config.members + 1)
            ]
        )
        if not pairs:
            pairs = {
                kind: np.asarray(pairwise_disagreement(found[kind]))
                for kind in ("networks", "short", "checkpoints", "snapshots")
            }
    summary = _summarize(config, measured, growth)
    summary["disagreement_of_the_first_key"] = {k: m.tolist() for k, m in pairs.items()}
    write_json(config.workdir / "summary.json", plain(summary))
    _save_figure(config, summary, pairs, config.workdir / "ensemble.png")
    print(_report(config, summary))
    return summary


def of_runs(config: Config) -> dict[str, Any]:
    """The ensemble of finished runs beside its members, on the test set of the first."""
    if config.last < 1:
        raise JaxnetsError(f"--last must be at least 1, got {config.last}")
    ensemble, names = load_ensemble(config.runs, last=config.last)
    classifier, _ = load_classifier(config.runs[0])
    test = load_dataset(classifier.info.dataset, data_dir=config.data_dir).test
    predict = jax.jit(lambda x: jax.nn.softmax(ensemble.member_logits(x)))
    parts = [
        np.asarray(predict(batch["image"]))[:, batch["example_mask"] > 0]
        for batch in eval_batches(test, min(256, len(test)))
    ]
    probabilities = np.concatenate(parts, axis=1)
    found = measure_ensemble(probabilities, test.labels)
    found["runs"] = dict(
        zip(names, (probabilities.argmax(-1) == test.labels).mean(-1).tolist(), strict=True)
    )
    config.workdir.mkdir(parents=True, exist_ok=True)
    write_json(config.workdir / "summary.json", found)
    for name, accuracy in found["runs"].items():
        print(f"  {name}: accuracy {100 * accuracy:.2f} %")
    print(
        f"together: accuracy {100 * found['accuracy']:.2f} %, loss {found['loss']:.4f} (mean of "
        f"the members {found['mean_loss']:.4f}); two of them disagree on "
        f"{100 * found['disagreement']:.2f} % of {len(test):,} images"
    )
    return found


def _summarize(config, measured, growth) -> dict[str, Any]:
    def over_keys(kind: str, name: str) -> dict[str, float]:
        return interval([m[kind][name] for m in measured])

    def gain(kind: str, name: str, other: str, other_name: str) -> dict[str, float]:
        return interval([m[kind][name] - m[other][other_name] for m in measured])

    table = {
        kind: {
            name: over_keys(kind, name)
            for name in ("accuracy", "loss", "mean_accuracy", "best_accuracy", "disagreement")
        }
        for kind in KINDS
    }
    gains = {
        "k networks over their mean": gain("networks", "accuracy", "networks", "mean_accuracy"),
        "k short networks over one network": gain("short", "accuracy", "one", "accuracy"),
        "checkpoints over the last one": gain("checkpoints", "accuracy", "one", "accuracy"),
        "snapshots over the best snapshot": gain(
            "snapshots", "accuracy", "snapshots", "best_accuracy"
        ),
        "snapshots over one network": gain("snapshots", "accuracy", "one", "accuracy"),
        "SWA over the same run's last network": gain("swa", "accuracy", "swa_last", "accuracy"),
        "SWA over one network": gain("swa", "accuracy", "one", "accuracy"),
    }
    jensen = all(m[kind]["loss"] <= m[kind]["mean_loss"] + 1e-6 for m in measured for kind in KINDS)
    return {
        "table": table,
        "gains": {name: {**entry, "above_0": verdict(entry)} for name, entry in gains.items()},
        "accuracy_by_members": [interval(column) for column in zip(*growth, strict=True)],
        "loss_is_at_most_the_members_mean": jensen,
        "members": config.members,
        "keys": config.keys,
    }


def _save_figure(config, summary, pairs, target: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(17, 5), layout="constrained")
    left, middle, right = axes
    kinds = list(KINDS)
    places = np.arange(len(kinds))
    for offset, name, label, color in (
        (-0.2, "mean_accuracy", "mean of the members", "#9ecae1"),
        (0.2, "accuracy", "ensemble", "#08519c"),
    ):
        entries = [summary["table"][kind][name] for kind in kinds]
        means = 100 * np.array([e["mean"] for e in entries])
        spread = 100 * np.array([e["high"] - e["mean"] for e in entries])
        bars = np.where(np.isfinite(spread), spread, 0)
        left.barh(places + offset, means, 0.38, xerr=bars, label=label, color=color)
    lows = [summary["table"][kind]["mean_accuracy"]["mean"] for kind in kinds]
    highs = [summary["table"][kind]["accuracy"]["mean"] for kind in kinds]
    left.set_xlim(100 * min(lows) - 3, 100 * max(highs) + 3)
    left.set_yticks(places, [KINDS[kind].replace(" (", "\n(") for kind in kinds])
    left.invert_yaxis()
    left.set(title=f"{config.dataset}, k = {config.members}", xlabel="test accuracy, %")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, fontsize=9)
    growth = summary["accuracy_by_members"]
    numbers = np.arange(1, len(growth) + 1)
    means = 100 * np.array([e["mean"] for e in growth])
    spread = 100 * np.array([e["high"] - e["mean"] for e in growth])
    middle.errorbar(numbers, means, np.where(np.isfinite(spread), spread, 0), marker="o", capsize=3)
    middle.set_xticks(numbers)
    middle.set(title="independent networks", xlabel="members", ylabel="test accuracy, %")
    names = list(pairs)
    size = config.members
    grid = np.full((2 * size + 1, 2 * size + 1), np.nan)
    for i, name in enumerate(names):
        top, side = (i // 2) * (size + 1), (i % 2) * (size + 1)
        grid[top : top + size, side : side + size] = 100 * pairs[name][:size, :size]
        right.text(side + (size - 1) / 2, top - 0.7, name, ha="center", va="bottom", fontsize=9)
    picture = right.imshow(grid, cmap="viridis")
    right.set_ylim(2 * size + 0.5, -1.6)
    right.set_xticks([])
    right.set_yticks([])
    right.set_title("pairs of members that disagree, % of the test images\n(first key)")
    right.set_frame_on(False)
    figure.colorbar(picture, ax=right, shrink=0.8)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def _report(config, summary) -> str:
    lines = [
        f"{config.dataset}, k = {config.members}, {config.keys} keys; mean ± half of the 95 % "
        "interval, %",
        f"  {'':<30}{'ensemble':>14}{'members':>14}{'best member':>14}{'disagree':>14}{'loss':>9}",
    ]
    for kind, label in KINDS.items():
        entry = summary["table"][kind]
        lines.append(
            f"  {label:<30}{percent(entry['accuracy']):>14}{percent(entry['mean_accuracy']):>14}"
            f"{percent(entry['best_accuracy']):>14}{percent(entry['disagreement']):>14}"
            f"{entry['loss']['mean']:>9.3f}"
        )
    for name, entry in summary["gains"].items():
        lines.append(f"  {name}: {percent(entry)} points; above 0: {entry['above_0']}")
    lines.append(f"{config.workdir}: ensemble.png, summary.json")
    return "\n".join(lines)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
