"""Steps of training from raw, centered and standardized pixels."""

from dataclasses import dataclass

import numpy as np

from experiments.claims.framework import (
    Claim,
    Data,
    Outcome,
    Part,
    Settings,
    above,
    best,
    effect,
    figures,
    make_keys,
    steps_to,
    train_many,
)
from jaxnets import optim
from jaxnets.models.mlp import MLP


@dataclass(frozen=True, kw_only=True)
class Inputs(Settings):
    """Each kind of input gets the best of the rates, which span the scales of all."""

    rates: tuple[float, ...] = tuple(float(f"{r:.3g}") for r in np.geomspace(1e-3, 3, 12))
    hidden: tuple[int, ...] = (64,)
    steps: int = 1000
    evaluations: int = 50
    target: float = 0.2


def variants(data: Data) -> dict[str, Data]:
    """The same images on three scales, all fitted to the training part."""
    low, high = data.train.images.min(), data.train.images.max()
    unit = [(part.images - low) / (high - low) for part in (data.train, data.test)]
    mean, std = unit[0].mean(0), unit[0].std(0)

    def build(change):
        parts = [
            Part(change(x), part.labels)
            for x, part in zip(unit, (data.train, data.test), strict=True)
        ]
        return data._replace(train=parts[0], test=parts[1])

    return {
        "raw (0 to 1)": build(lambda x: x),
        "mean subtracted": build(lambda x: x - mean),
        # The floor keeps pixels that hardly ever change from dominating.
        "standardized": build(lambda x: (x - mean) / np.maximum(std, 0.05)),
    }


def measure(settings: Inputs) -> Outcome:
    needed, curves = {}, {}
    for name, data in variants(settings.data()).items():
        runs = train_many(
            MLP(10, settings.hidden),
            optim.sgd,
            np.float32(settings.rates),
            data,
            make_keys(settings.keys),
            steps=settings.steps,
            evaluations=settings.evaluations,
        )
        by_rate = steps_to(runs.steps, runs.train_loss, settings.target)
        chosen = best(np.log(by_rate + 1))
        needed[name] = np.maximum(by_rate[chosen], 1)
        curves[f"{name}, rate {settings.rates[chosen]:g}"] = runs.train_loss[chosen]
    figure, (left, right) = figures.new(2)
    left.set_yscale("log")
    for color, (name, curve) in zip(figures.COLORS, curves.items(), strict=False):
        figures.band(left, runs.steps, curve, name, color)
    left.axhline(settings.target, color="0.5", lw=1, ls="--")
    left.set(xlabel="step", ylabel="training loss", ylim=(settings.target / 4, 3))
    left.legend(fontsize=8)
    figures.dots(right, list(needed), list(needed.values()))
    right.set(xlabel=f"steps to a training loss of {settings.target:g}", xlim=(0, None))
    raw, centered, scaled = needed.values()
    return Outcome(
        effects=[
            effect("steps, raw / standardized", raw / scaled, above(1), unit="×", method="log"),
            effect(
                "steps, raw / mean subtracted", raw / centered, above(1), unit="×", method="log"
            ),
        ],
        figure=figure,
    )


CLAIM = Claim(
    sentence="Subtract the mean and standardize the inputs: training needs fewer steps",
    notes="L6, L27",
    row="A11",
    experiment="One hidden layer, plain SGD, on pixels from 0 to 1, with the mean image taken off, "
    "and with each pixel standardized as well. Each at the fastest of the same rates; counted are "
    "the steps to a training loss.",
    measure=measure,
    full=Inputs(dataset="mnist", train=5000, test=500, keys=6),
    quick=Inputs(keys=3, steps=120, evaluations=20, rates=(0.03, 0.1, 0.3, 1.0), target=0.4),
    tiny=Inputs(keys=2, train=100, steps=2, evaluations=1, rates=(0.1,)),
)
