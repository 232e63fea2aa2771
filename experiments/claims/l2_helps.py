"""Does an L2 penalty help a network that learns few images?"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import optax

from experiments.claims._smoothing import TINY, Smoothing, network
from experiments.claims.framework import (
    Claim,
    Outcome,
    above,
    best,
    effect,
    figures,
    make_keys,
    train_many,
)
from jaxnets import optim


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


def measure(settings: Decays) -> Outcome:
    count = len(settings.decays)
    runs = train_many(
        network(settings),
        _rule,
        {
            "decay": np.float32(settings.decays),
            "rate": np.full(count, settings.rate, np.float32),
        },
        settings.data(),
        make_keys(settings.keys),
        steps=settings.steps,
        batch_size=settings.batch,
        evaluations=settings.evaluations,
        probe=_halves,
    )
    choosing, judging = runs.probe[..., -1, 0], runs.probe[..., -1, 1]
    chosen = 1 + best(-choosing[1:])
    figure, (left, right) = figures.new(2)
    names = [f"λ = {decay:g}" for decay in settings.decays]
    figures.dots(left, names, list(judging))
    left.set(xlabel="accuracy on the second half of the test images, %")
    for place, color in zip((chosen, 0), figures.COLORS, strict=False):
        error = 100 * (1 - runs.test_accuracy[place])
        figures.band(right, runs.steps, error, names[place], color)
    right.set(
        xlabel="step",
        ylabel="test error, %",
        ylim=(0, 3 * (100 - runs.accuracy[[chosen, 0]]).max()),
    )
    right.legend(fontsize=9)
    return Outcome(
        effects=[
            effect(
                "test accuracy, with L2 minus without",
                judging[chosen] - judging[0],
                above(0),
                unit="points",
            )
        ],
        figure=figure,
        remarks=[
            f"Of the strengths λ = {settings.decays[chosen]:g} was best on the images that choose; "
            f"training accuracy with it {100 * runs.train_accuracy[chosen, :, -1].mean():.1f} %."
        ],
    )


CLAIM = Claim(
    sentence="An L2 penalty on the weights helps a network that learns a small set",
    notes="L94",
    row="C05",
    experiment="Networks learn few images with several strengths of λ/2‖w‖². The strength is "
    "chosen on one half of the test images and compared with none on the other half. Same first "
    "weights, batches and learning rate for all.",
    measure=measure,
    full=Decays(dataset="mnist", train=500, test=4000, keys=6, width=96, steps=600),
    quick=Decays(keys=4, train=300, width=48, steps=200, decays=(0.0, 1e-3, 1e-2)),
    tiny=Decays(decays=(0.0, 1e-2), **TINY),
)
