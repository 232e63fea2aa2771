"""Does batch normalization reach a training loss in fewer steps?"""

from dataclasses import dataclass

import numpy as np

from experiments.claims._batch_norm import QUICK, QUICK_RATES, TINY, Sweep, train
from experiments.claims.framework import Claim, Outcome, above, best, effect, figures, steps_to


@dataclass(frozen=True, kw_only=True)
class Race(Sweep):
    """Steps to a training loss, at the best rate of each."""

    target: float = 0.1


def measure(settings: Race) -> Outcome:
    needed, curves, rates = {}, {}, {}
    for norm in (True, False):
        runs = train(settings, norm)
        by_rate = steps_to(runs.steps, runs.train_loss, settings.target)
        chosen = best(np.log(by_rate + 1))
        needed[norm] = np.maximum(by_rate[chosen], 1)
        curves[norm], rates[norm] = runs.train_loss[chosen], settings.rates[chosen]
    figure, (left, right) = figures.new(2)
    left.set_yscale("log")
    names = {n: f"{'with BN' if n else 'without'}, rate {rates[n]:g}" for n in needed}
    for color, norm in zip(figures.COLORS, names, strict=False):
        figures.band(left, runs.steps, curves[norm], names[norm], color)
    left.axhline(settings.target, color="0.5", lw=1, ls="--")
    left.set(xlabel="step", ylabel="training loss", ylim=(1e-3, 4))
    left.legend(fontsize=9)
    figures.dots(right, ["with BN", "without"], list(needed.values()))
    right.set(xlabel=f"steps to a training loss of {settings.target:g}", xlim=(0, None))
    return Outcome(
        effects=[
            effect(
                "steps needed, without BN / with",
                needed[False] / needed[True],
                above(1),
                unit="×",
                method="log",
            )
        ],
        figure=figure,
    )


CLAIM = Claim(
    sentence="Batch normalization speeds up convergence",
    notes="L40",
    row="A15",
    experiment="Four hidden layers with and without batch normalization, plain SGD, each at the "
    "fastest of the same ladder of rates; counted are the steps to a training loss, measured in "
    "evaluation mode.",
    measure=measure,
    full=Race(
        dataset="mnist",
        train=5000,
        test=1000,
        keys=8,
        rates=(0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2),
    ),
    quick=Race(rates=QUICK_RATES, **QUICK),
    tiny=Race(rates=(0.1, 1.0), **TINY),
)
