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
    """State of `adam` and `adamw`.

    Attributes:
        count: updates so far, int32.
        mean: m, the running mean of the gradients, a tree like the parameters.
        squares: v, the running mean of the squared gradients, a tree like the parameters.
    """

    count: jax.Array
    mean: Any
    squares: Any


class AMSGradState(NamedTuple):
    """State of `amsgrad`.

    Attributes:
        count: updates so far, int32.
        mean: m, the running mean of the gradients, a tree like the parameters.
        squares: v, the running mean of the squared gradients, a tree like the parameters.
        largest: the largest v so far, entry by entry, a tree like the parameters.
    """

    count: jax.Array
    mean: Any
    squares: Any
    largest: Any


def bias_correction(decay: float, count: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """1 − β^t, the weight that a running mean started at zero has gathered after t values.

    In float32 the difference 1 − 0.999 keeps only four digits; expm1 keeps all of them.

    Args:
        decay: β.
        count: t.
        dtype: of the result.

    Returns:
        A scalar of ``dtype``, 1 for β = 0.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization" (2015), section 3.

    >>> print(f"{bias_correction(0.999, jnp.array(1), jnp.float32):.5e}")
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
    """m̂ / (√v̂ + ε), without a learning rate; see `adam` and `amsgrad`.

    Args:
        b1: β₁, decay of the mean.
        b2: β₂, decay of the squares.
        eps: ε, outside the root.
        amsgrad: divide by the root of the largest v so far.

    Returns:
        A transform whose updates point uphill; put `scale_by_learning_rate` behind it. It keeps m
        and v, with ``amsgrad`` the largest v too: two or three trees like the parameters.

    Raises:
        ValueError: a decay outside [0, 1), or ε below 0.

    >>> rule = scale_by_adam()
    >>> updates, _ = rule.update(jnp.array([5.0, -1e-3]), rule.init(jnp.zeros(2)))
    >>> [round(float(u), 4) for u in updates]
    [1.0, -1.0]
    """
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
            m_hat = m / bias_correction(b1, t, m.dtype)
            v_hat = v / bias_correction(b2, t, v.dtype)
            return m_hat / (jnp.sqrt(v_hat) + eps)

        return jax.tree.map(direction, mean, below), new

    return optax.GradientTransformation(init, update)


def adam(
    learning_rate: LearningRate = 1e-3, *, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformationExtraArgs:
    """Adam: momentum over the root of the mean square, both corrected for their start at zero.

    .. math::
        m ← β_1 m + (1−β_1) g, \\quad v ← β_2 v + (1−β_2) g², \\quad
        x ← x − η \\frac{m/(1−β_1^t)}{\\sqrt{v/(1−β_2^t)} + ε}

    Without the two corrections the first step is (1−β₁)/√(1−β₂) ≈ 3.2 times as long, with them it
    is η·sign(g). Equals ``torch.optim.Adam`` and ``optax.adam``.

    Args:
        learning_rate: η, or a schedule.
        b1: β₁, decay of the mean.
        b2: β₂, decay of the squares.
        eps: ε, outside the root.

    Returns:
        A transform for ``optax.apply_updates``. It keeps m and v, two trees like the parameters.

    Raises:
        ValueError: a rate or ε below 0, or a decay outside [0, 1).

    Source: Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1.

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

    As in PyTorch the maximum is taken of v before its correction; ``optax.amsgrad`` takes it after.

    Args:
        learning_rate: η, or a schedule.
        b1: β₁, decay of the mean.
        b2: β₂, decay of the squares.
        eps: ε, outside the root.

    Returns:
        A transform for ``optax.apply_updates``. It keeps m, v and the largest v, three trees like
        the parameters.

    Raises:
        ValueError: a rate or ε below 0, or a decay outside [0, 1).

    Source: Reddi, Kale, Kumar, "On the convergence of Adam and beyond" (2018), algorithm 2.

    >>> rule = amsgrad(0.1, b1=0.0, b2=0.5)
    >>> state = rule.init(jnp.zeros(1))
    >>> for gradient in (4.0, *[1.0] * 20):
    ...     updates, state = rule.update(jnp.array([gradient]), state)
    >>> round(float(updates[0]), 4)  # -0.1 / √8; Adam, whose v has fallen back to 1, goes 0.1 far
    -0.0354
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

    Equals ``torch.optim.AdamW`` with its λ = 0.01; ``optax.adamw`` has λ = 1e-4.

    Args:
        learning_rate: η, or a schedule; it scales the decay as well.
        b1: β₁, decay of the mean.
        b2: β₂, decay of the squares.
        eps: ε, outside the root.
        weight_decay: λ.
        mask: which parameters decay; see `jaxnets.optim.regularize`.

    Returns:
        A transform for ``optax.apply_updates``, whose ``update`` needs the parameters. It keeps m
        and v, two trees like the parameters.

    Raises:
        ValueError: a rate, ε or λ below 0, or a decay of the averages outside [0, 1).

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), algorithm 2.

    >>> rule, x = adamw(0.1, weight_decay=0.5), jnp.array([2.0])
    >>> updates, _ = rule.update(jnp.array([3.0]), rule.init(x), x)
    >>> round(float(updates[0]), 4)  # -0.1 · (1 + 0.5 · 2)
    -0.2
    """
    return optax.chain(
        scale_by_adam(b1, b2, eps),
        decoupled_decay(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
