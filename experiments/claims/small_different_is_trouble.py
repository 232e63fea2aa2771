"""A small set unlike the donor's: what is a donor worth then?"""

from dataclasses import dataclass

import numpy as np

from experiments.claims.framework import (
    Claim,
    Outcome,
    Settings,
    above,
    at_most,
    effect,
    figures,
    make_keys,
)
from experiments.transfer_study import dense


@dataclass(frozen=True, kw_only=True)
class SmallDifferent(Settings):
    """The donor knows the classes 0 to 4; the new ones are 5 to 9, their pixels scrambled.

    Attributes:
        per_class: examples of each new class.
        rates: fine-tuning and training from scratch get the best of them.
    """

    per_class: int = 10
    rates: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1)
    width: int = 64
    donor_rate: float = 0.05
    donor_steps: int = 600
    steps: int = 300


def measure(settings: SmallDifferent) -> Outcome:
    data, keys = settings.data(), make_keys(settings.keys)
    model = dense.network(settings.width, 2, 5)
    donor = dense.donors(
        model,
        dense.classes_of(data, range(5)),
        keys,
        steps=settings.donor_steps,
        rate=settings.donor_rate,
    )
    found = {
        kind: dense.small_set_transfer(
            model,
            donor,
            dense.classes_of(data, range(5, 10), scrambled=kind == "different"),
            keys,
            per_class=settings.per_class,
            rates=settings.rates,
            steps=settings.steps,
        )
        for kind in ("similar", "different")
    }

    def transferred(kind: str) -> np.ndarray:
        """The better of the two ways, for the mean over keys."""
        return max((found[kind][way] for way in ("probe", "full")), key=np.mean)

    figure, (left, right) = figures.new(2)
    for ax, kind in ((left, "similar"), (right, "different")):
        figures.dots(ax, list(dense.WAYS), [found[kind][way] for way in dense.WAYS])
        ax.set(xlabel="test accuracy, %", title=f"{kind}, {settings.per_class} a class")
    low = min(left.get_xlim()[0], right.get_xlim()[0])
    high = max(left.get_xlim()[1], right.get_xlim()[1])
    left.set_xlim(low, high)
    right.set_xlim(low, high)
    loss = transferred("similar") - transferred("different")
    worth = {kind: transferred(kind) - found[kind]["scratch"] for kind in found}
    return Outcome(
        effects=[
            effect("best transfer, similar − different", loss, above(0), unit="points"),
            effect(
                "best transfer − scratch, different", worth["different"], at_most(1), unit="points"
            ),
            effect("best transfer − scratch, similar", worth["similar"], unit="points"),
        ],
        figure=figure,
        remarks=[
            "From scratch both tasks are equally hard for a fully connected network: "
            f"{found['similar']['scratch'].mean():.1f} % and "
            f"{found['different']['scratch'].mean():.1f} %."
        ],
    )


CLAIM = Claim(
    sentence="With a small set of different data, a pretrained network leaves one in trouble",
    notes="L166-L168",
    row="E01",
    experiment="As for similar data, but the new images have their pixels in one fixed random "
    "order, which changes nothing for a network from scratch. In trouble means: transfer, the "
    "better of linear classifier and fine-tuning, is worse than for similar data, and at most one "
    "point better than training from scratch at the best of the same rates.",
    measure=measure,
    full=SmallDifferent(dataset="mnist", train=10_000, test=2000, keys=8),
    quick=SmallDifferent(keys=3, rates=(0.01, 0.1), donor_steps=100, steps=60),
    tiny=SmallDifferent(keys=2, per_class=3, rates=(0.1,), width=8, donor_steps=10, steps=4),
)
