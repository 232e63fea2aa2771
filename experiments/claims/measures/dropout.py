"""Networks with units or weights dropped at random: accuracy, and the average of masks."""

from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnets import optim
from jaxnets.nn import Dense
from jaxnets.ops import drop_connect, drop_connect_at_test, dropout, he_normal, relu
from jaxnets.study.claims import Outcome, TrainingSettings
from jaxnets.study.effects import above, points, within
from jaxnets.study.figures import COLORS, band, curves_and_dots, dots, new_figure
from jaxnets.study.training import Runs, best


class Net(nn.Module):
    """Two dense hidden layers; units of both dropped, or weights of the second.

    The rate is a parameter that never gets a gradient: so one compiled program serves all rates.
    """

    kind: str = "dropout"
    width: int = 128

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        rate = lax.stop_gradient(self.param("rate", nn.initializers.zeros, ()))
        x = relu(Dense(self.width, name="fc1")(x.reshape(x.shape[0], -1)))
        if self.kind == "dropout":
            x = dropout(self.make_rng("dropout"), x, rate) if train else x
            x = relu(Dense(self.width, name="fc2")(x))
            x = dropout(self.make_rng("dropout"), x, rate) if train else x
        else:
            kernel = self.param("kernel2", he_normal, (x.shape[-1], self.width))
            bias = self.param("bias2", nn.initializers.zeros, (self.width,))
            if train:
                key = self.make_rng("dropout")
                x = relu(drop_connect(key, x, kernel, bias, rate, scale_in_training=True))
            else:
                x = drop_connect_at_test(
                    x, kernel, bias, rate, activation=relu, samples=32, scale_in_training=True
                )
        return Dense(10, name="classifier")(x)


@dataclass(frozen=True, kw_only=True)
class Noisy(TrainingSettings):
    """Learning rates, each tried with and without noise.

    Attributes:
        kind: "dropout" of units, or "drop_connect" of weights.
        rates: learning rates of momentum.
        drop: share of units or weights dropped.
    """

    kind: str = "dropout"
    rates: tuple[float, ...] = (0.02, 0.1)
    drop: float = 0.5
    width: int = 128
    steps: int = 400
    batch_size: int = 32
    evaluations: int = 20


def momentum_of(value):
    """The rule: momentum 0.9."""
    return optim.momentum(value["rate"])


def with_drop(params, value):
    """The first parameters, with the rate of the noise."""
    return {**params, "rate": jnp.asarray(value["drop"], jnp.float32)}


def sweep(settings: Noisy) -> dict[bool, tuple[Runs, int, float]]:
    """With and without noise, each at its best learning rate: (runs, its place there, rate)."""
    count = len(settings.rates)
    runs = settings.runs(
        Net(settings.kind, settings.width),
        momentum_of,
        {
            "rate": np.tile(np.float32(settings.rates), 2),
            "drop": np.repeat(np.float32([settings.drop, 0.0]), count),
        },
        start=with_drop,
    )
    found = {}
    for noisy, places in ((True, range(count)), (False, range(count, 2 * count))):
        place = places[best(-runs.accuracy[list(places)])]
        found[noisy] = runs, place, settings.rates[place % count]
    return found


def accuracies(apply, variables, images, labels) -> jax.Array:
    """In per cent, of every key's variables: (keys,)."""
    logits = jax.vmap(lambda v: apply(v, images))(variables)
    return 100 * (logits.argmax(-1) == labels[None]).mean(-1)


def with_and_without(settings: Noisy) -> Outcome:
    """Does noise help a network that learns few images, each side at its best learning rate?"""
    name = {"dropout": "dropout", "drop_connect": "DropConnect"}[settings.kind]
    found = sweep(settings)
    names = {
        noisy: f"{name if noisy else 'none'}, rate {rate:g}"
        for noisy, (_, _, rate) in found.items()
    }
    accuracy = {noisy: runs.accuracy[place] for noisy, (runs, place, _) in found.items()}
    gap = {
        noisy: 100 * (runs.train_accuracy[place, :, -1] - runs.test_accuracy[place, :, -1])
        for noisy, (runs, place, _) in found.items()
    }
    runs = found[True][0]
    top = max((100 - a).max() for a in accuracy.values())
    figure = curves_and_dots(
        runs.steps,
        {names[n]: 100 * (1 - runs.test_accuracy[place]) for n, (_, place, _) in found.items()},
        {names[n]: accuracy[n] for n in found},
        left={"xlabel": "step", "ylabel": "test error, %", "ylim": (0, 3 * top)},
        right={"xlabel": "test accuracy, %"},
    )
    return Outcome(
        effects=[
            points(
                f"test accuracy, with {name} minus without",
                accuracy[True] - accuracy[False],
                above(0),
            ),
            points("training minus test accuracy, with minus without", gap[True] - gap[False]),
        ],
        figure=figure,
        remarks=[
            f"Test accuracy with {name} {accuracy[True].mean():.2f} %, without "
            f"{accuracy[False].mean():.2f} %."
        ],
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


def masks_as_an_ensemble(settings: Masks) -> Outcome:
    """Is a network trained with dropout an ensemble, and is weight scaling its average?"""
    data, model = settings.data(), Net("dropout", settings.width)
    runs = settings.runs(
        model,
        momentum_of,
        {"rate": np.float32(settings.rates[0]), "drop": np.float32(settings.drop)},
        data=data,
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
    figure, (left, right) = new_figure(2)
    counts = np.arange(1, settings.masks + 1)
    band(left, counts, average, "average of so many masks", COLORS[0])
    left.axhline(scaled.mean(), color="0.3", lw=1, ls="--", label="all units, weights scaled")
    left.set(xlabel="masks", ylabel="test accuracy, %")
    left.legend(fontsize=9)
    names = ["a single mask", f"average of {settings.masks} masks", "all units, weights scaled"]
    dots(right, names, [one, many, scaled])
    right.set(xlabel="test accuracy, %")
    return Outcome(
        effects=[
            points("accuracy, average of masks minus one mask", many - one, above(0)),
            points("accuracy, weight scaling minus one mask", scaled - one, above(0)),
            points("accuracy, weight scaling minus average", scaled - many, within(-0.5, 0.5)),
        ],
        figure=figure,
        remarks=[
            f"One mask {one.mean():.2f} %, {settings.masks} averaged {many.mean():.2f} %, weight "
            f"scaling in one pass {scaled.mean():.2f} %."
        ],
    )
