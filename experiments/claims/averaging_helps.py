"""Are averaged parameters better than the last ones?"""

import jax.numpy as jnp
import numpy as np
import optax

from experiments.claims._rates import NET, QUICK, TINY, Tuning, schedule
from experiments.claims.framework import (
    Claim,
    Outcome,
    above,
    below,
    best,
    effect,
    figures,
    make_keys,
    train_many,
)
from jaxnets import optim
from jaxnets.losses import cross_entropy

DECAY = 0.98


def averaged_momentum(value):
    rule = optim.momentum(schedule(value))
    return optax.chain(rule, optim.track(optim.ema(DECAY, debias=True)))


def averaged(state, data):
    """Test loss and accuracy (%) of the averaged parameters."""
    params = optim.averaged_params(state.opt_state, state.params)
    logits = state.apply_fn({"params": params}, data.test.images)
    hits = (jnp.argmax(logits, -1) == data.test.labels).mean()
    return {"loss": cross_entropy(logits, data.test.labels), "accuracy": 100 * hits}


def measure(settings: Tuning) -> Outcome:
    rates = np.float32(settings.rates)
    runs = train_many(
        NET,
        averaged_momentum,
        {"rate": rates, "floor": np.ones_like(rates), "total": np.ones_like(rates)},
        settings.data(),
        make_keys(settings.keys),
        steps=settings.steps,
        evaluations=settings.evaluations,
        probe=averaged,
    )
    # Each at its own best rate: the average stands a larger one.
    row = {"last": best(-runs.accuracy), "averaged": best(-runs.probe["accuracy"][..., -1])}
    accuracy = {
        "last": runs.accuracy[row["last"]],
        "averaged": runs.probe["accuracy"][row["averaged"], :, -1],
    }
    same = row["last"]
    gain = runs.probe["accuracy"][same, :, -1] - accuracy["last"]
    loss = runs.probe["loss"][same, :, -1] / runs.test_loss[same, :, -1]
    figure, (left, right) = figures.new(2)
    errors = {
        "last": 100 - 100 * runs.test_accuracy[same],
        "averaged": 100 - runs.probe["accuracy"][same],
    }
    for color, (name, curve) in zip(figures.COLORS, errors.items(), strict=False):
        figures.band(left, runs.steps[1:], curve[:, 1:], name, color)
    top = max(curve[:, -1].max() for curve in errors.values())
    left.set(xlabel="step", ylabel="test error, %", ylim=(0, 4 * top))
    left.set_title(f"rate {settings.rates[same]:g}")
    left.legend()
    labels = [f"{name}, rate {settings.rates[r]:g}" for name, r in row.items()]
    figures.dots(right, labels, list(accuracy.values()))
    right.set(xlabel="test accuracy, each at its best rate, %")
    return Outcome(
        effects=[
            effect(
                "test accuracy at the last's best rate, averaged minus last",
                gain,
                above(0),
                unit="points",
            ),
            effect(
                "test loss at the same rate, averaged / last",
                loss,
                below(1),
                unit="×",
                method="log",
            ),
            effect(
                "test accuracy, each at its own best rate, averaged minus last",
                accuracy["averaged"] - accuracy["last"],
                unit="points",
            ),
        ],
        figure=figure,
    )


CLAIM = Claim(
    sentence="Averaged parameters predict better than those of the last step",
    notes="L264",
    row="B15",
    experiment="SGD with momentum at a constant rate, and beside it an exponential average of its "
    "parameters (decay 0.98), both evaluated at the rate of the grid that is best for the last "
    "parameters.",
    measure=measure,
    full=Tuning(
        dataset="mnist", train=10_000, test=5000, keys=8, rates=(0.003, 0.01, 0.03, 0.1, 0.2)
    ),
    quick=Tuning(**QUICK | {"rates": (0.01, 0.1, 0.3)}),
    tiny=Tuning(**TINY),
)
