"""Adam: momentum above, RMSProp below, both corrected for their start at zero."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnets.optim.regularize import Mask, decoupled_decay
from jaxnets.optim.sgd import LearningRate, scale_by_learning_rate
from jaxnets.optim.trees import check_number, promote, zeros


class AdamState(NamedTuple):
    """Number of updates, and running means of gradients and of their squares."""

    count: jax.Array
    mean: Any
    squares: Any


class AMSGradState(NamedTuple):
    """Adam's state and the largest mean square so far."""

    count: jax.Array
    mean: Any
    squares: Any
    largest: Any


def weight_so_far(decay: float, count: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """1 − β^t, the weight that a leaky mean started at zero has gathered after t values.

    In float32 the difference 1 − 0.999 keeps only four digits; expm1 keeps all of them.

    >>> print(f"{weight_so_far(0.999, jnp.array(1), jnp.float32):.5e}")
    1.00000e-03
    """
    if isinstance(decay, float | int):
        log = math.log(decay) if decay > 0 else -math.inf
    else:
        log = jnp.log(decay)
    return -jnp.expm1(jnp.asarray(count, dtype) * jnp.asarray(log, dtype))


def scale_by_adam(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, *, amsgrad: bool = False
) -> optax.GradientTransformation:
    """m̂ / (√v̂ + ε); see `adam` and `amsgrad`."""
    check_number("b1", b1, low=0, below=1)
    check_number("b2", b2, low=0, below=1)
    check_number("eps", eps, low=0)

    def init(params):
        state = AdamState(jnp.zeros([], jnp.int32), zeros(params), zeros(params))
        return AMSGradState(*state, zeros(params)) if amsgrad else state

    def update(grads, state, params=None):
        del params
        grads = promote(grads)
        t = optax.safe_increment(state.count)
        mean = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mean, grads)
        squares = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state.squares, grads)
        new = AdamState(t, mean, squares)
        below = squares
        if amsgrad:
            below = jax.tree.map(jnp.maximum, state.largest, squares)
            new = AMSGradState(*new, below)

        def direction(m, v):
            m_hat = m / weight_so_far(b1, t, m.dtype)
            v_hat = v / weight_so_far(b2, t, v.dtype)
            return m_hat / (jnp.sqrt(v_hat) + eps)

        return jax.tree.map(direction, mean, below), new

    return optax.GradientTransformation(init, update)


def adam(
    learning_rate: LearningRate = 1e-3, *, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformationExtraArgs:
    """Adam.

    .. math::
        m ← β_1 m + (1−β_1) g, \\quad v ← β_2 v + (1−β_2) g², \\quad
        x ← x − η \\frac{m/(1−β_1^t)}{\\sqrt{v/(1−β_2^t)} + ε}

    Kingma and Ba, 2015. The notes leave out the two corrections; without them the first
    steps are (1−β₁)/√(1−β₂) ≈ 3.2 times too long, with them the first is η·sign(g).
    Equals ``torch.optim.Adam`` and ``optax.adam``.

    Args:
        learning_rate: η, or a schedule.
        b1: β₁, memory of the mean.
        b2: β₂, memory of the squares.
        eps: ε, outside the root.

    >>> rule = adam(0.1)
    >>> updates, _ = rule.update(jnp.array([5.0, -1e-3]), rule.init(jnp.zeros(2)))
    >>> [f"{u:.5f}" for u in updates]
    ['-0.10000', '0.10000']
    """
    return optax.chain(scale_by_adam(b1, b2, eps), scale_by_learning_rate(learning_rate))


def amsgrad(
    learning_rate: LearningRate = 1e-3, *, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformationExtraArgs:
    """AMSGrad: Adam over the largest v so far, so that no rate ever grows again.

    Reddi, Kale, Kumar, "On the convergence of Adam and beyond", 2018. As in PyTorch the maximum is
    taken of v before its correction; ``optax.amsgrad`` takes it after.
    """
    return optax.chain(
        scale_by_adam(b1, b2, eps, amsgrad=True), scale_by_learning_rate(learning_rate)
    )


def adamw(
    learning_rate: LearningRate = 1e-3,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    mask: Mask = None,
) -> optax.GradientTransformationExtraArgs:
    """AdamW: Adam with the decay outside the fraction.

    .. math:: x ← x − η (\\text{Adam's direction} + λx)

    Loshchilov and Hutter, "Decoupled weight decay regularization", 2019. Equals
    ``torch.optim.AdamW`` with its λ = 0.01; ``optax.adamw`` has λ = 1e-4.

    Args:
        learning_rate: η, or a schedule; it scales the decay as well.
        b1: β₁.
        b2: β₂.
        eps: ε.
        weight_decay: λ.
        mask: which parameters decay; see `jaxnets.optim.regularize`.
    """
    return optax.chain(
        scale_by_adam(b1, b2, eps),
        decoupled_decay(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
