"""Batch normalisation as pure functions: the training face, the test face, the running average.

In front of the non-linearity (notes L39), every feature is standardised by the statistics of the
batch and then given back a mean and a spread of its own (notes L46). At test time the averages over
training take the place of the batch's statistics (notes L47).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax


def _at_least_float32(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _mean_over_batch(x: jax.Array, axis_name: str | None) -> jax.Array:
    """Mean over all axes but the last, and over the devices of ``axis_name``."""
    mean = x.mean(tuple(range(x.ndim - 1)))
    return mean if axis_name is None else lax.pmean(mean, axis_name)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def standardize(
    x: jax.Array, epsilon: float = 1e-5, axis_name: str | None = None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Subtract each channel's mean and divide by its standard deviation.

    x̂ = (x − μ) / √(σ² + ε), where μ and σ² are the mean and the biased variance of a channel over
    all axes but the last. The variance is the mean of (x − μ)²; the quicker E[x²] − μ² loses all
    digits where the mean is large beside the spread.

    Args:
        x: (…, C), float32 or float64.
        epsilon: added to the variance.
        axis_name: name of a mapped axis (of pmap or shard_map) over which the statistics are
            shared; every device must hold an equally large part of the batch.

    Returns:
        x̂ like ``x``, the mean (C,) and the biased variance (C,).

    Source: Ioffe & Szegedy 2015, Algorithm 1.

    >>> import jax.numpy as jnp
    >>> y, mean, var = standardize(jnp.array([[1.0], [3.0]]), 0.0)
    >>> y.ravel().tolist(), mean.tolist(), var.tolist()
    ([-1.0, 1.0], [2.0], [1.0])
    """
    mean = _mean_over_batch(x, axis_name)
    centred = x - mean
    var = _mean_over_batch(centred * centred, axis_name)
    return centred * lax.rsqrt(var + epsilon), mean, var


@standardize.defjvp
def _standardize_jvp(epsilon, axis_name, primals, tangents):
    # dx̂ = (dx − mean(dx) − x̂·mean(x̂·dx)) / √(σ²+ε), where x̂·x̂ would average to σ²/(σ²+ε). As a
    # matrix it is symmetric, so its transpose, the gradient, costs the same two means and no more;
    # what automatic differentiation makes of the three lines above walks over the batch more often.
    (x,), (dx,) = primals, tangents
    normalised, mean, var = standardize(x, epsilon, axis_name)
    scale = lax.rsqrt(var + epsilon)
    mean_dx = _mean_over_batch(dx, axis_name)
    mean_ndx = _mean_over_batch(normalised * dx, axis_name)
    d_normalised = (dx - mean_dx - normalised * mean_ndx) * scale
    return (normalised, mean, var), (d_normalised, mean_dx, 2.0 * mean_ndx / scale)


def batch_norm(
    x: jax.Array,
    scale: jax.Array | None = None,
    bias: jax.Array | None = None,
    *,
    epsilon: float = 1e-5,
    axis_name: str | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Batch normalisation as in training: y = scale · (x − μ) / √(σ² + ε) + bias.

    μ and σ² are the mean and the biased variance of each channel of this batch. All arithmetic is
    in float32 or wider.

    Args:
        x: (…, C); all axes but the last are averaged over.
        scale, bias: (C,), or None for 1 and 0.
        epsilon: added to the variance.
        axis_name: see `standardize`.

    Returns:
        y in the dtype of ``x``, the mean (C,) and the biased variance (C,), in float32 or wider.

    Source: Ioffe & Szegedy 2015, Algorithm 1; notes L46.

    >>> import jax.numpy as jnp
    >>> y, mean, var = batch_norm(jnp.array([[1.0], [3.0]]), jnp.array([2.0]), epsilon=0.0)
    >>> y.ravel().tolist()
    [-2.0, 2.0]
    """
    y, mean, var = standardize(_at_least_float32(x), epsilon, axis_name)
    if scale is not None:
        y = y * scale.astype(y.dtype)
    if bias is not None:
        y = y + bias.astype(y.dtype)
    return y.astype(x.dtype), mean, var


def batch_norm_inference(
    x: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    scale: jax.Array | None = None,
    bias: jax.Array | None = None,
    *,
    epsilon: float = 1e-5,
) -> jax.Array:
    """Batch normalisation as at test time, by statistics that were collected before.

    y = scale · (x − mean) / √(var + ε) + bias, in float32 or wider, returned in the dtype of ``x``.

    Args:
        x: (…, C).
        mean, var: (C,), the averages over training (notes L47).
        scale, bias: (C,), or None for 1 and 0.
        epsilon: added to the variance.

    >>> import jax.numpy as jnp
    >>> batch_norm_inference(jnp.array([[5.0]]), jnp.array([1.0]), jnp.array([4.0]), epsilon=0.0)
    Array([[2.]], dtype=float32)
    """
    wide = _at_least_float32(x)
    factor = lax.rsqrt(var.astype(wide.dtype) + epsilon)
    if scale is not None:
        factor = factor * scale.astype(wide.dtype)
    y = (wide - mean.astype(wide.dtype)) * factor
    if bias is not None:
        y = y + bias.astype(wide.dtype)
    return y.astype(x.dtype)
