"""The start of training: inputs, first weights, the signal through depth, first loss."""

import math
from dataclasses import dataclass

import jax
import numpy as np

from jaxnets import create_model, optim
from jaxnets.losses import cross_entropy
from jaxnets.models.mlp import MLP
from jaxnets.ops import he_normal, relu, tanh, xavier_normal
from jaxnets.ops.signal_propagation import propagate
from jaxnets.study.claims import Outcome, Settings, TrainingSettings
from jaxnets.study.data import Data, Part
from jaxnets.study.effects import above, effect, points, ratio, within
from jaxnets.study.figures import COLORS, band, curves_and_dots, dots, new_figure
from jaxnets.study.sweep import make_keys
from jaxnets.study.training import best, steps_to
from jaxnets.tune import with_small_last_layer
from jaxnets.tune.training_loss import training_logits


@dataclass(frozen=True, kw_only=True)
class Signal(Settings):
    """A plain network of square layers at its start."""

    width: int = 512
    depth: int = 50
    examples: int = 256


def moments_by_layer(settings: Signal, activation, initializer) -> dict[str, np.ndarray]:
    """Standard deviation and second moment of each layer's output, (keys, depth)."""

    def one(seed):
        first, rest = jax.random.split(jax.random.key(seed))
        x = jax.random.normal(first, (settings.examples, settings.width))
        options = {"depth": settings.depth, "initializer": initializer, "activation": activation}
        return propagate(rest, x, **options)

    run = jax.jit(one)
    found = [jax.device_get(run(seed)) for seed in make_keys(settings.keys)]
    return {name: np.stack([f[name] for f in found]) for name in ("std", "second_moment")}


def xavier_signal(settings: Signal) -> Outcome:
    """Does Xavier initialization keep a signal alive behind tanh, and lose it behind ReLU?"""
    through_tanh = moments_by_layer(settings, tanh, xavier_normal)["std"]
    through_relu = moments_by_layer(settings, relu, xavier_normal)["second_moment"]
    # The mean factor from one layer to the next; 1/2 is what theory says.
    factor = (through_relu[:, -1] / through_relu[:, 0]) ** (1 / (settings.depth - 1))
    figure, (left, right) = new_figure(2)
    layers = np.arange(1, settings.depth + 1)
    band(left, layers, through_tanh, "tanh", COLORS[0])
    left.axhline(0.1, color="0.5", lw=1, ls="--")
    left.set(xlabel="layer", ylabel="standard deviation", ylim=(0, None), title="tanh")
    right.semilogy(layers, through_relu.T, color=COLORS[1], lw=0.8, alpha=0.6)
    right.semilogy(layers, 0.5**layers, "k:", lw=1.5, label="1/2 a layer")
    right.set(xlabel="layer", ylabel="second moment", title="ReLU, one line a key")
    right.legend()
    last = settings.depth
    return Outcome(
        effects=[
            effect(f"deviation of tanh units in layer {last}", through_tanh[:, -1], above(0.1)),
            effect("second moment of ReLU units, factor a layer", factor, within(0.4, 0.6)),
        ],
        figure=figure,
        remarks=[
            f"After {last} layers the second moment behind ReLU is "
            f"{np.median(through_relu[:, -1]):.1e} (median)."
        ],
    )


@dataclass(frozen=True, kw_only=True)
class SignalAndTraining(TrainingSettings):
    """The signal at the start, and training of a deep plain network."""

    width: int = 512
    depth: int = 50
    examples: int = 256
    trained_layers: int = 20
    rates: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3)
    steps: int = 400
    evaluations: int = 20


def _sgd(value):
    return optim.sgd(value["rate"])


def _scaled(params, value):
    """Hidden weights × scale: 1 is He's initialization, √½ Xavier's."""
    return {
        name: layer | {"kernel": layer["kernel"] * value["scale"]}
        if name.startswith("fc")
        else layer
        for name, layer in params.items()
    }


def he_signal_and_training(settings: SignalAndTraining) -> Outcome:
    """Does the factor 2 of He's initialization keep the signal behind ReLUs, and does it matter?"""
    signal = Signal(
        keys=settings.keys, width=settings.width, depth=settings.depth, examples=settings.examples
    )
    moments = {
        name: moments_by_layer(signal, relu, initializer)["second_moment"]
        for name, initializer in (("He", he_normal), ("Xavier", xavier_normal))
    }
    factor = (moments["He"][:, -1] / moments["He"][:, 0]) ** (1 / (settings.depth - 1))
    rates, count = np.float32(settings.rates), len(settings.rates)
    runs = settings.runs(
        MLP(10, (32,) * settings.trained_layers),
        _sgd,
        {
            "rate": np.tile(rates, 2),
            "scale": np.repeat(np.float32([1, np.sqrt(0.5)]), count),
        },
        start=_scaled,
    )
    accuracy, curves = {}, {}
    for name, rows in (("He", slice(0, count)), ("Xavier", slice(count, None))):
        last = 100 * runs.train_accuracy[rows, :, -1]
        chosen = best(-last)
        accuracy[name] = last[chosen]
        curves[f"{name}, rate {rates[chosen]:g}"] = 100 * runs.train_accuracy[rows][chosen]
    figure, (left, right) = new_figure(2)
    layers = np.arange(1, settings.depth + 1)
    for color, (name, values) in zip(COLORS, moments.items(), strict=False):
        left.semilogy(layers, values.T, color=color, lw=0.7, alpha=0.5)
        left.plot([], [], color=color, label=name)
    left.set(xlabel="layer", ylabel="second moment behind ReLU", title="at the start")
    left.legend()
    for color, (name, curve) in zip(COLORS, curves.items(), strict=False):
        band(right, runs.steps, curve, name, color)
    right.set(
        xlabel="step",
        ylabel="training accuracy, %",
        ylim=(0, 102),
        title=f"{settings.trained_layers} hidden layers",
    )
    right.legend()
    return Outcome(
        effects=[
            ratio("second moment behind ReLU, factor a layer (He)", factor, within(0.95, 1.05)),
            points(
                f"training accuracy of {settings.trained_layers} layers, He minus Xavier",
                accuracy["He"] - accuracy["Xavier"],
                above(0),
            ),
        ],
        figure=figure,
    )


@dataclass(frozen=True, kw_only=True)
class Start(Settings):
    """Registered networks."""

    models: tuple[str, ...] = ("mlp", "lenet5", "resnet20")
    examples: int = 256


def first_loss(settings: Start) -> Outcome:
    """Does the loss of an untrained network start at ln C?"""
    data, keys = settings.data(), make_keys(settings.keys)
    expected = math.log(data.num_classes)
    usual, small, spread = {}, {}, {}
    for name in settings.models:
        found = np.array(_losses(name, data, keys, settings.examples))
        usual[name], small[name] = found[:, 0] - expected, found[:, 1] - expected
        spread[name] = found[:, 2]
    figure, (left, right) = new_figure(2)
    dots(left, list(usual), list(usual.values()))
    left.set(xlabel="first loss − ln C", title="as initialized")
    dots(right, list(small), list(small.values()))
    right.set(xlabel="first loss − ln C", title="last layer σ = 0.001", xlim=(-0.01, 0.01))
    right.set_xticks([-0.01, -0.005, 0, 0.005, 0.01])
    return Outcome(
        effects=[
            *(
                effect(f"excess, {name}, last layer σ = 0.001", v, within(-0.01, 0.01), unit="nats")
                for name, v in small.items()
            ),
            *(
                effect(f"excess, {name}, as initialized", v, within(-0.1, 0.1), unit="nats")
                for name, v in usual.items()
            ),
        ],
        figure=figure,
        remarks=[
            "Half the variance of the logits as initialized, which is what they cost: "
            + ", ".join(f"{name} {v.mean():.2f}" for name, v in spread.items())
            + " nats."
        ],
    )


def _losses(name, data, keys, examples) -> list:
    """By key: the first loss as initialized, with a small last layer, half the logits' variance."""
    model = create_model(name, num_classes=data.num_classes)
    images, labels = data.train.images[:examples], data.train.labels[:examples]

    @jax.jit
    def one(seed):
        key = jax.random.key(seed, impl="rbg")
        variables = model.init({"params": key, "dropout": key}, images[:2], train=False)
        small = with_small_last_layer(key, variables, num_classes=data.num_classes)
        logits = training_logits(key, model, variables, images)
        centered = logits - logits.mean(-1, keepdims=True)
        return (
            cross_entropy(logits, labels),
            cross_entropy(training_logits(key, model, small, images), labels),
            centered.var() / 2,
        )

    return [tuple(map(float, one(key))) for key in keys]


@dataclass(frozen=True, kw_only=True)
class Inputs(TrainingSettings):
    """Each kind of input gets the best of the rates, which span the scales of all."""

    rates: tuple[float, ...] = tuple(float(f"{r:.3g}") for r in np.geomspace(1e-3, 3, 12))
    hidden: tuple[int, ...] = (64,)
    steps: int = 1000
    evaluations: int = 50
    target: float = 0.2


def variants(data: Data) -> dict[str, Data]:
    """The same images on three scales, all fitted to the training part."""
    low, high = data.train.images.min(), data.train.images.max()
    unit = [(part.images - low) / (high - low) for part in (data.train, data.test)]
    mean, std = unit[0].mean(0), unit[0].std(0)

    def build(change):
        parts = [
            Part(change(x), part.labels)
            for x, part in zip(unit, (data.train, data.test), strict=True)
        ]
        return data._replace(train=parts[0], test=parts[1])

    return {
        "raw (0 to 1)": build(lambda x: x),
        "mean subtracted": build(lambda x: x - mean),
        # The floor keeps pixels that hardly ever change from dominating.
        "standardized": build(lambda x: (x - mean) / np.maximum(std, 0.05)),
    }


def input_scales(settings: Inputs) -> Outcome:
    """Steps of training from raw, centered and standardized pixels."""
    needed, curves = {}, {}
    for name, data in variants(settings.data()).items():
        runs = settings.runs(
            MLP(10, settings.hidden), optim.sgd, np.float32(settings.rates), data=data
        )
        by_rate = steps_to(runs.steps, runs.train_loss, settings.target)
        chosen = best(np.log(by_rate + 1))
        needed[name] = np.maximum(by_rate[chosen], 1)
        curves[f"{name}, rate {settings.rates[chosen]:g}"] = runs.train_loss[chosen]
    limits, place = (settings.target / 4, 3), f"steps to a training loss of {settings.target:g}"
    figure = curves_and_dots(
        runs.steps,
        curves,
        needed,
        left={"xlabel": "step", "ylabel": "training loss", "yscale": "log", "ylim": limits},
        right={"xlabel": place, "xlim": (0, None)},
        legend={"fontsize": 8},
        line=settings.target,
    )
    raw, centered, scaled = needed.values()
    return Outcome(
        effects=[
            ratio("steps, raw / standardized", raw / scaled, above(1)),
            ratio("steps, raw / mean subtracted", raw / centered, above(1)),
        ],
        figure=figure,
    )
