"""What most of the procedure looks at: the loss of a network on a batch, as one pure function."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnets.data import Split
from jaxnets.errors import JaxnetsError
from jaxnets.losses import cross_entropy
from jaxnets.ops.activations import identity

Loss = Callable[[jax.Array, jax.Array], jax.Array]


def training_logits(
    key: jax.Array,
    model: nn.Module,
    variables: dict[str, Any],
    images: jax.Array,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
) -> jax.Array:
    """Logits in training mode: batch statistics of the batch itself, dropout switched on.

    Batch normalization at its running statistics is meaningless before the first step.
    """
    collections = [name for name in variables if name != "params"]
    logits, _ = model.apply(
        variables, preprocess(images), train=True, mutable=collections, rngs={"dropout": key}
    )
    return logits


def classification_loss(
    model: nn.Module,
    variables: dict[str, Any],
    *,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
    loss_fn: Loss = cross_entropy,
) -> Callable[[Any, dict[str, jax.Array]], jax.Array]:
    """(params, batch) → mean loss in training mode, for `range_test` and `rate_grid`.

    Args:
        model: a network.
        variables: from ``model.init``; only the collections beside the parameters are used.
        preprocess: images as stored → images as the network wants them.
        loss_fn: (logits, labels) → scalar.
    """
    others = {name: value for name, value in variables.items() if name != "params"}

    def loss(params: Any, batch: dict[str, jax.Array]) -> jax.Array:
        logits = training_logits(
            batch["key"], model, {"params": params, **others}, batch["image"], preprocess
        )
        return loss_fn(logits, batch["label"])

    return loss


def draw_batches(
    split: Split, batch_size: int, steps: int, *, seed: int = 0
) -> dict[str, np.ndarray | jax.Array]:
    """``steps`` batches drawn with replacement, stacked: what a scan runs over.

    Returns:
        ``{"image": (steps, B, H, W, C), "label": (steps, B), "key": (steps,) keys}``.

    Raises:
        JaxnetsError: a size below 1.
    """
    if batch_size < 1 or steps < 1:
        raise JaxnetsError(f"batch_size and steps must be 1 or more, got {batch_size} and {steps}")
    chosen = np.random.default_rng(seed).integers(len(split), size=(steps, batch_size))
    return {
        "image": np.asarray(split.images)[chosen],
        "label": jnp.asarray(np.asarray(split.labels)[chosen]),
        "key": jax.random.split(jax.random.key(seed), steps),
    }
