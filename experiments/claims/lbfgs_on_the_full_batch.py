"""Is L-BFGS the better choice where the full batch can be afforded?"""

from dataclasses import dataclass

import jax
import numpy as np

from experiments.claims.framework import (
    Claim,
    Outcome,
    Settings,
    at_least,
    below,
    best,
    effect,
    figures,
    make_keys,
    train_many,
)
from jaxnets import optim
from jaxnets.losses import cross_entropy
from jaxnets.models.mlp import MLP


@dataclass(frozen=True, kw_only=True)
class Passes(Settings):
    """Equal passes over the same images, for two models.

    Attributes:
        hidden: one entry a model: the widths of its hidden layers.
        passes: over the training images; L-BFGS spends one for each evaluation of the gradient.
    """

    train: int = 1000
    hidden: tuple[tuple[int, ...], ...] = ((), (32,))
    rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)
    batch_size: int = 50
    passes: int = 100
    evaluations: int = 20


def full_batch(model: MLP, settings: Passes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training loss after each pass (keys, passes + 1) and test accuracy (keys,) in per cent."""
    data = settings.data()

    def objective(params, images, labels):
        return cross_entropy(model.apply({"params": params}, images), labels)

    @jax.jit
    def run(params, train, test):
        found = optim.minimize(
            objective, params, args=train, tol=0, max_iterations=settings.passes, record=True
        )
        return found.trace, found.x

    curves, accuracies = [], []
    for seed in make_keys(settings.keys):
        key = jax.random.key(int(seed), impl="rbg")
        params = model.init(key, data.train.images[:2])["params"]
        trace, x = run(params, tuple(data.train), tuple(data.test))
        spent, value = np.asarray(trace.evaluations), np.asarray(trace.value)
        reached = (spent >= 0) & np.isfinite(value)
        at = np.searchsorted(spent[reached], np.arange(settings.passes + 1), side="right") - 1
        curves.append(value[reached][np.maximum(at, 0)])
        logits = model.apply({"params": x}, data.test.images)
        accuracies.append(100 * float((logits.argmax(-1) == data.test.labels).mean()))
    return np.array(curves), np.array(accuracies)


def measure(settings: Passes) -> Outcome:
    data, effects = settings.data(), []
    steps = settings.passes * (len(data.train.labels) // settings.batch_size)
    figure, axes = figures.new(len(settings.hidden))
    for ax, hidden in zip(axes, settings.hidden, strict=True):
        ax.set_yscale("log")
        model = MLP(10, hidden)
        name = "a network" if hidden else "softmax regression"
        runs = train_many(
            model,
            optim.momentum,
            np.float32(settings.rates),
            data,
            make_keys(settings.keys),
            steps=steps,
            batch_size=settings.batch_size,
            evaluations=settings.evaluations,
            train_examples=settings.train,
        )
        curves, accuracy = full_batch(model, settings)
        row = best(runs.train_loss[..., -1])
        label = f"momentum, batches of {settings.batch_size}, rate {settings.rates[row]:g}"
        passes = runs.steps * settings.passes / steps
        floor = 1e-6
        figures.band(ax, passes, runs.train_loss[row] + floor, label, figures.COLORS[0])
        figures.band(
            ax, np.arange(curves.shape[1]), curves + floor, "L-BFGS, full batch", figures.COLORS[1]
        )
        ax.set(xlabel="passes over the training images", ylabel="training loss")
        ax.set(title=name, ylim=(floor, 4))
        ax.legend(fontsize=8)
        ratio = (curves[:, -1] + floor) / (runs.train_loss[row, :, -1] + floor)
        effects += [
            effect(
                f"{name}: training loss, L-BFGS / momentum",
                ratio,
                below(1),
                unit="×",
                method="log",
            ),
            effect(
                f"{name}: test accuracy, L-BFGS minus momentum",
                accuracy - runs.accuracy[row],
                at_least(-0.5),
                unit="points",
            ),
        ]
    return Outcome(effects=effects, figure=figure)


CLAIM = Claim(
    sentence="If the full batch can be afforded, L-BFGS beats mini-batch SGD with momentum",
    notes="L88",
    row="B13",
    experiment="Softmax regression and a network with one hidden layer on 1,000 images, L-BFGS on "
    "all of them at once against momentum on batches of 50 at the best of a grid of constant "
    "rates, for equally many passes. The claim wants the lower training loss, and a test accuracy "
    "not worse by half a point. (Losses are compared above a floor of 1e-6.)",
    measure=measure,
    full=Passes(dataset="mnist", test=5000, keys=6),
    quick=Passes(keys=3, hidden=((),), passes=20, evaluations=10, rates=(0.03, 0.1, 0.3)),
    tiny=Passes(
        keys=2, train=50, hidden=((),), passes=2, evaluations=2, rates=(0.1,), batch_size=25
    ),
)
