"""How general are the first layers? Yosinski's AnB, BnB, AnB+ and BnB+.

Command:  python -m experiments.transferability
          python -m experiments.transferability --dataset digits
Time:     8 minutes of one CPU core (14 minutes on two cores shared with two other programs).
Result:   runs/transferability/: summary.json, transferability.png (accuracy on B against the number
          of layers that were copied, as figure 2 of the paper). On random halves of CIFAR-10 at
          16×16, AnB lost −0.3, 1.9, 5.7 and 14.3 points with n = 1 … 4 layers frozen, AnB+ gained
          1.5 ± 1.1 on average, and BnB lost nothing: this network of five layers shows no
          co-adaptation.

The classes are split into halves A and B, at random and, for CIFAR-10, into things made by man and
animals. Networks are trained on A and on B. Then, for n = 1 … L − 1, a network for B begins with
the first n layers of one of them and random others:

  BnB   the first n layers from the network for B, frozen: what is lost by splitting co-adapted
        layers ("selffer")
  AnB   the first n layers from the network for A, frozen: what is lost by being specific to A
  BnB+, AnB+  the same, all layers trained

That the first n layers are the donor's at the start, and at the end where they are frozen, running
statistics included, is checked bit by bit in every run.

Source: Yosinski, Clune, Bengio, Lipson, "How transferable are features in deep neural networks?",
2014.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from experiments.transfer_study import data as tasks
from experiments.transfer_study.network import ConvNet
from experiments.transfer_study.statistics import interval, percent, plain, verdict
from experiments.transfer_study.training import Predictor, Trainer
from jaxnets import command
from jaxnets.data import Split
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.errors import JaxnetsError
from jaxnets.train.run_directory import write_json
from jaxnets.transfer import copy_layers

Halves = Literal["random", "natural"]
KINDS = ("BnB", "AnB", "BnB+", "AnB+")


@dataclass(frozen=True)
class Config:
    """What to train.

    Attributes:
        dataset: "cifar10", "digits", or another TFDS set.
        splits: how the classes are split: "random", "natural" (made by man / animals; for other
            sets even / odd numbers).
        train_per_class, test_per_class: images of each class.
        side: images are brought to this many pixels a side (default: as they are).
        widths: channels of the convolutional layers; the classifier is one layer more.
        steps, batch_size, rate: of every run.
        keys: repetitions, each with its own random split, for the intervals.
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
        workdir: where the results go.
    """

    dataset: str = "cifar10"
    splits: tuple[Halves, ...] = ("random", "natural")
    train_per_class: int = 1000
    test_per_class: int = 500
    side: int | None = 16
    widths: tuple[int, ...] = (16, 32, 48, 64)
    steps: int = 400
    batch_size: int = 64
    rate: float = 0.2
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
        side=None,
        widths=(4, 6),
        steps=6,
        batch_size=20,
        keys=2,
        workdir=Path("runs/smoke/transferability"),
    )


def first_layers(n: int) -> tuple[str, ...]:
    """The names of the first n layers.

    >>> first_layers(2)
    ('layer1', 'layer2')
    """
    return tuple(f"layer{i}" for i in range(1, n + 1))


def equal_bits(a: Any, b: Any, layers: Sequence[str]) -> bool:
    """Whether two networks' parameters and statistics of some layers are the same bit for bit."""
    parts = [{c: {n: v[c][n] for n in layers} for c in v} for v in (a, b)]
    one, two = (
        [np.asarray(x).tobytes() for x in jax.tree.leaves(jax.device_get(part))] for part in parts
    )
    return one == two


class Study:
    """Compiled trainings for one number of classes in B, shared by all keys."""

    def __init__(self, config: Config, dataset, preprocess, classes: dict[str, int]):
        self.config = config
        self.layers = len(config.widths)

        def trainer(num_classes: int, frozen: Sequence[str]) -> Trainer:
            return Trainer(
                ConvNet(num_classes, widths=config.widths),
                dataset.image_shape,
                preprocess,
                steps=config.steps,
                batch_size=config.batch_size,
                rate=config.rate,
                frozen=frozen,
            )

        self.on_a = trainer(classes["A"], ())
        same = classes["A"] == classes["B"]
        self.on_b = {0: self.on_a if same else trainer(classes["B"], ())}
        self.on_b |= {n: trainer(classes["B"], first_layers(n)) for n in range(1, self.layers + 1)}
        self.predictor = Predictor(ConvNet(classes["B"], widths=config.widths), preprocess)

    def run(self, a: Split, b: Split, test: Split, seed: int, tick) -> dict[str, Any]:
        """All networks of one key: accuracies on B by kind and n, and the bit checks."""

        def train(trainer, start, data, seed):
            tick()
            return trainer.run(start, data, seed)[-1]

        base_a = train(self.on_a, self.on_a.initial(seed), a, seed)
        base_b = train(self.on_b[0], self.on_b[0].initial(seed + 1), b, seed + 1)
        out: dict[str, Any] = {"baseB": self.predictor.accuracy(base_b, test)}
        checks = []
        for kind in KINDS:
            out[kind] = []
            for n in range(1, self.layers + 1):
                layers = first_layers(n)
                trainer = self.on_b[0 if kind.endswith("+") else n]
                donor = base_b if kind.startswith("B") else base_a
                # The same random upper layers for all kinds: differences are due to the donor.
                start = copy_layers(trainer.initial(seed + 2), donor, layers)
                checks.append(equal_bits(start, donor, layers))
                end = train(trainer, start, b, seed + 2)
                if not kind.endswith("+"):
                    checks.append(equal_bits(end, donor, layers))
                out[kind].append(self.predictor.accuracy(end, test))
        # The paper's baseline: a network for B with other random numbers throughout.
        again = train(self.on_b[0], self.on_b[0].initial(seed + 2), b, seed + 2)
        out["baseB again"] = self.predictor.accuracy(again, test)
        out["bits"] = all(checks)
        return out


def main(config: Config) -> dict[str, Any]:
    """Train all networks, check their bits, draw the paper's figure."""
    from tqdm import tqdm

    if config.keys < 1 or config.steps < 1:
        raise JaxnetsError("--keys and --steps must be at least 1")
    if not config.rate > 0:
        raise JaxnetsError(f"--rate must be above 0, got {config.rate}")
    config.workdir.mkdir(parents=True, exist_ok=True)
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(config).items()}
    write_json(config.workdir / "config.json", settings)
    dataset = tasks.load(config.dataset, config.data_dir, side=config.side)
    preprocess = fit_channel_mean_std(dataset.train.images).apply
    studies: dict[tuple[int, int], Study] = {}
    summary: dict[str, Any] = {}
    runs = (4 * len(config.widths) + 3) * config.keys * len(config.splits)
    with tqdm(total=runs, disable=None, desc="networks") as bar:
        for split in config.splits:
            measured = []
            for key in range(config.keys):
                halves = (
                    tasks.random_halves(dataset, key)
                    if split == "random"
                    else tasks.natural_halves(dataset)
                )
                # Every second key the other way round: each half is B as often as A.
                if key % 2:
                    halves = halves[::-1]
                a, b = (
                    tasks.choose_classes(name, dataset, half)
                    for name, half in zip("AB", halves, strict=True)
                )
                sizes = (a.num_classes, b.num_classes)
                if sizes not in studies:
                    classes = {"A": a.num_classes, "B": b.num_classes}
                    studies[sizes] = Study(config, dataset, preprocess, classes)
                measured.append(
                    studies[sizes].run(
                        tasks.take(a.train, config.train_per_class, key),
                        tasks.take(b.train, config.train_per_class, key),
                        tasks.take(b.test, config.test_per_class, 0),
                        1000 * (key + 1),
                        bar.update,
                    )
                )
            summary[split] = _summarize(config, measured)
    write_json(config.workdir / "summary.json", plain(summary))
    _save_figure(config, summary, config.workdir / "transferability.png")
    print(_report(config, summary))
    return summary


def _summarize(config: Config, measured: list[dict[str, Any]]) -> dict[str, Any]:
    layers = range(len(config.widths))
    base = [(m["baseB"] + m["baseB again"]) / 2 for m in measured]
    # Accuracies of different halves differ by more than anything of interest: everything is
    # counted from the same key's network for B.
    off = {
        kind: [
            interval([m[kind][i] - b for m, b in zip(measured, base, strict=True)]) for i in layers
        ]
        for kind in KINDS
    }
    last = len(config.widths) - 1
    claims = {
        "AnB drops from the first layer to the last": interval(
            [m["AnB"][0] - m["AnB"][last] for m in measured]
        ),
        "at the last layer AnB is below BnB": interval(
            [m["BnB"][last] - m["AnB"][last] for m in measured]
        ),
        "AnB+ is above baseB (mean over n)": interval(
            [float(np.mean(m["AnB+"])) - b for m, b in zip(measured, base, strict=True)]
        ),
        "BnB+ is below baseB (mean over n)": interval(
            [b - float(np.mean(m["BnB+"])) for m, b in zip(measured, base, strict=True)]
        ),
        "BnB dips below baseB in the middle (least over n)": interval(
            [b - float(np.min(m["BnB"])) for m, b in zip(measured, base, strict=True)]
        ),
    }
    return {
        "baseB": interval(base),
        "accuracy_minus_baseB": off,
        "claims": {name: {**entry, "verdict": verdict(entry)} for name, entry in claims.items()},
        "bit_checks": all(m["bits"] for m in measured),
        "keys": len(measured),
    }


def _save_figure(config: Config, summary: dict[str, Any], target: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1,
        len(summary),
        figsize=(6.5 * len(summary), 5),
        layout="constrained",
        squeeze=False,
        sharey=True,
    )
    styles = {
        "BnB": ("#6baed6", "o--"),
        "BnB+": ("#08519c", "o-"),
        "AnB": ("#fc9272", "s--"),
        "AnB+": ("#a50f15", "s-"),
    }
    titles = {"random": "random halves", "natural": "made by man / animals"}
    if not config.dataset.startswith("cifar10"):
        titles["natural"] = "even / odd classes"
    for axis, (split, entry) in zip(axes[0], summary.items(), strict=True):
        n = np.arange(1, len(config.widths) + 1)
        axis.axhline(0, color="0.5", lw=1)
        for j, (kind, (color, style)) in enumerate(styles.items()):
            rows = entry["accuracy_minus_baseB"][kind]
            means = 100 * np.array([r["mean"] for r in rows])
            half = 100 * np.array([r["high"] - r["mean"] for r in rows])
            axis.errorbar(
                n + 0.05 * (j - 1.5),
                means,
                np.where(np.isfinite(half), half, 0),
                fmt=style,
                color=color,
                capsize=2,
                lw=1.8,
                elinewidth=0.8,
                label=kind,
            )
        axis.set_xticks(n)
        base = 100 * entry["baseB"]["mean"]
        axis.set(title=f"{titles[split]}; baseB = {base:.1f} %", xlabel="layers copied, n")
    axes[0, 0].set_ylabel("test accuracy on B minus that of baseB, points")
    axes[0, -1].legend(title="+: trained, else frozen", fontsize=9)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def _report(config: Config, summary: dict[str, Any]) -> str:
    lines = []
    for split, entry in summary.items():
        lines.append(
            f"{config.dataset}, {split} halves, {entry['keys']} keys: baseB "
            f"{percent(entry['baseB'])} %; points above baseB, n = 1 … {len(config.widths)}"
        )
        for kind, rows in entry["accuracy_minus_baseB"].items():
            lines.append(f"  {kind:<5}" + "".join(f"{percent(row):>14}" for row in rows))
        for name, claim in entry["claims"].items():
            lines.append(f"  {name}: {percent(claim)} points: {claim['verdict']}")
        lines.append(f"  bits of the copied layers as they must be: {entry['bit_checks']}")
    lines.append(f"{config.workdir}: transferability.png, summary.json")
    return "\n".join(lines)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
