"""Does learning a small set by heart tell sound networks from broken ones?"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import optax

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
from experiments.claims.random_search_beats_grid import Net
from jaxnets import optim

# Each as (learning rate, factor on the first weights, first bias of the hidden units).
NETWORKS = {
    "sound": (0.1, 1.0, 0.0),
    "dead hidden units": (0.1, 1.0, -1e3),
    "all weights zero": (0.1, 0.0, 0.0),
    "weights 30 times too large": (0.1, 30.0, 0.0),
    "gradient of the wrong sign": (-0.1, 1.0, 0.0),
    "rate 10,000 times too low": (1e-5, 1.0, 0.0),
}


def rule(value: dict[str, Any]) -> optax.GradientTransformation:
    return optim.sgd(value["rate"])


def start(params: Any, value: dict[str, Any]) -> Any:
    """The fault goes into the first parameters."""
    scaled = jax.tree.map(lambda w: value["scale"] * w, params)
    hidden = {**scaled["hidden"], "bias": scaled["hidden"]["bias"] + value["bias"]}
    return {**scaled, "hidden": hidden}


@dataclass(frozen=True, kw_only=True)
class FewImages(Settings):
    """The small set is the training part itself."""

    train: int | None = 40
    steps: int = 400
    width: int = 64


def measure(settings: FewImages) -> Outcome:
    data, keys = settings.data(), make_keys(settings.keys)
    table = np.float32(list(NETWORKS.values()))
    values = {"rate": table[:, 0], "scale": table[:, 1], "bias": table[:, 2]}
    options = {
        "steps": settings.steps,
        "batch_size": len(data.train.labels),
        "evaluations": 40 if settings.steps % 40 == 0 else 1,
        "start": start,
    }
    curves = {}
    runs = train_many(Net(settings.width), rule, values, data, keys, **options)
    curves = dict(zip(NETWORKS, runs.train_accuracy, strict=True))
    shuffled = data.train._replace(labels=np.random.default_rng(0).permutation(data.train.labels))
    wrong = train_many(
        Net(settings.width), rule, values, data._replace(train=shuffled), keys, **options
    )
    curves["labels shuffled"] = wrong.train_accuracy[0]
    caught = {name: 1.0 * (curve.max(-1) < 1) for name, curve in curves.items()}
    figure, (left, right) = figures.new(2)
    for (name, curve), color in zip(curves.items(), figures.COLORS, strict=True):
        figures.band(left, runs.steps, 100 * curve, name, color)
    left.set(xlabel="step", ylabel="training accuracy, %", ylim=(0, 103))
    left.set_title("colors as on the right")
    names = list(caught)
    right.barh(names, [caught[n].mean() for n in names], color=figures.COLORS)
    right.invert_yaxis()
    right.set(xlabel="share of keys that do not reach 100 %", xlim=(0, 1.02))
    broken = [name for name in NETWORKS if name != "sound"]
    return Outcome(
        effects=[
            effect("sound network learns by heart", 1 - caught["sound"], above(0.5),
                   method="share"),
            *(effect(f"caught: {n}", caught[n], above(0.5), method="share") for n in broken),
            effect("caught: labels shuffled", caught["labels shuffled"], method="share"),
        ],
        figure=figure,
        remarks=[
            f"{len(data.train.labels)} images, {settings.steps} steps. With shuffled labels "
            f"{100 * (1 - caught['labels shuffled'].mean()):.0f} % of the keys reach 100 % as well."
        ],
    )  # fmt: skip


CLAIM = Claim(
    sentence="A network that can't overfit a small set is broken, and broken ones are so caught",
    notes="L115",
    row="C14",
    experiment="A network of one hidden layer on 40 images, full batches, sound and with five "
    "faults put into its first weights or its rate; caught is what does not classify all 40 "
    "within the steps. The claim fails for faults that still learn by heart, and if the sound "
    "network does not.",
    measure=measure,
    full=FewImages(),
    quick=FewImages(keys=6, steps=80, width=32),
    tiny=FewImages(keys=2, steps=4, width=8),
)
