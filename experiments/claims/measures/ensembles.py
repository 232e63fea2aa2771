"""Mean softmaxes: of networks, of checkpoints, of snapshots."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import optim
from jaxnets.models import create_model
from jaxnets.study.claims import Outcome, Settings, TrainingSettings
from jaxnets.study.effects import above, effect, points, within
from jaxnets.study.figures import COLORS, band, dots, new_figure
from jaxnets.study.sweep import make_keys
from jaxnets.study.training import train_many

NETWORK = create_model("mlp", hidden=(64,), num_classes=10)


@dataclass(frozen=True, kw_only=True)
class Committee(TrainingSettings):
    """Every key has ``members`` networks of its own."""

    members: int = 5
    rate: float = 0.02
    steps: int = 500
    evaluations: int = 1


def probabilities(state, data):
    """Class probabilities of the test images."""
    return jax.nn.softmax(state.apply_fn(state.variables, data.test.images, train=False))


def several_networks(settings: Committee) -> Outcome:
    """What the mean softmax of k networks gains over one of them."""
    data = settings.data()
    runs = settings.runs(
        NETWORK,
        optim.momentum,
        np.float32(settings.rate),
        data=data,
        keys=make_keys(settings.keys * settings.members),
        probe=probabilities,
    )
    p = runs.probe[:, -1].reshape(settings.keys, settings.members, *runs.probe.shape[2:])
    labels = np.asarray(data.test.labels)
    alone = 100 * (p.argmax(-1) == labels).mean(-1)
    single = alone.mean(1)
    numbers = np.arange(1, settings.members + 1)
    growth = np.stack(
        [100 * (p[:, :k].mean(1).argmax(-1) == labels).mean(-1) - single for k in numbers], 1
    )
    right = np.take_along_axis(p, labels[None, None, :, None], -1)[..., 0]
    losses = -np.log(right).mean(-1)
    together = -np.log(right.mean(1)).mean(-1)
    figure, (left, middle) = new_figure(2)
    band(left, numbers, growth, "ensemble − mean member", COLORS[0])
    left.axhline(0, color="0.5", lw=1)
    left.set(xlabel="networks", ylabel="points of test accuracy", title=data.name)
    left.set_xticks(numbers)
    dots(middle, ["one network", f"{settings.members} networks"], [single, single + growth[:, -1]])
    middle.set(xlabel="test accuracy, %")
    name = f"{data.name}, {settings.members} networks"
    return Outcome(
        effects=[
            points(f"gain, {name}", growth[:, -1], within(1, 3)),
            points(f"gain over 0, {name}", growth[:, -1], above(0)),
            effect(f"loss, one − {name}", losses.mean(1) - together, unit="nats"),
        ],
        figure=figure,
        remarks=[
            f"One network alone is right on {single.mean():.1f} % of the test images.",
            "The ensemble's loss was at most its members' mean for "
            f"{(together <= losses.mean(1)).sum()} of {settings.keys} keys.",
        ],
    )


KINDS = ("constant rate", "rate that falls to 0")


@dataclass(frozen=True, kw_only=True)
class Checkpoints(TrainingSettings):
    """One run with a checkpoint at every evaluation."""

    last: int = 5
    rate: float = 0.05
    steps: int = 1000
    evaluations: int = 20


def falling(value):
    """Momentum; ``fall`` 0 keeps the rate, 1 lets it go to 0 in a straight line."""
    return optim.momentum(lambda t: value["rate"] * (1 - value["fall"] * t / value["steps"]))


def last_checkpoints(settings: Checkpoints) -> Outcome:
    """The mean softmax of a run's last checkpoints beside the last one."""
    data = settings.data()
    values = {
        "rate": np.float32([settings.rate] * 2),
        "fall": np.float32([0, 1]),
        "steps": np.float32([settings.steps] * 2),
    }
    runs = settings.runs(NETWORK, falling, values, data=data, probe=probabilities)
    labels = np.asarray(data.test.labels)
    figure, axes = new_figure(2)
    effects, remarks = [], []
    for kind, p, ax in zip(KINDS, runs.probe, axes, strict=True):
        numbers = np.arange(1, settings.last + 1)
        together = np.stack(
            [100 * (p[:, -k:].mean(1).argmax(-1) == labels).mean(-1) for k in numbers], 1
        )
        gain = together[:, -1] - together[:, 0]
        band(ax, numbers, together - together[:, :1], kind, COLORS[0])
        ax.axhline(0, color="0.5", lw=1)
        ax.set(xlabel="last checkpoints together", ylabel="points above the last one", title=kind)
        ax.set_xticks(numbers)
        effects.append(points(f"gain of {settings.last}, {kind}", gain, above(0)))
        remarks.append(f"{kind.capitalize()}: the last one alone, {together[:, 0].mean():.1f} %.")
    low = min(ax.get_ylim()[0] for ax in axes)
    high = max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set_ylim(low, high)
    return Outcome(effects=effects, figure=figure, remarks=remarks)


@dataclass(frozen=True, kw_only=True)
class Cycles(Settings):
    """Both schedules get the best of the same rates."""

    cycles: int = 5
    rates: tuple[float, ...] = (0.01, 0.03, 0.1)
    steps: int = 1000


def cyclic(value):
    """Momentum with Huang et al.'s rate; one cycle is half a cosine over the whole run."""

    def rate(t):
        place = jnp.mod(t, value["length"]) / value["length"]
        return value["rate"] / 2 * (jnp.cos(jnp.pi * place) + 1)

    return optim.momentum(rate)


def snapshots(settings: Cycles) -> Outcome:
    """Snapshot ensembles: a cyclic rate, one network a cycle, the mean of their softmaxes."""
    data, count = settings.data(), len(settings.rates)
    length = settings.steps // settings.cycles
    values = {
        "rate": np.tile(np.float32(settings.rates), 2),
        "length": np.repeat(np.float32([length, settings.steps]), count),
    }
    runs = train_many(
        NETWORK,
        cyclic,
        values,
        data,
        make_keys(settings.keys),
        steps=settings.steps,
        evaluations=settings.cycles,
        probe=probabilities,
    )
    labels = np.asarray(data.test.labels)
    taken, whole = runs.probe[:count, :, 1:], runs.probe[count:, :, -1]

    def accuracy(p):
        return 100 * (p.argmax(-1) == labels).mean(-1)

    together = accuracy(taken.mean(2))  # (rates, keys)
    chosen = int(together.mean(1).argmax())
    single = accuracy(whole)
    single = single[int(single.mean(1).argmax())]
    each, ensemble, p = accuracy(taken[chosen]), together[chosen], taken[chosen]
    best = each.max(1)
    top = p.argmax(-1)
    pairs = [
        100 * (top[:, i] != top[:, j]).mean(-1) for i in range(settings.cycles) for j in range(i)
    ]
    figure, (left, right) = new_figure(2)
    numbers = np.arange(1, settings.cycles + 1)
    growth = np.stack([accuracy(p[:, :k].mean(1)) for k in numbers], 1)
    band(left, numbers, each, "each snapshot", COLORS[1])
    band(left, numbers, growth, "snapshots together", COLORS[0])
    left.set(xlabel="cycle", ylabel="test accuracy, %", title=data.name)
    left.set_xticks(numbers)
    left.legend(fontsize=8)
    dots(right, ["best snapshot", "ensemble", "one half cosine"], [best, ensemble, single])
    right.set(xlabel="test accuracy, %")
    return Outcome(
        effects=[
            points("ensemble − best snapshot", ensemble - best, above(0)),
            points("ensemble − one run, same cost", ensemble - single, above(0)),
            effect(
                "snapshots that disagree",
                np.mean(pairs, 0),
                above(0),
                unit="% of images",
                bounds=(0.0, 100.0),
            ),
        ],
        figure=figure,
        remarks=[
            "The best snapshot is chosen on the test images, which favors it over the ensemble.",
            f"Rates: cyclic {settings.rates[chosen]:g}; every schedule its best of the grid.",
        ],
    )
