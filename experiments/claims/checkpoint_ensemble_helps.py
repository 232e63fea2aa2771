"""The mean softmax of a run's last checkpoints beside the last one."""

from dataclasses import dataclass

import jax
import numpy as np

from experiments.claims.framework import (
    Claim,
    Outcome,
    Settings,
    above,
    effect,
    figures,
    make_keys,
    train_many,
)
from jaxnets import optim
from jaxnets.models import create_model

NETWORK = create_model("mlp", hidden=(64,), num_classes=10)
KINDS = ("constant rate", "rate that falls to 0")


@dataclass(frozen=True, kw_only=True)
class Run(Settings):
    """One run with a checkpoint every tenth of it."""

    last: int = 5
    rate: float = 0.05
    steps: int = 1000
    evaluations: int = 20


def falling(value):
    """Momentum; ``fall`` 0 keeps the rate, 1 lets it go to 0 in a straight line."""
    return optim.momentum(lambda t: value["rate"] * (1 - value["fall"] * t / value["steps"]))


def probabilities(state, data):
    """Class probabilities of the test images."""
    return jax.nn.softmax(state.apply_fn(state.variables, data.test.images, train=False))


def measure(settings: Run) -> Outcome:
    data = settings.data()
    values = {
        "rate": np.float32([settings.rate] * 2),
        "fall": np.float32([0, 1]),
        "steps": np.float32([settings.steps] * 2),
    }
    runs = train_many(
        NETWORK,
        falling,
        values,
        data,
        make_keys(settings.keys),
        steps=settings.steps,
        evaluations=settings.evaluations,
        probe=probabilities,
    )
    labels = np.asarray(data.test.labels)
    figure, axes = figures.new(2)
    effects, remarks = [], []
    for kind, p, ax in zip(KINDS, runs.probe, axes, strict=True):
        numbers = np.arange(1, settings.last + 1)
        together = np.stack(
            [100 * (p[:, -k:].mean(1).argmax(-1) == labels).mean(-1) for k in numbers], 1
        )
        gain = together[:, -1] - together[:, 0]
        figures.band(ax, numbers, together - together[:, :1], kind, figures.COLORS[0])
        ax.axhline(0, color="0.5", lw=1)
        ax.set(xlabel="last checkpoints together", ylabel="points above the last one", title=kind)
        ax.set_xticks(numbers)
        effects.append(effect(f"gain of {settings.last}, {kind}", gain, above(0), unit="points"))
        remarks.append(f"{kind.capitalize()}: the last one alone, {together[:, 0].mean():.1f} %.")
    low = min(ax.get_ylim()[0] for ax in axes)
    high = max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set_ylim(low, high)
    return Outcome(effects=effects, figure=figure, remarks=remarks)


CLAIM = Claim(
    sentence="An ensemble of the last checkpoints of one run is better than the last one",
    notes="L93",
    row="C03",
    experiment="A fully connected network is trained with a constant rate and with one that falls "
    "to 0; the mean softmax of checkpoints a twentieth of the run apart is compared with the last "
    "checkpoint alone. It fails where the mean gains nothing.",
    measure=measure,
    full=Run(dataset="cifar10", train=4000, test=2000, keys=10, rate=0.01),
    quick=Run(keys=4, steps=160, evaluations=16, train=300),
    tiny=Run(keys=2, steps=8, evaluations=8, last=3, train=100, test=50),
)
