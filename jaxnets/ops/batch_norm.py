"""Batch normalization as pure functions: in training, at inference, and folded into a linear layer.

In front of the nonlinearity, every feature is standardized by the statistics of the batch and then
given a learned mean and standard deviation. At inference, averages over training take the place of
the batch's statistics.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.precision import at_least_float32


def batch_norm(
    x: jax.Array,
    scale: jax.Array | None = None,
    bias: jax.Array | None = None,
    *,
    epsilon: float = 1e-5,
    axis_name: str | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Batch normalization as in training: y = scale · (x − μ) / √(σ² + ε) + bias.

    μ and σ² are the mean and the biased variance of each channel of this batch. All arithmetic is
    in float32 or wider. The variance is the mean of (x − μ)², also over devices: the quicker
    E[x²] − μ² loses all digits where the mean is large beside the spread.

    Args:
        x: (…, C); all axes but the last are averaged over.
        scale, bias: (C,), or None for 1 and 0.
        epsilon: added to the variance.
        axis_name: name of a mapped axis (of pmap or shard_map) over which statistics are shared;
            every device must hold an equally large part of the batch.

    Returns:
        y in the dtype of ``x``, the mean (C,) and the biased variance (C,), in float32 or wider.

    Raises:
        ValueError: ``x`` has no batch axis, or ``scale`` or ``bias`` is not (C,).

    Source: Ioffe & Szegedy 2015, Algorithm 1.

    >>> import jax.numpy as jnp
    >>> y, mean, var = batch_norm(jnp.array([[1.0], [3.0]]), jnp.array([2.0]), epsilon=0.0)
    >>> y.ravel().tolist(), mean.tolist(), var.tolist()
    ([-2.0, 2.0], [2.0], [1.0])
    """
    if x.ndim < 2:
        raise ValueError(f"x: got shape {x.shape}; expected (batch, …, channels)")
    _check_channels(x, scale=scale, bias=bias)
    wide = at_least_float32(x)
    channels = (1,) * (x.ndim - 1) + x.shape[-1:]
    scale = jnp.ones(channels, wide.dtype) if scale is None else _like(scale, wide)
    bias = jnp.zeros(channels, wide.dtype) if bias is None else _like(bias, wide)
    y, mean, var = _batch_norm(wide, scale, bias, epsilon, axis_name)
    return y.astype(x.dtype), mean.ravel(), var.ravel()


def _channel_means(axis_name: str | None, *arrays: jax.Array) -> list[jax.Array]:
    """Means (1, …, 1, C) over all axes but the last, and over devices in one collective."""
    means = [a.mean(tuple(range(a.ndim - 1)), keepdims=True) for a in arrays]
    return means if axis_name is None else lax.pmean(means, axis_name)


@partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def _batch_norm(x, scale, bias, epsilon, axis_name):
    (mean,) = _channel_means(axis_name, x)
    centered = x - mean
    (var,) = _channel_means(axis_name, centered * centered)
    return centered * (scale * lax.rsqrt(var + epsilon)) + bias, mean, var


@_batch_norm.defjvp
def _batch_norm_jvp(epsilon, axis_name, primals, tangents):
    # With x̂ = (x − μ)/√(σ²+ε) and t = dx·scale/√(σ²+ε), a change of the input changes the output by
    #     dy = t − mean(t) − x̂·mean(x̂·t) + x̂·dscale + dbias.
    # Its transpose, the gradient, then needs two sums over the batch, Σg and Σg·x, from which the
    # gradients of x, scale and bias all follow; what automatic differentiation makes of
    # `_batch_norm` itself reads the batch more often. All that multiplies x̂ is collected in
    # one number a channel, and x̂ is expanded to x·a + b, so that no second array as large as x
    # has to be kept for the backward pass. (Cancellation there is no worse than x's own rounding.)
    x, scale, bias = primals
    dx, dscale, dbias = tangents
    y, mean, var = _batch_norm(x, scale, bias, epsilon, axis_name)
    inverse = lax.rsqrt(var + epsilon)
    t = dx * (scale * inverse)
    mean_t, mean_xt = _channel_means(axis_name, t, x * t)
    slope = inverse * (dscale - inverse * (mean_xt - mean * mean_t))
    dy = t + (x * slope + (dbias - mean_t - mean * slope))
    dmean, mean_xdx = _channel_means(axis_name, dx, x * dx)
    return (y, mean, var), (dy, dmean, 2.0 * (mean_xdx - mean * dmean))


def batch_norm_inference(
    x: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    scale: jax.Array | None = None,
    bias: jax.Array | None = None,
    *,
    epsilon: float = 1e-5,
) -> jax.Array:
    """Batch normalization at inference, by statistics that were collected before.

    y = scale · (x − mean) / √(var + ε) + bias, in float32 or wider.

    Args:
        x: (…, C).
        mean, var: (C,), the averages over training.
        scale, bias: (C,), or None for 1 and 0.
        epsilon: added to the variance.

    Returns:
        y in the dtype of ``x``.

    Raises:
        ValueError: a statistic or parameter is not (C,).

    Source: Ioffe & Szegedy 2015, Algorithm 2, line 11.

    >>> import jax.numpy as jnp
    >>> batch_norm_inference(jnp.array([[5.0]]), jnp.array([1.0]), jnp.array([4.0]), epsilon=0.0)
    Array([[2.]], dtype=float32)
    """
    _check_channels(x, mean=mean, var=var, scale=scale, bias=bias)
    wide = at_least_float32(x)
    factor = lax.rsqrt(_like(var, wide) + epsilon)
    if scale is not None:
        factor = factor * _like(scale, wide)
    y = (wide - _like(mean, wide)) * factor
    if bias is not None:
        y = y + _like(bias, wide)
    return y.astype(x.dtype)


def fold_batch_norm(
    kernel: jax.Array,
    kernel_bias: jax.Array | None,
    mean: jax.Array,
    var: jax.Array,
    scale: jax.Array | None = None,
    bias: jax.Array | None = None,
    *,
    epsilon: float = 1e-5,
) -> tuple[jax.Array, jax.Array]:
    """Merge a batch normalization at inference into the linear layer in front of it.

    With f = scale / √(var + ε):  kernel' = kernel · f and bias' = (kernel_bias − mean) · f + bias,
    so that kernel' ⋆ x + bias' = scale · (kernel ⋆ x + kernel_bias − mean) / √(var + ε) + bias.

    Args:
        kernel: (…, C), output channels last: of a convolution of any rank and group count, or of a
            fully connected layer.
        kernel_bias: (C,), the linear layer's own bias, or None.
        mean, var, scale, bias, epsilon: the normalization's, see `batch_norm_inference`.

    Returns:
        kernel' and bias', in the dtype of ``kernel``.

    Raises:
        ValueError: a statistic or parameter is not (C,).

    Source: Jacob et al. 2018 (Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference), §3.2.

    >>> import jax.numpy as jnp
    >>> one = jnp.ones(1)
    >>> kernel, bias = fold_batch_norm(jnp.ones((1, 1)), None, 3 * one, 4 * one, epsilon=0.0)
    >>> kernel.tolist(), bias.tolist()
    ([[0.5]], [-1.5])
    """
    _check_channels(kernel, kernel_bias=kernel_bias, mean=mean, var=var, scale=scale, bias=bias)
    wide = at_least_float32(kernel)
    factor = lax.rsqrt(var.astype(wide.dtype) + epsilon)
    if scale is not None:
        factor = factor * scale.astype(wide.dtype)
    shift = -mean.astype(wide.dtype)
    if kernel_bias is not None:
        shift = shift + kernel_bias.astype(wide.dtype)
    shift = shift * factor
    if bias is not None:
        shift = shift + bias.astype(wide.dtype)
    return (wide * _like(factor, wide)).astype(kernel.dtype), shift.astype(kernel.dtype)


def _like(v: jax.Array, x: jax.Array) -> jax.Array:
    """(C,) as (1, …, 1, C) in the dtype of ``x``."""
    return v.astype(x.dtype).reshape((1,) * (x.ndim - 1) + v.shape)


def _check_channels(x: jax.Array, **arrays: jax.Array | None) -> None:
    for name, array in arrays.items():
        if array is not None and array.shape != x.shape[-1:]:
            raise ValueError(
                f"{name}: got shape {array.shape}; expected {x.shape[-1:]}, one number for each of "
                f"the channels, the last axis of {x.shape}"
            )
