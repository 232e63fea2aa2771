"""A small set like the donor's: only a linear classifier, or all layers?"""

from dataclasses import dataclass

import numpy as np

from experiments.claims.framework import Claim, Outcome, Settings, above, effect, figures, make_keys
from experiments.transfer_study import dense


@dataclass(frozen=True, kw_only=True)
class SmallSimilar(Settings):
    """The donor knows the classes 0 to 4; the new ones are 5 to 9.

    Attributes:
        sizes: examples of each new class, smallest first; the first two are "small".
        rates: fine-tuning gets the best of them.
    """

    sizes: tuple[int, ...] = (5, 20, 200)
    rates: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1)
    width: int = 64
    donor_rate: float = 0.05
    donor_steps: int = 600
    steps: int = 300


def measure(settings: SmallSimilar) -> Outcome:
    data, keys = settings.data(), make_keys(settings.keys)
    model = dense.network(settings.width, 2, 5)
    donor = dense.donors(
        model,
        dense.classes_of(data, range(5)),
        keys,
        steps=settings.donor_steps,
        rate=settings.donor_rate,
    )
    target = dense.classes_of(data, range(5, 10))
    found = {
        size: dense.small_set_transfer(
            model, donor, target, keys, per_class=size, rates=settings.rates, steps=settings.steps
        )
        for size in settings.sizes
    }
    figure, (left, right) = figures.new(2)
    for way, color in zip(dense.WAYS, figures.COLORS, strict=False):
        curve = np.stack([found[size][way] for size in settings.sizes], 1)
        figures.band(left, settings.sizes, curve, way, color, marker="o")
    left.set(xscale="log", xlabel="examples of each class", ylabel="test accuracy, %")
    left.set_xticks(settings.sizes, [str(size) for size in settings.sizes])
    left.minorticks_off()
    left.legend(fontsize=8)
    rows = [found[size]["probe"] - found[size]["full"] for size in settings.sizes]
    figures.dots(right, [f"{size} a class" for size in settings.sizes], rows)
    right.axvline(0, color="0.5", lw=1)
    right.set(xlabel="linear classifier − fine-tuning, points")
    effects = [
        effect(
            f"linear − all layers, {size} a class",
            row,
            above(0) if place < 2 else None,
            unit="points",
        )
        for place, (size, row) in enumerate(zip(settings.sizes, rows, strict=True))
    ]
    size = settings.sizes[0]
    gain = found[size]["probe"] - found[size]["scratch"]
    effects.append(effect(f"linear − from scratch, {size} a class", gain, unit="points"))
    return Outcome(effects=effects, figure=figure)


CLAIM = Claim(
    sentence="With a small set of similar data, train only the linear classifier",
    notes="L166-L168",
    row="E01",
    experiment="Networks learn half of the classes; a few examples of the other half are learned "
    "by a linear classifier on the last hidden layer (L-BFGS), or by fine-tuning all layers at the "
    "best of a grid of rates. It fails where fine-tuning is more accurate.",
    measure=measure,
    full=SmallSimilar(dataset="mnist", train=10_000, test=2000, keys=8),
    quick=SmallSimilar(keys=3, sizes=(5, 20), rates=(0.01, 0.1), donor_steps=100, steps=60),
    tiny=SmallSimilar(keys=2, sizes=(2, 3), rates=(0.1,), width=8, donor_steps=10, steps=4),
)
