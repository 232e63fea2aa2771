"""Initial weights: what keeps a signal alive through many layers.

Every initializer is a function (key, shape, dtype) → array for kernels (*spatial, C_in, C_out): a
fully connected layer's has no spatial axes. With d = fan_in = ∏ spatial · C_in and
fan_out = ∏ spatial · C_out:

| initializer | variance | made for |
|---|---|---|
| `xavier_normal` | 1/d | the signal, behind tanh and the like |
| `glorot_normal`, `glorot_uniform` | 2/(fan_in + fan_out) | signal and gradient together |
| `he_normal`, `he_uniform` | 2/d | the signal, behind ReLU |

A uniform distribution of variance v is U(−√(3v), √(3v)). Unlike JAX's functions of the same names
the normal ones are not cut off at two standard deviations.

What CS231n calls Xavier initialization has the variance 1/fan_in; that of Xavier Glorot's paper has
the mean of both fans in its place. They agree for square layers.
"""

import math

import jax
import jax.numpy as jnp


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """fan_in and fan_out of a kernel (*spatial, C_in, C_out).

    For a grouped convolution C_in is that of one group, and so the fan_in is what one output sees.

    Args:
        shape: of the kernel.

    Returns:
        (fan_in, fan_out).

    Raises:
        ValueError: fewer than two axes.

    >>> fans((3, 3, 16, 32))
    (144, 288)
    """
    if len(shape) < 2:
        raise ValueError(
            f"shape: got {tuple(shape)}; expected a kernel (*spatial, C_in, C_out), at least 2 axes"
        )
    receptive_field = math.prod(shape[:-2])
    return receptive_field * shape[-2], receptive_field * shape[-1]


def _normal(key: jax.Array, shape, variance: float, dtype) -> jax.Array:
    return jax.random.normal(key, shape, dtype) * math.sqrt(variance)


def _uniform(key: jax.Array, shape, variance: float, dtype) -> jax.Array:
    limit = math.sqrt(3.0 * variance)
    return jax.random.uniform(key, shape, dtype, -limit, limit)


def xavier_normal(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
    """N(0, 1/fan_in): ``randn / sqrt(D_in)``, what CS231n calls Xavier initialization.

    Assumes weights and inputs symmetric about 0; behind a ReLU the second moment halves with every
    layer.

    Args:
        key: random key.
        shape: of the kernel, (*spatial, C_in, C_out).
        dtype: of the kernel.

    Returns:
        the kernel.

    Raises:
        ValueError: a shape of fewer than two axes.

    Source: CS231n (Convolutional Neural Networks for Visual Recognition), weight initialization.

    >>> import jax
    >>> w = xavier_normal(jax.random.key(0), (400, 300))
    >>> f"{float(w.var() * 400):.2f}"
    '1.00'
    """
    return _normal(key, shape, 1.0 / fans(shape)[0], dtype)


def glorot_normal(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
    """N(0, 2/(fan_in + fan_out)).

    Args:
        key: random key.
        shape: of the kernel, (*spatial, C_in, C_out).
        dtype: of the kernel.

    Returns:
        the kernel.

    Raises:
        ValueError: a shape of fewer than two axes.

    Source: Glorot & Bengio 2010 (Understanding the Difficulty of Training Deep Feedforward Neural
    Networks), eq. 12.

    >>> import jax
    >>> w = glorot_normal(jax.random.key(0), (400, 200))
    >>> f"{float(w.var() * 300):.1f}"
    '1.0'
    """
    return _normal(key, shape, 2.0 / sum(fans(shape)), dtype)


def glorot_uniform(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
    """U(−√(6/(fan_in + fan_out)), +√(…)).

    Args:
        key: random key.
        shape: of the kernel, (*spatial, C_in, C_out).
        dtype: of the kernel.

    Returns:
        the kernel.

    Raises:
        ValueError: a shape of fewer than two axes.

    Source: Glorot & Bengio 2010, eq. 16.

    >>> import jax
    >>> w = glorot_uniform(jax.random.key(0), (400, 200))
    >>> f"{float(w.var() * 300):.2f}"
    '1.00'
    """
    return _uniform(key, shape, 2.0 / sum(fans(shape)), dtype)


def he_normal(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
    """N(0, 2/fan_in): twice the variance for the half that a ReLU cuts off.

    Args:
        key: random key.
        shape: of the kernel, (*spatial, C_in, C_out).
        dtype: of the kernel.

    Returns:
        the kernel.

    Raises:
        ValueError: a shape of fewer than two axes.

    Source: He et al. 2015 (Delving Deep into Rectifiers), eq. 10.

    >>> import jax
    >>> w = he_normal(jax.random.key(0), (3, 3, 50, 300))
    >>> f"{float(w.var() * 450):.2f}"
    '2.00'
    """
    return _normal(key, shape, 2.0 / fans(shape)[0], dtype)


def he_uniform(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
    """U(−√(6/fan_in), +√(6/fan_in)), of variance 2/fan_in.

    Args:
        key: random key.
        shape: of the kernel, (*spatial, C_in, C_out).
        dtype: of the kernel.

    Returns:
        the kernel.

    Raises:
        ValueError: a shape of fewer than two axes.

    Source: He et al. 2015, eq. 10.

    >>> import jax
    >>> w = he_uniform(jax.random.key(0), (400, 300))
    >>> f"{float(w.var() * 400):.2f}"
    '2.00'
    """
    return _uniform(key, shape, 2.0 / fans(shape)[0], dtype)
