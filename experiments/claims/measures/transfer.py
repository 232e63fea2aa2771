"""What a pretrained network is worth on few examples of other classes."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.measures import dense
from jaxnets.study.claims import Outcome, Settings
from jaxnets.study.effects import above, at_most, points
from jaxnets.study.figures import COLORS, band, dots, new_figure
from jaxnets.study.sweep import make_keys


@dataclass(frozen=True, kw_only=True)
class SmallSet(Settings):
    """The source network knows the classes 0 to 4; few examples of 5 to 9 are learned after it.

    Attributes:
        rates: fine-tuning and training from scratch get the best of them.
        width: of both hidden layers.
        source_rate: of the source network's training.
        source_steps: of the source network's training.
        steps: of fine-tuning, and of training from scratch.
    """

    rates: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1)
    width: int = 64
    source_rate: float = 0.05
    source_steps: int = 600
    steps: int = 300


def pretrained(settings: SmallSet):
    """The network, and the source networks' parameters, one a key."""
    model = dense.network(settings.width, 2, 5)
    return model, dense.pretrain(
        model,
        dense.classes_of(settings.data(), range(5)),
        make_keys(settings.keys),
        steps=settings.source_steps,
        rate=settings.source_rate,
    )


@dataclass(frozen=True, kw_only=True)
class SmallSimilar(SmallSet):
    """The new classes are images of the same kind.

    Attributes:
        sizes: examples of each new class, smallest first; the first two are "small".
    """

    sizes: tuple[int, ...] = (5, 20, 200)


def small_and_similar(settings: SmallSimilar) -> Outcome:
    """A small set like that of the source network: only a linear classifier, or all layers?"""
    data, keys = settings.data(), make_keys(settings.keys)
    model, source = pretrained(settings)
    target = dense.classes_of(data, range(5, 10))
    found = {
        size: dense.small_set_transfer(
            model, source, target, keys, per_class=size, rates=settings.rates, steps=settings.steps
        )
        for size in settings.sizes
    }
    figure, (left, right) = new_figure(2)
    for way, color in zip(dense.WAYS, COLORS, strict=False):
        curve = np.stack([found[size][way] for size in settings.sizes], 1)
        band(left, settings.sizes, curve, way, color, marker="o")
    left.set(xscale="log", xlabel="examples of each class", ylabel="test accuracy, %")
    left.set_xticks(settings.sizes, [str(size) for size in settings.sizes])
    left.minorticks_off()
    left.legend(fontsize=8)
    rows = [found[size]["probe"] - found[size]["full"] for size in settings.sizes]
    dots(right, [f"{size} a class" for size in settings.sizes], rows)
    right.axvline(0, color="0.5", lw=1)
    right.set(xlabel="linear classifier − fine-tuning, points")
    effects = [
        points(f"linear − all layers, {size} a class", row, above(0) if place < 2 else None)
        for place, (size, row) in enumerate(zip(settings.sizes, rows, strict=True))
    ]
    size = settings.sizes[0]
    gain = found[size]["probe"] - found[size]["scratch"]
    effects.append(points(f"linear − from scratch, {size} a class", gain))
    return Outcome(effects=effects, figure=figure)


@dataclass(frozen=True, kw_only=True)
class SmallDifferent(SmallSet):
    """The images of the new classes have their pixels scrambled.

    Attributes:
        per_class: examples of each new class.
    """

    per_class: int = 10


def small_and_different(settings: SmallDifferent) -> Outcome:
    """A small set unlike that of the source network: what is it worth then?"""
    data, keys = settings.data(), make_keys(settings.keys)
    model, source = pretrained(settings)
    found = {
        kind: dense.small_set_transfer(
            model,
            source,
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

    figure, (left, right) = new_figure(2)
    for ax, kind in ((left, "similar"), (right, "different")):
        dots(ax, list(dense.WAYS), [found[kind][way] for way in dense.WAYS])
        ax.set(xlabel="test accuracy, %", title=f"{kind}, {settings.per_class} a class")
    low = min(left.get_xlim()[0], right.get_xlim()[0])
    high = max(left.get_xlim()[1], right.get_xlim()[1])
    left.set_xlim(low, high)
    right.set_xlim(low, high)
    loss = transferred("similar") - transferred("different")
    worth = {kind: transferred(kind) - found[kind]["scratch"] for kind in found}
    return Outcome(
        effects=[
            points("best transfer, similar − different", loss, above(0)),
            points("best transfer − scratch, different", worth["different"], at_most(1)),
            points("best transfer − scratch, similar", worth["similar"]),
        ],
        figure=figure,
        remarks=[
            "From scratch both tasks are equally hard for a fully connected network: "
            f"{found['similar']['scratch'].mean():.1f} % and "
            f"{found['different']['scratch'].mean():.1f} %."
        ],
    )


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


def layers_by_depth(settings: Halves) -> Outcome:
    """AnB and BnB (Yosinski et al. 2014) with fully connected networks."""
    data, keys = settings.data(), make_keys(settings.keys)
    model = dense.network(settings.width, settings.depth, 5)
    a, b = (dense.classes_of(data, half) for half in (range(5), range(5, 10)))
    options = {"steps": settings.steps, "rate": settings.rate}
    sources = {
        "AnB": dense.pretrain(model, a, keys, **options),
        "BnB": dense.pretrain(model, b, keys, **options),
    }
    fresh = dense.initial(model, b.image_shape, keys)
    rows = np.stack([dense.sample(b.train, settings.per_class, int(k)) for k in keys])
    hidden = [f"fc{i}" for i in range(1, settings.depth + 1)]
    # One run a (source, n, key): n layers from the source with factor 0, the others new.
    starts, frozen = [], []
    for source in sources.values():
        for n in range(1, settings.depth + 1):
            starts.append({k: source[k] if k in hidden[:n] else fresh[k] for k in fresh})
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
    found = dict(zip(sources, found.reshape(2, settings.depth, count), strict=True))
    base = np.asarray(dense.accuracies(model, sources["BnB"], b.test))
    figure, (left, right) = new_figure(2)
    numbers = np.arange(1, settings.depth + 1)
    for kind, color in zip(found, COLORS, strict=False):
        band(left, numbers, (found[kind] - base).T, kind, color, marker="o")
    left.axhline(0, color="0.5", lw=1)
    left.set(xlabel="layers copied and frozen", ylabel="points above the network for B")
    left.set_xticks(numbers)
    left.legend(fontsize=8)
    drop = found["AnB"][0] - found["AnB"][-1]
    dots(right, [f"n = {n}" for n in numbers], list(found["BnB"] - found["AnB"]))
    right.axvline(0, color="0.5", lw=1)
    right.set(xlabel="BnB − AnB, points: specific to A")
    return Outcome(
        effects=[
            points(f"AnB, n = 1 − n = {settings.depth}", drop, above(0)),
            points(
                f"BnB − AnB, n = {settings.depth}", found["BnB"][-1] - found["AnB"][-1], above(0)
            ),
            points("BnB − AnB, n = 1", found["BnB"][0] - found["AnB"][0]),
        ],
        figure=figure,
        remarks=[f"The networks trained on B reach {base.mean():.1f} %."],
    )
