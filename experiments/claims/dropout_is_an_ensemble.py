"""Is a network trained with dropout an ensemble, and is weight scaling its average?"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.claims._noisy import TINY, Net, Noisy, accuracies, momentum_of, with_drop
from experiments.claims.framework import (
    Claim,
    Outcome,
    above,
    effect,
    figures,
    make_keys,
    train_many,
    within,
)


@dataclass(frozen=True, kw_only=True)
class Masks(Noisy):
    """Noisy training, and how many masks are averaged after it."""

    masks: int = 50


@partial(jax.jit, static_argnums=(0, 4))
def _with_masks(model, variables, images, labels, masks):
    """Accuracy of single masks and of the average over the first 1, 2, … of them, in per cent."""

    def of_key(variables):
        def add(total, i):
            logits = model.apply(variables, images, train=True, rngs={"dropout": jax.random.key(i)})
            total = total + jax.nn.softmax(logits)
            right = [100 * (z.argmax(-1) == labels).mean() for z in (logits, total)]
            return total, tuple(right)

        zero = jnp.zeros((len(labels), 10), jnp.float32)
        return lax.scan(add, zero, jnp.arange(masks))[1]

    return jax.vmap(of_key)(variables)


def measure(settings: Masks) -> Outcome:
    data, model = settings.data(), Net("dropout", settings.width)
    runs = train_many(
        model,
        momentum_of,
        {"rate": np.float32(settings.rates[0]), "drop": np.float32(settings.drop)},
        data,
        make_keys(settings.keys),
        steps=settings.steps,
        batch_size=settings.batch,
        evaluations=settings.evaluations,
        start=with_drop,
    )
    images, labels = data.test
    single, average = (
        np.asarray(a) for a in _with_masks(model, runs.variables, images, labels, settings.masks)
    )
    scaled = np.asarray(
        accuracies(partial(model.apply, train=False), runs.variables, images, labels)
    )
    one, many = single.mean(1), average[:, -1]
    figure, (left, right) = figures.new(2)
    counts = np.arange(1, settings.masks + 1)
    figures.band(left, counts, average, "average of so many masks", figures.COLORS[0])
    left.axhline(scaled.mean(), color="0.3", lw=1, ls="--", label="all units, weights scaled")
    left.set(xlabel="masks", ylabel="test accuracy, %")
    left.legend(fontsize=9)
    names = ["a single mask", f"average of {settings.masks} masks", "all units, weights scaled"]
    figures.dots(right, names, [one, many, scaled])
    right.set(xlabel="test accuracy, %")
    return Outcome(
        effects=[
            effect(
                "accuracy, average of masks minus one mask", many - one, above(0), unit="points"
            ),
            effect(
                "accuracy, weight scaling minus one mask", scaled - one, above(0), unit="points"
            ),
            effect(
                "accuracy, weight scaling minus average",
                scaled - many,
                within(-0.5, 0.5),
                unit="points",
            ),
        ],
        figure=figure,
        remarks=[
            f"One mask {one.mean():.2f} %, {settings.masks} averaged {many.mean():.2f} %, weight "
            f"scaling in one pass {scaled.mean():.2f} %."
        ],
    )


CLAIM = Claim(
    sentence="Dropout acts like an ensemble of sub-networks, and scaled weights are as good as "
    "their average",
    notes="L95",
    row="C06",
    experiment="A network trained with dropout of one half is tested with single random masks, "
    "with the average of many masks' softmaxes, and with all units at once. It fails if the "
    "average is no better than one mask, or weight scaling differs from it by half a point.",
    measure=measure,
    full=Masks(dataset="mnist", train=1000, test=1000, keys=6, width=128, rates=(0.05,), steps=500),
    quick=Masks(keys=4, train=500, rates=(0.05,), steps=160, masks=30, width=64),
    tiny=Masks(width=16, masks=3, **TINY),
)
