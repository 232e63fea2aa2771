"""How activations train, and what becomes of gradients and units behind them."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from experiments.claims.measures.racing import Halving, fastest
from experiments.claims.measures.small_networks import ACTIVATIONS, Kind, SmallNetwork
from jaxnets import optim
from jaxnets.losses import cross_entropy
from jaxnets.metrics.dead_units import alive_units
from jaxnets.models.mlp import MLP
from jaxnets.ops import he_normal, relu, sigmoid, tanh, xavier_normal
from jaxnets.ops.activation_analysis import one_sided_share
from jaxnets.study.claims import Outcome, Settings, TrainingSettings
from jaxnets.study.effects import above, below, effect, points, ratio
from jaxnets.study.figures import COLORS, band, curves_and_dots, new_figure
from jaxnets.study.sweep import make_keys


@dataclass(frozen=True, kw_only=True)
class Race(Halving):
    """Every activation gets the rate at which it is fastest.

    Attributes:
        kind, widths: of the network, see `SmallNetwork`.
        activations: of `ACTIVATIONS`; ReLU, tanh and sigmoid must be among them.
        error: training error to reach.
    """

    activations: tuple[str, ...] = tuple(ACTIVATIONS)
    kind: Kind = "dense"
    widths: tuple[int, ...] = (64, 64, 64, 64)
    rates: tuple[float, ...] = (0.03, 0.3)
    steps: int = 1000
    evaluations: int = 50
    error: float = 0.25


def race(settings: Race) -> Outcome:
    """Which activation trains fastest? AlexNet's figure 1 in small, with seven activations."""
    found = {
        name: fastest(
            settings,
            SmallNetwork(settings.kind, settings.widths, name),
            optim.momentum,
            np.float32(settings.rates),
            quantity="train_error",
            target=settings.error,
        )
        for name in settings.activations
    }
    needed = {name: one.needed for name, one in found.items()}
    title, limit = "each at its best rate", 100 * settings.error
    figure = curves_and_dots(
        found["ReLU"].steps,
        {name: 100 * one.curve for name, one in found.items()},
        needed,
        left={"xlabel": "step", "ylabel": "training error, %", "ylim": (0, 95), "title": title},
        right={"xscale": "log", "xlabel": f"steps to {limit:g} % training error"},
        legend={"fontsize": 8},
        line=limit,
    )
    slower = {name: needed[name] / needed["ReLU"] for name in needed}
    others = [np.log(needed[n]) for n in needed if n != "sigmoid"]
    last = np.exp(np.log(needed["sigmoid"]) - np.max(others, axis=0))
    end = found["ReLU"].steps[-1]
    means = {name: np.exp(np.log(steps).mean()) for name, steps in needed.items()}
    rates = {name: settings.rates[one.place] for name, one in found.items()}
    late = {name: int((steps > end).sum()) for name, steps in needed.items()}
    return Outcome(
        effects=[
            ratio("steps, tanh / ReLU", slower["tanh"], above(1)),
            ratio("steps, sigmoid / slowest other", last, above(1)),
            *(
                ratio(f"steps, {n} / ReLU", slower[n])
                for n in settings.activations
                if n not in ("ReLU", "tanh")
            ),
        ],
        figure=figure,
        remarks=[
            "Steps, geometric mean, and rate: "
            + ", ".join(f"{n} {means[n]:.0f} at {rates[n]:g}" for n in needed)
            + ".",
            *(
                f"{n}: {count} of {settings.keys} runs are not there after {end} steps and count "
                "as twice that, so that the true ratio is larger."
                for n, count in late.items()
                if count
            ),
        ],
    )


CASES = {
    "sigmoid": (sigmoid, xavier_normal),
    "tanh": (tanh, xavier_normal),
    "ReLU": (relu, he_normal),
}


@dataclass(frozen=True, kw_only=True)
class Depth(Settings):
    """A plain network of square layers at its start."""

    width: int = 128
    depth: int = 10
    examples: int = 256


def gradient_norms(settings: Depth, name: str) -> np.ndarray:
    """Norm of each layer's weight gradient at the start, (keys, depth)."""
    activation, initializer = CASES[name]
    data = settings.data().train
    images = data.images[: settings.examples].reshape(-1, np.prod(data.images.shape[1:]))
    labels = data.labels[: len(images)]

    def one(key):
        first, rest, last = jax.random.split(key, 3)
        hidden = jax.vmap(lambda k: initializer(k, (settings.width, settings.width)))(
            jax.random.split(rest, settings.depth)
        )
        x = activation(images @ initializer(first, (images.shape[1], settings.width)))
        classifier = initializer(last, (settings.width, 10))

        def loss(kernels):
            h, _ = jax.lax.scan(lambda h, w: (activation(h @ w), None), x, kernels)
            return cross_entropy(h @ classifier, labels)

        return jnp.sqrt((jax.grad(loss)(hidden) ** 2).sum((1, 2)))

    # One key after the other: the generator that compiles fast is not made for vmap.
    run = jax.jit(one)
    seeds = make_keys(settings.keys)
    return np.stack([run(jax.random.key(int(seed), impl="rbg")) for seed in seeds])


def vanishing(settings: Depth) -> Outcome:
    """How much of the gradient is left after ten saturating layers?"""
    norms = {name: gradient_norms(settings, name) for name in CASES}
    layers = np.arange(1, settings.depth + 1)
    figure, (ax,) = new_figure()
    for color, (name, values) in zip(COLORS, norms.items(), strict=False):
        ax.semilogy(layers, values.T, color=color, lw=0.7, alpha=0.4)
        ax.semilogy(layers, np.exp(np.log(values).mean(0)), color=color, lw=2, label=name)
    ax.set(xlabel="layer", ylabel="norm of the weight gradient", xticks=layers)
    ax.legend(loc="lower right")
    left = {name: values[:, 0] / values[:, -1] for name, values in norms.items()}
    return Outcome(
        effects=[
            ratio("sigmoid: gradient norm, first / last layer", left["sigmoid"], below(0.01)),
            ratio("ReLU: gradient norm, first / last layer", left["ReLU"], above(0.1)),
            ratio("tanh: gradient norm, first / last layer", left["tanh"]),
        ],
        figure=figure,
    )


@dataclass(frozen=True, kw_only=True)
class Watch(TrainingSettings):
    """Gradients of the second layer, watched while the network learns."""

    rate: float = 0.3
    steps: int = 1000
    evaluations: int = 20
    singles: int = 100


@dataclass(frozen=True)
class OneSided:
    """Share of one-sided units of the second layer: for single examples, and for a batch."""

    singles: int

    def __call__(self, state, data):
        def share(images, labels):
            def loss(params):
                return cross_entropy(state.apply_fn({"params": params}, images), labels)

            return one_sided_share(jax.grad(loss)(state.params)["fc2"]["kernel"])

        one = jax.vmap(share)(
            data.train.images[: self.singles, None], data.train.labels[: self.singles, None]
        )
        return jnp.stack([one.mean(), share(data.train.images[:64], data.train.labels[:64])])


def zigzag(settings: Watch) -> Outcome:
    """Do all weights of a unit behind sigmoids move the same way?"""
    shares = {}
    for name, activation in (("sigmoid", sigmoid), ("tanh", tanh)):
        runs = settings.runs(
            MLP(10, (32, 32), activation),
            optim.sgd,
            settings.rate,
            probe=OneSided(settings.singles),
        )
        shares[name] = 100 * runs.probe
    figure, (ax,) = new_figure()
    for i, name in enumerate(shares):
        for j, (of, style) in enumerate((("one example", "-"), ("batch of 64", "--"))):
            band(ax, runs.steps, shares[name][..., j], f"{name}, {of}", COLORS[i], ls=style)
    ax.set(xlabel="step", ylabel="units with one-sided gradient, %", ylim=(-3, 108))
    ax.legend(fontsize=8, loc="center right")
    last = {name: share[:, -1] for name, share in shares.items()}
    mean = {name: share.mean(1) for name, share in shares.items()}
    return Outcome(
        effects=[
            effect(
                "sigmoid, one example: one-sided units", last["sigmoid"][:, 0], above(99), unit="%"
            ),
            effect(
                "sigmoid, batch of 64: one-sided units", mean["sigmoid"][:, 1], above(50), unit="%"
            ),
            effect(
                "tanh, one example: one-sided units",
                mean["tanh"][:, 0],
                below(50),
                unit="%",
                bounds=(0.0, 100.0),
            ),
        ],
        figure=figure,
    )


HIDDEN = (64, 64)


@dataclass(frozen=True, kw_only=True)
class Ladder(TrainingSettings):
    """The ladder of learning rates."""

    rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5)
    steps: int = 500
    evaluations: int = 5


def dead_share(state, data):
    """Share of hidden units that no training image brings above zero."""
    features = MLP(None, HIDDEN).apply({"params": _hidden(state.params)}, data.train.images)
    alive = alive_units(features)
    return 1 - jnp.concatenate(list(alive.values())).mean()


def _hidden(params):
    return {name: layer for name, layer in params.items() if name != "classifier"}


def dead_units(settings: Ladder) -> Outcome:
    """How many ReLU units are dead after training, by learning rate?"""
    runs = settings.runs(MLP(10, HIDDEN), optim.sgd, np.float32(settings.rates), probe=dead_share)
    dead = 100 * runs.probe[..., -1]
    # Equal everywhere, such as no dead unit at all: there is no order to find.
    rising = [
        stats.spearmanr(settings.rates, column).statistic if np.ptp(column) > 0 else 0.0
        for column in dead.T
    ]
    figure, (left, right) = new_figure(2)
    band(left, settings.rates, dead.T, "", COLORS[0], marker="o", ms=3)
    left.set(xscale="log", xlabel="learning rate", ylabel="dead units, %", ylim=(-2, 102))
    band(right, settings.rates, runs.accuracy.T, "", COLORS[1], marker="o", ms=3)
    right.set(xscale="log", xlabel="learning rate", ylabel="test accuracy, %", ylim=(0, 100))
    sentences = [
        f"Rate {rate:g}: {d.mean():.1f} % dead, test accuracy {a.mean():.1f} %."
        for rate, d, a in zip(settings.rates, dead, runs.accuracy, strict=True)
    ]
    return Outcome(
        effects=[
            points(
                f"dead units, rate {settings.rates[-1]:g} minus {settings.rates[0]:g}",
                dead[-1] - dead[0],
                above(10),
            ),
            effect("rank correlation of dead units and rate", rising, above(0), bounds=(-1.0, 1.0)),
        ],
        figure=figure,
        remarks=[" ".join(sentences)],
    )
