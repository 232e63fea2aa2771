"""The network and the two losses that the claims about label smoothing share."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.framework import Data, Runs, Settings, best, make_keys, train_many
from jaxnets import optim
from jaxnets.losses import confidence_penalty, cross_entropy
from jaxnets.metrics import expected_calibration_error, within_between_ratio
from jaxnets.models.mlp import MLP

SMOOTHING, PENALTY = 0.1, 0.3


@dataclass(frozen=True, kw_only=True)
class Smoothing(Settings):
    """A network with two hidden layers, and its training.

    Attributes:
        rates: learning rates of momentum; each loss gets the one with the best test accuracy.
    """

    width: int = 128
    rates: tuple[float, ...] = (0.005, 0.015, 0.05)
    steps: int = 600
    batch: int = 32
    evaluations: int = 10


QUICK = {"rates": (0.02,), "keys": 5, "train": 300, "width": 64, "steps": 200}
TINY = {
    "rates": (0.05,),
    "keys": 2,
    "train": 100,
    "test": 100,
    "width": 16,
    "steps": 4,
    "evaluations": 2,
}


def smoothed(logits, labels):
    """Cross entropy with label smoothing ε = 0.1."""
    return cross_entropy(logits, labels, label_smoothing=SMOOTHING)


def penalized(logits, labels):
    """Cross entropy with the confidence penalty β = 0.3."""
    return cross_entropy(logits, labels) + confidence_penalty(logits, strength=PENALTY)


def network(settings: Smoothing) -> MLP:
    return MLP(10, hidden=(settings.width, settings.width))


def train(settings: Smoothing, data: Data, loss) -> Runs:
    """The runs at the learning rate that suits this loss best."""
    runs = train_many(
        network(settings),
        optim.momentum,
        np.float32(settings.rates),
        data,
        make_keys(settings.keys),
        steps=settings.steps,
        batch_size=settings.batch,
        evaluations=settings.evaluations,
        loss_fn=loss,
    )
    place = best(100 - runs.accuracy)
    return jax.tree.map(lambda x: x[place], runs._replace(steps=None))._replace(steps=runs.steps)


@partial(jax.jit, static_argnums=0)
def examine(model: MLP, variables, images, labels) -> dict[str, jax.Array]:
    """Of every key: calibration error (%), accuracy (%), loss, tightness; logits, features."""

    def one(variables):
        features = model.clone(num_classes=None).apply(variables, images)["fc2"]
        logits = model.apply(variables, images)
        confidence = jax.nn.softmax(logits).max(-1)
        return {
            "ece": 100 * expected_calibration_error(logits, labels),
            "confidence": 100 * confidence.mean(),
            "accuracy": 100 * (logits.argmax(-1) == labels).mean(),
            "loss": cross_entropy(logits, labels),
            "tightness": within_between_ratio(features, labels),
            "logits": logits,
            "features": features,
        }

    return jax.vmap(one)(variables)


def examined(settings: Smoothing, data: Data, loss) -> tuple[Runs, dict[str, np.ndarray]]:
    """Trained with a loss, and examined on the test images."""
    runs = train(settings, data, loss)
    found = examine(network(settings), runs.variables, *data.test)
    return runs, jax.tree.map(np.asarray, found)


def template_kernel(runs: Runs, key: int) -> jnp.ndarray:
    """The classifier's kernel of one key, (width, 10)."""
    return runs.variables["params"]["classifier"]["kernel"][key]
