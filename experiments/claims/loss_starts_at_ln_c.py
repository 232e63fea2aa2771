"""Does the loss of an untrained network start at ln C?"""

import math
from dataclasses import dataclass

import jax
import numpy as np

from experiments.claims.framework import (
    Claim,
    Outcome,
    Settings,
    effect,
    figures,
    make_keys,
    within,
)
from jaxnets import create_model
from jaxnets.losses import cross_entropy
from jaxnets.tune import with_small_last_layer
from jaxnets.tune.objective import training_logits


@dataclass(frozen=True, kw_only=True)
class Start(Settings):
    """Registered networks."""

    models: tuple[str, ...] = ("mlp", "lenet5", "resnet20")
    examples: int = 256


def measure(settings: Start) -> Outcome:
    data, keys = settings.data(), make_keys(settings.keys)
    expected = math.log(data.num_classes)
    usual, small, spread = {}, {}, {}
    for name in settings.models:
        found = np.array(_losses(name, data, keys, settings.examples))
        usual[name], small[name] = found[:, 0] - expected, found[:, 1] - expected
        spread[name] = found[:, 2]
    figure, (left, right) = figures.new(2)
    figures.dots(left, list(usual), list(usual.values()))
    left.set(xlabel="first loss − ln C", title="as initialized")
    figures.dots(right, list(small), list(small.values()))
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


CLAIM = Claim(
    sentence="The loss of a correct, untrained network starts at ln C",
    notes="L114",
    row="C13",
    experiment="Registered networks on standardized images, before any step, in training mode: "
    "cross entropy minus ln C, as they are initialized (wanted within 0.1) and with a last layer "
    "drawn from N(0, 0.001²) (wanted within 0.01). It fails where the logits start so large that "
    "the network is confidently wrong.",
    measure=measure,
    full=Start(),
    quick=Start(keys=5, models=("mlp",)),
    tiny=Start(keys=2, models=("mlp",), examples=32),
)
