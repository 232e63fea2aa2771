"""Overfitting a few images, searching at random and early, on one hidden layer."""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
from scipy import stats

from jaxnets import optim
from jaxnets.nn import Dense
from jaxnets.ops import relu
from jaxnets.study.claims import Outcome, Settings, TrainingSettings
from jaxnets.study.effects import above, at_most, effect, points
from jaxnets.study.figures import COLORS, band, dots, new_figure
from jaxnets.study.sweep import make_keys
from jaxnets.study.training import train_many


class Net(nn.Module):
    """One hidden layer."""

    width: int = 32

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        x = relu(Dense(self.width, name="hidden")(x.reshape(x.shape[0], -1)))
        return Dense(10, name="classifier")(x)


def rule(value: dict[str, Any]) -> optax.GradientTransformation:
    """SGD with weight decay."""
    return optim.create_optimizer("sgd", value["rate"], weight_decay=value["decay"])


@dataclass(frozen=True, kw_only=True)
class Search(TrainingSettings):
    """The table of accuracies, and searches over it.

    Attributes:
        rates: points of the table on its axis of learning rates, logarithmic.
        decays: points of the table on its axis of weight decays, logarithmic.
        steps: updates of each run.
        side: the grid has side × side points, random search as many.
        repeats: searches a key, each with its own place of the ranges.
    """

    rates: int = 81
    decays: int = 5
    steps: int = 60
    evaluations: int = 1
    side: int = 4
    repeats: int = 400


# The table covers more than a search's ranges, which are shifted about in it.
TABLE = (-6.0, 2.0)
RANGE = 6.0


def random_against_grid(settings: Search) -> Outcome:
    """Does random search beat a grid when one hyper-parameter matters little?"""
    keys = make_keys(settings.keys)
    logs = np.linspace(*TABLE, settings.rates)
    decays = np.geomspace(1e-8, 1e-5, settings.decays)
    pairs = np.array([(10.0**rate, decay) for rate in logs for decay in decays], np.float32)
    values = {"rate": pairs[:, 0], "decay": pairs[:, 1]}
    runs = settings.runs(Net(), rule, values)
    # (keys, rates, decays)
    table = np.moveaxis(runs.accuracy.reshape(settings.rates, settings.decays, -1), -1, 0)
    best = np.array([_search(one, settings, key) for key, one in zip(keys, table, strict=True)])
    count = settings.side**2
    figure, (left, right) = new_figure(2)
    band(left, 10.0**logs, table.mean(2), "over the decays", COLORS[0])
    left.set(xscale="log", xlabel="learning rate", ylabel="test accuracy, %", ylim=(0, 100))
    left.set_title("the one that matters")
    dots(right, ["random", "grid"], [best[:, 0], best[:, 1]])
    right.set(xlabel=f"best accuracy of {count} runs, %")
    spread = np.ptp(table.mean(1), axis=-1)
    return Outcome(
        effects=[
            points(f"best of {count} runs, random − grid", best[:, 0] - best[:, 1], above(0)),
            points("what the decay changes, mean over rates", spread),
        ],
        figure=figure,
        remarks=[
            f"{count} random runs see {count} learning rates, the grid {settings.side}: their best "
            f"accuracies are {best[:, 0].mean():.2f} % and {best[:, 1].mean():.2f} % on average."
        ],
    )


def _search(table: np.ndarray, settings: Search, key: int) -> np.ndarray:
    """Mean best accuracy of random and of grid search over one key's table."""
    rng = np.random.default_rng(int(key))
    rates, decays = table.shape
    width = RANGE / (TABLE[1] - TABLE[0])
    found = np.empty((settings.repeats, 2))
    middles = (np.arange(settings.side) + 0.5) / settings.side
    for repeat in range(settings.repeats):
        start = rng.uniform(0, 1 - width)
        places = rng.uniform(size=(2, settings.side**2))
        grid = np.array([(x, y) for x in middles for y in middles]).T
        for column, (x, y) in enumerate((places, grid)):
            row = np.rint((start + width * x) * (rates - 1)).astype(int)
            found[repeat, column] = table[row, np.rint(y * (decays - 1)).astype(int)].max()
    return found.mean(0)


@dataclass(frozen=True, kw_only=True)
class Ranking(Settings):
    """Random settings, each trained long and looked at early."""

    candidates: int = 32
    epochs: int = 50
    batch_size: int = 64
    width: int = 64
    short: tuple[int, ...] = (1, 5)


def early_ranking(settings: Ranking) -> Outcome:
    """Do one to five epochs tell which hyper-parameters are best after fifty?"""
    data, keys = settings.data(), make_keys(settings.keys)
    rng = np.random.default_rng(0)
    values = {
        "rate": (10 ** rng.uniform(-4, 0.5, settings.candidates)).astype(np.float32),
        "decay": (10 ** rng.uniform(-5, -1, settings.candidates)).astype(np.float32),
    }
    per_epoch = len(data.train.labels) // settings.batch_size
    runs = train_many(
        Net(settings.width),
        rule,
        values,
        data,
        keys,
        steps=settings.epochs * per_epoch,
        batch_size=settings.batch_size,
        evaluations=settings.epochs,
    )
    # (candidates, keys, epochs + 1)
    accuracy = 100 * runs.test_accuracy
    end = accuracy[..., -1]
    correlation = np.array(
        [
            [_rank_correlation(accuracy[:, k, e], end[:, k]) for e in _epochs(settings)]
            for k in range(len(keys))
        ]
    )
    lost = np.array(
        [
            [end[:, k].max() - end[accuracy[:, k, e].argmax(), k] for e in _epochs(settings)]
            for k in range(len(keys))
        ]
    )
    figure, (left, right) = new_figure(2)
    epochs = np.array(_epochs(settings))
    band(left, epochs, correlation, "rank correlation", COLORS[0])
    left.set(xlabel="epochs", ylabel=f"with the ranking after {settings.epochs}", ylim=(0, 1.02))
    band(right, epochs, lost, "lost", COLORS[1])
    right.set(xlabel="epochs", ylabel="points below the best at the end", ylim=(0, None))
    effects = []
    for short in settings.short:
        place, words = short - 1, f"{short} epoch{'s' if short > 1 else ''}"
        effects += [
            effect(
                f"rank correlation after {words}",
                correlation[:, place],
                above(0.5),
                bounds=(-1.0, 1.0),
            ),
            points(f"lost by choosing after {words}", lost[:, place], at_most(1.0)),
        ]
    return Outcome(
        effects=effects,
        figure=figure,
        remarks=[
            f"{settings.candidates} random pairs of learning rate (1e-4 to 3) and weight decay "
            f"(1e-5 to 0.1); final accuracies from {end.min():.0f} to {end.max():.1f} %."
        ],
    )


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's; 0 where all are equal, which orders nothing."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(stats.spearmanr(x, y).statistic)


def _epochs(settings: Ranking) -> range:
    return range(1, settings.epochs + 1)


# Each as (learning rate, factor on the first weights, first bias of the hidden units).
NETWORKS = {
    "sound": (0.1, 1.0, 0.0),
    "dead hidden units": (0.1, 1.0, -1e3),
    "all weights zero": (0.1, 0.0, 0.0),
    "weights 30 times too large": (0.1, 30.0, 0.0),
    "gradient of the wrong sign": (-0.1, 1.0, 0.0),
    "rate 10,000 times too low": (1e-5, 1.0, 0.0),
}


def sgd(value: dict[str, Any]) -> optax.GradientTransformation:
    """Plain SGD."""
    return optim.sgd(value["rate"])


def put_fault(params: Any, value: dict[str, Any]) -> Any:
    """The fault goes into the first parameters."""
    scaled = jax.tree.map(lambda w: value["scale"] * w, params)
    hidden = {**scaled["hidden"], "bias": scaled["hidden"]["bias"] + value["bias"]}
    return {**scaled, "hidden": hidden}


@dataclass(frozen=True, kw_only=True)
class FewImages(Settings):
    """The small set is the training part itself."""

    train: int | None = 40
    steps: int = 400
    width: int = 64


def overfit_few(settings: FewImages) -> Outcome:
    """Does overfitting a small set tell sound networks from broken ones?"""
    data, keys = settings.data(), make_keys(settings.keys)
    table = np.float32(list(NETWORKS.values()))
    values = {"rate": table[:, 0], "scale": table[:, 1], "bias": table[:, 2]}
    options = {
        "steps": settings.steps,
        "batch_size": len(data.train.labels),
        "evaluations": 40 if settings.steps % 40 == 0 else 1,
        "start": put_fault,
    }
    runs = train_many(Net(settings.width), sgd, values, data, keys, **options)
    curves = dict(zip(NETWORKS, runs.train_accuracy, strict=True))
    shuffled = data.train._replace(labels=np.random.default_rng(0).permutation(data.train.labels))
    wrong = train_many(
        Net(settings.width), sgd, values, data._replace(train=shuffled), keys, **options
    )
    curves["labels shuffled"] = wrong.train_accuracy[0]
    caught = {name: 1.0 * (curve.max(-1) < 1) for name, curve in curves.items()}
    figure, (left, right) = new_figure(2)
    for (name, curve), color in zip(curves.items(), COLORS, strict=True):
        band(left, runs.steps, 100 * curve, name, color)
    left.set(xlabel="step", ylabel="training accuracy, %", ylim=(0, 103))
    left.set_title("colors as on the right")
    names = list(caught)
    right.barh(names, [caught[n].mean() for n in names], color=COLORS)
    right.invert_yaxis()
    right.set(xlabel="share of keys that do not reach 100 %", xlim=(0, 1.02))
    broken = [name for name in NETWORKS if name != "sound"]
    return Outcome(
        effects=[
            effect("sound network overfits", 1 - caught["sound"], above(0.5), method="share"),
            *(effect(f"caught: {n}", caught[n], above(0.5), method="share") for n in broken),
            effect("caught: labels shuffled", caught["labels shuffled"], method="share"),
        ],
        figure=figure,
        remarks=[
            f"{len(data.train.labels)} images, {settings.steps} steps. With shuffled labels "
            f"{100 * (1 - caught['labels shuffled'].mean()):.0f} % of the keys reach 100 % as well."
        ],
    )
