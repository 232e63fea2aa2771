"""What the mean softmax of k networks gains over one of them."""

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
    within,
)
from jaxnets import optim
from jaxnets.models import create_model

NETWORK = create_model("mlp", hidden=(64,), num_classes=10)


@dataclass(frozen=True, kw_only=True)
class Committee(Settings):
    """Every key has ``members`` networks of its own."""

    members: int = 5
    rate: float = 0.02
    steps: int = 500


def probabilities(state, data):
    """Class probabilities of the test images."""
    return jax.nn.softmax(state.apply_fn(state.variables, data.test.images, train=False))


def measure(settings: Committee) -> Outcome:
    data = settings.data()
    runs = train_many(
        NETWORK,
        optim.momentum,
        np.float32(settings.rate),
        data,
        make_keys(settings.keys * settings.members),
        steps=settings.steps,
        evaluations=1,
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
    figure, (left, middle) = figures.new(2)
    figures.band(left, numbers, growth, "ensemble − mean member", figures.COLORS[0])
    left.axhline(0, color="0.5", lw=1)
    left.set(xlabel="networks", ylabel="points of test accuracy", title=data.name)
    left.set_xticks(numbers)
    figures.dots(
        middle, ["one network", f"{settings.members} networks"], [single, single + growth[:, -1]]
    )
    middle.set(xlabel="test accuracy, %")
    name = f"{data.name}, {settings.members} networks"
    return Outcome(
        effects=[
            effect(f"gain, {name}", growth[:, -1], within(1, 3), unit="points"),
            effect(f"gain over 0, {name}", growth[:, -1], above(0), unit="points"),
            effect(f"loss, one − {name}", losses.mean(1) - together, unit="nats"),
        ],
        figure=figure,
        remarks=[
            f"One network alone is right on {single.mean():.1f} % of the test images.",
            "The ensemble's loss was at most its members' mean for "
            f"{(together <= losses.mean(1)).sum()} of {settings.keys} keys.",
        ],
    )


CLAIM = Claim(
    sentence="The mean softmax of several networks gains about two points of accuracy",
    notes="L93",
    row="C02",
    experiment="Five fully connected networks from different keys on the same few thousand images; "
    "the accuracy of their mean softmax minus the mean of their own accuracies. It fails where the "
    "gain is not between one and three points; gains depend on how often one network is wrong.",
    measure=measure,
    full=Committee(dataset="cifar10", train=4000, test=2000, keys=6, steps=600, rate=0.01),
    quick=Committee(keys=4, members=4, steps=100, train=400),
    tiny=Committee(keys=2, members=2, steps=4, train=100, test=50),
)
