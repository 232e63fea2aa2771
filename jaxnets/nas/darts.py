"""DARTS: choices are mixtures whose shares descend the validation loss.

Source: Liu, Simonyan, Yang, "DARTS: Differentiable Architecture Search", 2019.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.nas.space import Architecture, SearchSpace

# (weights, shares (T, K)) → loss on a batch.
Loss = Callable[[Any, jax.Array], jax.Array]


def mixture(space: SearchSpace, alphas: jax.Array) -> jax.Array:
    """Rows of probabilities over each token's values: softmax of its α, 0 beyond its values.

    Args:
        space: whose tokens they are.
        alphas: (T, K).

    Returns:
        (T, K).

    >>> from jaxnets.nas.space import Token
    >>> space = SearchSpace("two", (Token("a", (1, 2)), Token("b", (1, 2, 3))))
    >>> mixture(space, jnp.zeros((2, 3))).round(2).tolist()[0]
    [0.5, 0.5, 0.0]
    """
    allowed = jnp.arange(alphas.shape[1]) < jnp.array(space.sizes)[:, None]
    return jax.nn.softmax(jnp.where(allowed, alphas, -jnp.inf), -1)


def architecture_gradient(
    train_loss: Loss,
    validation_loss: Loss,
    weights: Any,
    alphas: jax.Array,
    *,
    space: SearchSpace,
    learning_rate: float = 0.0,
) -> jax.Array:
    """∇_α L_val(w − ξ ∇_w L_train(w, α), α), through the step of the weights.

    .. math:: ∇_α L_{val}(w', α) - ξ \\, ∇^2_{α,w} L_{train}(w, α) \\, ∇_{w'} L_{val}(w', α)

    Args:
        train_loss: of weights and shares.
        validation_loss: the same on other examples.
        weights: w.
        alphas: (T, K), α.
        space: whose tokens they are.
        learning_rate: ξ; 0 is the first-order method.

    Returns:
        (T, K). The second term is exact; the paper takes a finite difference.

    Source: Liu, Simonyan, Yang, 2019, section 2.3, equations 6 and 7.

    >>> from jaxnets.nas.space import Token
    >>> space = SearchSpace("one", (Token("a", (1, 2)),))
    >>> loss = lambda w, shares: (w - shares[0, 1]) ** 2
    >>> gradient = architecture_gradient(loss, loss, jnp.array(1.0), jnp.zeros((1, 2)), space=space)
    >>> gradient.tolist()
    [[0.25, -0.25]]
    """

    def validation(alphas):
        shares = mixture(space, alphas)
        step = jax.grad(lambda w: train_loss(w, shares))(weights) if learning_rate else None
        if step is None:
            return validation_loss(weights, shares)
        moved = jax.tree.map(lambda w, g: w - learning_rate * g, weights, step)
        return validation_loss(moved, shares)

    return jax.grad(validation)(alphas)


def discretize(space: SearchSpace, alphas: jax.Array) -> Architecture:
    """The architecture of the largest shares.

    Args:
        space: whose tokens they are.
        alphas: (T, K).

    Returns:
        One number a token.

    Source: Liu, Simonyan, Yang, 2019, section 2.4.

    >>> from jaxnets.nas.space import Token
    >>> space = SearchSpace("two", (Token("a", (1, 2)), Token("b", (1, 2, 3))))
    >>> discretize(space, jnp.array([[0.1, 0.3, 9.0], [0.2, 0.1, 0.4]]))
    (1, 2)
    """
    return tuple(int(n) for n in jnp.argmax(mixture(space, alphas), -1))
