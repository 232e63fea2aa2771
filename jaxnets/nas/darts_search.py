"""A search by DARTS among convolutional children: weights and shares descend in turn."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxnets.losses import cross_entropy
from jaxnets.nas.darts import architecture_gradient, discretize, mixture
from jaxnets.nas.masked_children import MaskedChildren
from jaxnets.nas.space import Architecture


def darts_architecture(
    key: jax.Array,
    children: MaskedChildren,
    images: Any,
    labels: Any,
    validation_images: Any,
    validation_labels: Any,
    *,
    steps: int,
    batch_size: int = 32,
    learning_rate: float = 0.03,
    shares_rate: float = 0.03,
    second_order: bool = False,
) -> tuple[Architecture, np.ndarray]:
    """The architecture whose shares win when weights and shares descend in turn.

    Each step moves the shares α by Adam against the loss on a validation batch, then the weights by
    Adam against the loss on a training batch.

    Args:
        key: of the first weights and the batches.
        children: of a convolutional space; the mixture of all is one network of theirs.
        images: (N, H, W, C), standardized, for the weights.
        labels: (N,).
        validation_images: for the shares.
        validation_labels: of these.
        steps: of each kind.
        batch_size: examples of a step.
        learning_rate: of the weights, falling to 0 by a cosine.
        shares_rate: of the shares.
        second_order: look through one step of the weights.

    Returns:
        the architecture, and the shares (T, K) that it was read from.

    Source: Liu, Simonyan, Yang, "DARTS: Differentiable Architecture Search", 2019, algorithm 1.

    >>> from jaxnets.nas.space import conv_space
    >>> space = conv_space(1, heights=(1,), widths=(1, 3), filters=(2,))
    >>> children = MaskedChildren(space, channels=1, num_classes=2)
    >>> x, y = np.ones((8, 4, 4, 1), np.float32), np.zeros(8, int)
    >>> found, shares = darts_architecture(jax.random.key(0), children, x, y, x, y, steps=2)
    >>> len(found), shares.shape
    (3, (3, 2))
    """
    train = jnp.asarray(images), jnp.asarray(labels)
    held = jnp.asarray(validation_images), jnp.asarray(validation_labels)
    sizes = int(steps), int(batch_size), float(learning_rate), float(shares_rate)
    alphas = _descend(key, train, held, children, *sizes, bool(second_order))
    return discretize(children.space, alphas), np.asarray(mixture(children.space, alphas))


@partial(jax.jit, static_argnums=(3, 4, 5, 6, 7, 8))
def _descend(key, train, held, children, steps, batch_size, learning_rate, shares_rate, second):
    space = children.space
    weights_rule = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
    shares_rule = optax.adam(shares_rate, b1=0.5)
    alphas = jnp.zeros((len(space.sizes), max(space.sizes)))
    weights = children.init(jax.random.fold_in(key, 0), children.masks(mixture(space, alphas)))

    def loss_on(part, rows):
        images, labels = part[0][rows], part[1][rows]
        return lambda w, shares: cross_entropy(
            children.apply(w, children.masks(shares), images), labels
        )

    def draw(key, part):
        return jax.random.randint(key, (batch_size,), 0, len(part[1]))

    def step(carry, key):
        weights, alphas, weights_state, shares_state = carry
        keys = jax.random.split(key)
        train_loss = loss_on(train, draw(keys[0], train))
        held_loss = loss_on(held, draw(keys[1], held))
        gradient = architecture_gradient(
            train_loss,
            held_loss,
            weights,
            alphas,
            space=space,
            learning_rate=learning_rate if second else 0.0,
        )
        updates, shares_state = shares_rule.update(gradient, shares_state)
        alphas = optax.apply_updates(alphas, updates)
        gradient = jax.grad(train_loss)(weights, mixture(space, alphas))
        updates, weights_state = weights_rule.update(gradient, weights_state)
        weights = optax.apply_updates(weights, updates)
        return (weights, alphas, weights_state, shares_state), None

    carry = weights, alphas, weights_rule.init(weights), shares_rule.init(alphas)
    keys = jax.random.split(jax.random.fold_in(key, 1), steps)
    return lax.scan(step, carry, keys)[0][1]
