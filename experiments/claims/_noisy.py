"""The network and the training that the claims about noise share."""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.claims.framework import Data, Runs, Settings, best, make_keys, train_many
from jaxnets import optim
from jaxnets.nn import Dense
from jaxnets.ops import drop_connect, drop_connect_at_test, dropout, he_normal, relu


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
class Noisy(Settings):
    """Learning rates, each tried with and without noise.

    Attributes:
        rates: learning rates of momentum.
        drop: share of units or weights dropped.
    """

    rates: tuple[float, ...] = (0.02, 0.1)
    drop: float = 0.5
    width: int = 128
    steps: int = 400
    batch: int = 32
    evaluations: int = 20


TINY = {"keys": 2, "train": 100, "test": 100, "rates": (0.05,), "steps": 4, "evaluations": 2}


def momentum_of(value):
    """The rule: momentum 0.9."""
    return optim.momentum(value["rate"])


def with_drop(params, value):
    """The first parameters, with the rate of the noise."""
    return {**params, "rate": jnp.asarray(value["drop"], jnp.float32)}


def sweep(settings: Noisy, kind: str, data: Data) -> dict[bool, tuple[Runs, int, float]]:
    """With and without noise, each at its best learning rate: (runs, its place there, rate)."""
    count = len(settings.rates)
    runs = train_many(
        Net(kind, settings.width),
        momentum_of,
        {
            "rate": np.tile(np.float32(settings.rates), 2),
            "drop": np.repeat(np.float32([settings.drop, 0.0]), count),
        },
        data,
        make_keys(settings.keys),
        steps=settings.steps,
        batch_size=settings.batch,
        evaluations=settings.evaluations,
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
