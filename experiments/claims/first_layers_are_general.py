"""AnB and BnB (Yosinski et al. 2014) with fully connected networks."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.framework import Claim, Outcome, Settings, above, effect, figures, make_keys
from experiments.transfer_study import dense


@dataclass(frozen=True, kw_only=True)
class Halves(Settings):
    """A: the classes 0 to 4; B: 5 to 9.

    Attributes:
        depth: hidden layers, copied and frozen from the first up to each of them.
        per_class: examples of each class of B.
    """

    depth: int = 4
    width: int = 32
    per_class: int = 400
    rate: float = 0.03
    steps: int = 600


def measure(settings: Halves) -> Outcome:
    data, keys = settings.data(), make_keys(settings.keys)
    model = dense.network(settings.width, settings.depth, 5)
    a, b = (dense.classes_of(data, half) for half in (range(5), range(5, 10)))
    options = {"steps": settings.steps, "rate": settings.rate}
    donors = {
        "AnB": dense.donors(model, a, keys, **options),
        "BnB": dense.donors(model, b, keys, **options),
    }
    fresh = dense.initial(model, b.image_shape, keys)
    rows = np.stack([dense.few(b.train, settings.per_class, int(k)) for k in keys])
    hidden = [f"fc{i}" for i in range(1, settings.depth + 1)]
    # One run a (donor, n, key): n layers from the donor with factor 0, the others new.
    starts, frozen = [], []
    for donor in donors.values():
        for n in range(1, settings.depth + 1):
            starts.append({k: donor[k] if k in hidden[:n] else fresh[k] for k in fresh})
            frozen.append(hidden[:n])
    count = len(keys)
    ends = dense.train_runs(
        model,
        jax.tree.map(lambda *x: jnp.concatenate(x), *starts),
        {k: jnp.float32(np.repeat([k not in f for f in frozen], count)) for k in fresh},
        jnp.full(count * len(frozen), settings.rate),
        jnp.asarray(np.tile(rows, (len(frozen), 1))),
        jnp.tile(jnp.asarray(keys, jnp.uint32), len(frozen)),
        b.train,
        steps=settings.steps,
        batch_size=min(32, rows.shape[1]),
    )
    found = np.asarray(dense.accuracies(model, ends, b.test))
    found = dict(zip(donors, found.reshape(2, settings.depth, count), strict=True))
    base = np.asarray(dense.accuracies(model, donors["BnB"], b.test))
    figure, (left, right) = figures.new(2)
    numbers = np.arange(1, settings.depth + 1)
    for kind, color in zip(found, figures.COLORS, strict=False):
        figures.band(left, numbers, (found[kind] - base).T, kind, color, marker="o")
    left.axhline(0, color="0.5", lw=1)
    left.set(xlabel="layers copied and frozen", ylabel="points above the network for B")
    left.set_xticks(numbers)
    left.legend(fontsize=8)
    drop = found["AnB"][0] - found["AnB"][-1]
    figures.dots(right, [f"n = {n}" for n in numbers], list(found["BnB"] - found["AnB"]))
    right.axvline(0, color="0.5", lw=1)
    right.set(xlabel="BnB − AnB, points: specific to A")
    return Outcome(
        effects=[
            effect(f"AnB, n = 1 − n = {settings.depth}", drop, above(0), unit="points"),
            effect(
                f"BnB − AnB, n = {settings.depth}",
                found["BnB"][-1] - found["AnB"][-1],
                above(0),
                unit="points",
            ),
            effect("BnB − AnB, n = 1", found["BnB"][0] - found["AnB"][0], unit="points"),
        ],
        figure=figure,
        remarks=[f"The networks trained on B reach {base.mean():.1f} %."],
    )


CLAIM = Claim(
    sentence="The first layers of a network are general, the last ones specific to its task",
    notes="L190",
    row="E03",
    experiment="Networks of fully connected layers are trained on half of the classes (A) and on "
    "the other half (B); their first n layers are copied and frozen, and new layers behind them "
    "are trained on B. It fails where the layers from A are as good at the last layer as at the "
    "first, or as good there as those from B.",
    measure=measure,
    full=Halves(dataset="mnist", train=10_000, test=2000, keys=8),
    quick=Halves(keys=3, depth=3, per_class=60, steps=100),
    tiny=Halves(keys=2, depth=2, width=8, per_class=5, steps=10),
)
