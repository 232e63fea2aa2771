"""Early stopping on a validation set, with right and with partly wrong labels."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.framework import (
    Claim,
    Data,
    Outcome,
    Part,
    Settings,
    above,
    at_least,
    effect,
    figures,
    make_keys,
    train_many,
)
from jaxnets import optim
from jaxnets.models import create_model
from jaxnets.train import EarlyStopping

NETWORK = create_model("mlp", hidden=(128,), num_classes=10)


@dataclass(frozen=True, kw_only=True)
class Stop(Settings):
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


def measure(settings: Stop) -> Outcome:
    data, rule = settings.data(), EarlyStopping(settings.patience)
    figure, axes = figures.new(2)
    effects, remarks = [], []
    for wrong, ax in zip((0.0, settings.wrong), axes, strict=True):
        parts, held, labels = _parts(data, wrong)
        runs = train_many(
            NETWORK,
            optim.momentum,
            np.float32(settings.rate),
            parts,
            make_keys(settings.keys),
            steps=settings.steps,
            evaluations=settings.evaluations,
            probe=log_probabilities,
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
            effect(f"accuracy, stopped − end, {name}", gain, at_least(-0.5), unit="points"),
            effect(
                f"loss, end − stopped, {name}",
                saved,
                above(0),
                unit="nats",
            ),
        ]
        steps = runs.steps[[s for _, s in chosen]]
        remarks.append(
            f"{name.capitalize()}: stopped after {steps.mean():.0f} of {settings.steps} steps on "
            f"average; test accuracy {accuracy[rows, back].mean():.1f} %, at the end "
            f"{accuracy[:, -1].mean():.1f} %."
        )
        figures.band(ax, runs.steps, validation, "validation", figures.COLORS[1])
        figures.band(ax, runs.steps, test, "test", figures.COLORS[0])
        figures.band(ax, runs.steps, runs.train_loss, "training", figures.COLORS[2])
        ax.axvline(runs.steps[back].mean(), color="0.5", lw=1, ls="--")
        top = 1.5 * max(validation[:, 0].mean(), test[:, -1].mean())
        ax.set(xlabel="step", ylabel="loss", title=name, ylim=(0, top))
    axes[0].legend(fontsize=8)
    return Outcome(effects=effects, figure=figure, remarks=remarks)


CLAIM = Claim(
    sentence="Always stop early: the parameters of the least validation loss are the better ones",
    notes="L92",
    row="C01",
    experiment="A fully connected network is trained far beyond the least validation loss, on "
    "right and on partly wrong labels. The parameters that early stopping goes back to are "
    "compared on the test images with those of the end. It fails where the end is clearly more "
    "accurate or has no larger loss.",
    measure=measure,
    full=Stop(dataset="mnist", train=2000, test=2000, keys=8),
    quick=Stop(keys=3, steps=200, evaluations=20, train=400, rate=0.1),
    tiny=Stop(keys=2, steps=4, evaluations=4, train=100, test=50),
)
