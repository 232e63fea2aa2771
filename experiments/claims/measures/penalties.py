"""Penalties and early stopping on few images."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.claims.measures.smoothed_networks import (
    Smoothing,
    examined,
    network,
    penalized,
)
from jaxnets import optim
from jaxnets.losses import cross_entropy
from jaxnets.models import create_model
from jaxnets.study.claims import Outcome, TrainingSettings
from jaxnets.study.data import Data, Part
from jaxnets.study.effects import above, at_least, below, effect, points, ratio
from jaxnets.study.figures import COLORS, band, curves_and_dots, dots, new_figure
from jaxnets.study.training import best
from jaxnets.train import EarlyStopping


@dataclass(frozen=True, kw_only=True)
class Decays(Smoothing):
    """Strengths of the penalty λ/2 ‖w‖²; the first is 0. One learning rate for all."""

    rate: float = 0.05
    decays: tuple[float, ...] = (0.0, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)


def _rule(value):
    return optax.chain(optim.l2(value["decay"]), optim.momentum(value["rate"]))


def _halves(state, data):
    """Accuracy on the first half of the test images, which chooses λ, and on the second."""
    logits = state.apply_fn(state.variables, data.test.images, train=False)
    right = 100.0 * (logits.argmax(-1) == data.test.labels)
    half = right.shape[0] // 2
    return jnp.stack([right[:half].mean(), right[half:].mean()])


def l2(settings: Decays) -> Outcome:
    """Does an L2 penalty help a network that learns few images?"""
    count = len(settings.decays)
    runs = settings.runs(
        network(settings),
        _rule,
        {
            "decay": np.float32(settings.decays),
            "rate": np.full(count, settings.rate, np.float32),
        },
        probe=_halves,
    )
    choosing, judging = runs.probe[..., -1, 0], runs.probe[..., -1, 1]
    chosen = 1 + best(-choosing[1:])
    figure, (left, right) = new_figure(2)
    names = [f"λ = {decay:g}" for decay in settings.decays]
    dots(left, names, list(judging))
    left.set(xlabel="accuracy on the second half of the test images, %")
    for place, color in zip((chosen, 0), COLORS, strict=False):
        error = 100 * (1 - runs.test_accuracy[place])
        band(right, runs.steps, error, names[place], color)
    right.set(
        xlabel="step",
        ylabel="test error, %",
        ylim=(0, 3 * (100 - runs.accuracy[[chosen, 0]]).max()),
    )
    right.legend(fontsize=9)
    return Outcome(
        effects=[
            points("test accuracy, with L2 minus without", judging[chosen] - judging[0], above(0))
        ],
        figure=figure,
        remarks=[
            f"Of the strengths λ = {settings.decays[chosen]:g} was best on the images that choose; "
            f"training accuracy with it {100 * runs.train_accuracy[chosen, :, -1].mean():.1f} %."
        ],
    )


def confidence(settings: Smoothing) -> Outcome:
    """Does a penalty on confident predictions generalize better?"""
    found = {
        name: examined(settings, loss)
        for name, loss in (("with penalty", penalized), ("without", cross_entropy))
    }
    (runs, penalty), (_, plain) = found.values()
    figure = curves_and_dots(
        runs.steps,
        {name: runs.test_loss for name, (runs, _) in found.items()},
        {name: f["accuracy"] for name, (_, f) in found.items()},
        left={"xlabel": "step", "ylabel": "cross entropy on test images", "ylim": (0, None)},
        right={"xlabel": "test accuracy, %"},
    )
    return Outcome(
        effects=[
            points(
                "test accuracy, with penalty minus without",
                penalty["accuracy"] - plain["accuracy"],
                above(0),
            ),
            ratio("test cross entropy, with / without", penalty["loss"] / plain["loss"], below(1)),
        ],
        figure=figure,
        remarks=[
            f"{name}: calibration error {f['ece'].mean():.2f} %, accuracy "
            f"{f['accuracy'].mean():.2f} %."
            for name, (_, f) in found.items()
        ],
    )


NETWORK = create_model("mlp", hidden=(128,), num_classes=10)


@dataclass(frozen=True, kw_only=True)
class Stop(TrainingSettings):
    """A quarter of the training images is the validation set."""

    rate: float = 0.05
    patience: int = 5
    wrong: float = 0.2
    steps: int = 1600
    evaluations: int = 40


def log_probabilities(state, data):
    """Of the validation images and, behind them, of the test images."""
    return jax.nn.log_softmax(state.apply_fn(state.variables, data.test.images, train=False))


def _parts(data: Data, wrong: float) -> tuple[Data, int, np.ndarray]:
    """Data whose test part is validation and test; how many validation images; all labels."""
    labels = np.array(data.train.labels)
    random = np.random.default_rng(0)
    changed = random.random(len(labels)) < wrong
    shift = random.integers(1, data.num_classes, len(labels))
    labels[changed] = (labels[changed] + shift[changed]) % data.num_classes
    order = random.permutation(len(labels))
    held, kept = np.split(order, [len(order) // 4])
    images = data.train.images
    behind = jnp.concatenate([images[held], data.test.images])
    all_labels = np.concatenate([labels[held], np.asarray(data.test.labels)])
    fit = Part(images[kept], jnp.asarray(labels[kept]))
    parts = Data(data.name, fit, Part(behind, jnp.asarray(all_labels)), data.num_classes)
    return parts, len(held), all_labels


def best_evaluation(rule: EarlyStopping, curve: np.ndarray) -> tuple[int, int]:
    """(the evaluation that the rule goes back to, the one after which it stops)."""
    state = rule.init(())
    for number, value in enumerate(curve):
        state = rule.update(state, value, (), number)
        if state.stop:
            break
    return int(state.best_step), number


def early_stopping(settings: Stop) -> Outcome:
    """Early stopping on a validation set, with right and with partly wrong labels."""
    data, rule = settings.data(), EarlyStopping(settings.patience)
    figure, axes = new_figure(2)
    effects, remarks = [], []
    for wrong, ax in zip((0.0, settings.wrong), axes, strict=True):
        parts, held, labels = _parts(data, wrong)
        runs = settings.runs(
            NETWORK, optim.momentum, np.float32(settings.rate), data=parts, probe=log_probabilities
        )
        log_p = runs.probe  # (keys, E, N, K)
        loss = -np.take_along_axis(log_p, labels[None, None, :, None], -1)[..., 0]
        hit = log_p.argmax(-1) == labels
        validation, test = loss[..., :held].mean(-1), loss[..., held:].mean(-1)
        accuracy = 100 * hit[..., held:].mean(-1)
        chosen = [best_evaluation(rule, curve) for curve in validation]
        back = np.array([b for b, _ in chosen])
        rows = np.arange(len(back))
        name = "all labels right" if wrong == 0 else f"{100 * wrong:.0f} % wrong"
        gain = accuracy[rows, back] - accuracy[:, -1]
        saved = test[:, -1] - test[rows, back]
        effects += [
            points(f"accuracy, stopped − end, {name}", gain, at_least(-0.5)),
            effect(f"loss, end − stopped, {name}", saved, above(0), unit="nats"),
        ]
        steps = runs.steps[[s for _, s in chosen]]
        remarks.append(
            f"{name.capitalize()}: stopped after {steps.mean():.0f} of {settings.steps} steps on "
            f"average; test accuracy {accuracy[rows, back].mean():.1f} %, at the end "
            f"{accuracy[:, -1].mean():.1f} %."
        )
        band(ax, runs.steps, validation, "validation", COLORS[1])
        band(ax, runs.steps, test, "test", COLORS[0])
        band(ax, runs.steps, runs.train_loss, "training", COLORS[2])
        ax.axvline(runs.steps[back].mean(), color="0.5", lw=1, ls="--")
        top = 1.5 * max(validation[:, 0].mean(), test[:, -1].mean())
        ax.set(xlabel="step", ylabel="loss", title=name, ylim=(0, top))
    axes[0].legend(fontsize=8)
    return Outcome(effects=effects, figure=figure, remarks=remarks)
