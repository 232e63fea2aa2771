"""Classifiers trained with a smoothed, a penalized or a plain loss, and what they say of images."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.claims.measures.learning_rates import momentum
from jaxnets import augment, optim
from jaxnets.losses import confidence_penalty, cross_entropy
from jaxnets.metrics import expected_calibration_error, within_between_ratio
from jaxnets.models.mlp import MLP
from jaxnets.models.resnet_cifar import ResNetCIFAR
from jaxnets.study.claims import TrainingSettings
from jaxnets.study.sweep import stack
from jaxnets.study.training import Runs, best
from jaxnets.transfer import head_inputs

SMOOTHING, PENALTY, DECAY = 0.1, 0.3, 5e-4


@dataclass(frozen=True, kw_only=True)
class Smoothing(TrainingSettings):
    """A network, dense or residual, and its training.

    Attributes:
        width: of both hidden layers of the dense network.
        widths: of the three stages of a residual network, which takes the dense one's place.
        blocks: of each stage.
        rates: learning rates of momentum; each loss gets the one with the best test accuracy.
    """

    width: int = 128
    widths: tuple[int, ...] = ()
    blocks: int = 3
    rates: tuple[float, ...] = (0.005, 0.015, 0.05)
    steps: int = 600
    batch_size: int = 32
    evaluations: int = 10


def smoothed(logits, labels):
    """Cross entropy with label smoothing ε = 0.1."""
    return cross_entropy(logits, labels, label_smoothing=SMOOTHING)


def penalized(logits, labels):
    """Cross entropy with the confidence penalty β = 0.3."""
    return cross_entropy(logits, labels) + confidence_penalty(logits, strength=PENALTY)


def network(settings: Smoothing) -> nn.Module:
    """Two hidden layers of equal width, or a network like ResNet-20."""
    if settings.widths:
        return ResNetCIFAR(10, blocks=settings.blocks, widths=settings.widths)
    return MLP(10, hidden=(settings.width, settings.width))


def _flip(key, example):
    colors = augment.image_of(example).shape[-1] == 3  # digits have no mirror images
    return augment.random_flip(key, example) if colors else example


mirrored = augment.per_example(_flip)


def falling(value) -> optax.GradientTransformation:
    """Momentum with an L2 penalty, at a rate that falls to zero as a cosine."""
    return optax.chain(optim.l2(DECAY, mask=optim.mask_by_name), momentum(value))


def cosines(rates: tuple[float, ...], steps: int) -> dict[str, Any]:
    """Values of `falling`, one a rate."""
    count = len(rates)
    return {
        "rate": np.float32(rates),
        "floor": np.zeros(count, np.float32),
        "total": np.full(count, steps, np.float32),
    }


def train(settings: Smoothing, loss: Callable) -> Runs:
    """The runs at the learning rate that suits this loss best.

    Residual networks learn from images and their mirror images, at a rate that falls to zero; they
    take minutes, so that the last ones are kept for the other claims about them.
    """
    if settings.widths:
        shared = {f.name: getattr(settings, f.name) for f in dataclasses.fields(Smoothing)}
        return trained_residual(Smoothing(**shared), loss)
    runs = settings.runs(
        network(settings), optim.momentum, np.float32(settings.rates), loss_fn=loss
    )
    return runs.take(best(100 - runs.accuracy))


@functools.lru_cache(maxsize=2)
def trained_residual(settings: Smoothing, loss: Callable) -> Runs:
    """`train` of residual networks."""
    values = cosines(settings.rates, settings.steps)
    runs = settings.runs(network(settings), falling, values, loss_fn=loss, prepare=mirrored)
    return runs.take(best(100 - runs.accuracy))


@functools.partial(jax.jit, static_argnums=0)
def _look(model: nn.Module, variables, images, labels) -> dict[str, Any]:
    logits = model.apply(variables, images, train=False)
    features = head_inputs(model, variables, images)
    return {
        "ece": 100 * expected_calibration_error(logits, labels),
        "confidence": 100 * jax.nn.softmax(logits).max(-1).mean(),
        "accuracy": 100 * (logits.argmax(-1) == labels).mean(),
        "loss": cross_entropy(logits, labels),
        "tightness": within_between_ratio(features, labels),
        "logits": logits,
        "features": features,
    }


def examine(model: nn.Module, variables, images, labels) -> dict[str, np.ndarray]:
    """Of every key: calibration error (%), accuracy (%), loss, tightness; logits, features."""
    keys = len(jax.tree.leaves(variables)[0])
    each = [jax.tree.map(lambda leaf, k=key: leaf[k], variables) for key in range(keys)]
    # One after the other: a convolution with kernels of its own a key is slow on a CPU.
    return jax.tree.map(np.asarray, stack([_look(model, v, images, labels) for v in each]))


def examined(settings: Smoothing, loss: Callable) -> tuple[Runs, dict[str, np.ndarray]]:
    """Trained with a loss, and examined on the test images."""
    runs = train(settings, loss)
    return runs, examine(network(settings), runs.variables, *settings.data().test)


def template_kernel(runs: Runs, key: int) -> jnp.ndarray:
    """The last layer's kernel of one key, (features, 10)."""
    params = runs.variables["params"]
    return params["head" if "head" in params else "classifier"]["kernel"][key]
