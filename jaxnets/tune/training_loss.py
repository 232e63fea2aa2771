"""The loss of a network on a batch in training mode, as one pure function of its parameters."""

from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn

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

    Args:
        key: for dropout.
        model: a network.
        variables: its variables.
        images: (N, H, W, C) as stored.
        preprocess: images as stored → images as the network wants them.

    Returns:
        (N, K).

    >>> import jax.numpy as jnp
    >>> from jaxnets.models import create_model
    >>> net, x = create_model("mlp", hidden=(4,), num_classes=3), jnp.ones((2, 8, 8, 1))
    >>> training_logits(jax.random.key(0), net, net.init(jax.random.key(1), x), x).shape
    (2, 3)
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

    Returns:
        A function of the parameters and a batch ``{"image", "label", "key"}``.

    >>> import jax.numpy as jnp
    >>> from jaxnets.models import create_model
    >>> net, x = create_model("mlp", hidden=(4,), num_classes=3), jnp.zeros((2, 8, 8, 1))
    >>> variables = net.init(jax.random.key(1), x)
    >>> batch = {"image": x, "label": jnp.array([0, 1]), "key": jax.random.key(0)}
    >>> round(float(classification_loss(net, variables)(variables["params"], batch)), 4)  # ln 3
    1.0986
    """
    others = {name: value for name, value in variables.items() if name != "params"}

    def loss(params: Any, batch: dict[str, jax.Array]) -> jax.Array:
        logits = training_logits(
            batch["key"], model, {"params": params, **others}, batch["image"], preprocess
        )
        return loss_fn(logits, batch["label"])

    return loss
