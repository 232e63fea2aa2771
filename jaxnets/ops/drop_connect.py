"""DropConnect: dropout of weights instead of units, with a mask of its own for every example."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops.activations import identity
from jaxnets.ops.dense import check_dense, dense
from jaxnets.ops.dropout import check_rate
from jaxnets.ops.precision import at_least_float32

# Masked kernels that lie in memory at once, in weights: 16 MiB of float32.
_WEIGHTS_AT_ONCE = 2**22


def drop_connect(
    key: jax.Array,
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None,
    rate: float = 0.5,
    *,
    scale_in_training: bool = False,
) -> jax.Array:
    """Fully connected map whose weights are dropped with probability ``rate``, as in training.

    y = x · (M ∘ W) + m ∘ b with M, m ~ Bernoulli(1 − rate), drawn anew for every example. Only a
    few examples' masks are in memory at once, and the backward pass draws them again instead of
    keeping them: memory does not grow with the batch.

    Args:
        key: random key.
        x: (…, C_in); all axes but the last count as examples.
        kernel: (C_in, C_out), W.
        bias: (C_out,), b, or None.
        rate: probability of a weight to be dropped, in [0, 1].
        scale_in_training: divide by 1 − rate, as inverted dropout does; the paper does not.

    Returns:
        (…, C_out).

    Raises:
        ValueError: a rate outside [0, 1], or shapes that do not fit.

    Source: Wan et al. 2013 (Regularization of Neural Networks using DropConnect), §2 and §4. What
    some libraries call drop_connect is `stochastic_depth`.

    >>> import jax, jax.numpy as jnp
    >>> y = drop_connect(jax.random.key(0), jnp.ones((9, 2)), jnp.ones((2, 5)), None)
    >>> sorted(set(y.ravel().tolist()))
    [0.0, 1.0, 2.0]
    """
    check_rate(rate)
    check_dense(x, kernel, bias)
    known = isinstance(rate, int | float)
    if known and rate == 0.0:
        return dense(x, kernel, bias)
    if known and rate == 1.0:
        return jnp.zeros((*x.shape[:-1], kernel.shape[1]), x.dtype)

    def one(key, x):
        keys = jax.random.split(key)
        # where, not times: a dropped weight is gone even if it is infinite.
        mask = bernoulli_mask(keys[0], 1.0 - rate, kernel.shape)
        y = x @ jnp.where(mask, kernel, jnp.zeros_like(kernel))
        if bias is not None:
            mask = bernoulli_mask(keys[1], 1.0 - rate, bias.shape)
            y = y + jnp.where(mask, bias, jnp.zeros_like(bias))
        return y

    rows = x.reshape(-1, x.shape[-1])
    keys = jax.random.split(key, rows.shape[0])
    at_once = max(1, _WEIGHTS_AT_ONCE // kernel.size)
    if rows.shape[0] <= at_once:
        y = jax.vmap(one)(keys, rows)
    else:
        y = jax.lax.map(lambda args: jax.checkpoint(one)(*args), (keys, rows), batch_size=at_once)
    if scale_in_training:
        share = jnp.asarray(1.0 - rate, y.dtype)
        # A traced rate may be 1: nothing is kept then, and nothing must be divided by 0.
        y = y / jnp.where(share > 0, share, jnp.ones_like(share))
    return y.reshape(*x.shape[:-1], kernel.shape[1])


def drop_connect_moments(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None,
    rate: float = 0.5,
    *,
    scale_in_training: bool = False,
) -> tuple[jax.Array, jax.Array]:
    """Mean and variance of what `drop_connect` returns, over all masks: exact.

    mean = p (x·W + b), variance = p (1 − p) ((x∘x)·(W∘W) + b∘b) with p = 1 − rate; divided by p and
    p² where training scales. The outputs of one example are independent of each other, because
    each has its own column of the mask.

    Args:
        x: (…, C_in).
        kernel: (C_in, C_out), W.
        bias: (C_out,), b, or None.
        rate: probability of a weight to be dropped, in [0, 1].
        scale_in_training: whether training divides by 1 − rate.

    Returns:
        (mean, variance), each (…, C_out), float32 or wider.

    Raises:
        ValueError: a rate outside [0, 1], or shapes that do not fit.

    Source: Wan et al. 2013, §3.2 and algorithm 2.

    >>> import jax.numpy as jnp
    >>> mean, variance = drop_connect_moments(jnp.ones(2), jnp.ones((2, 1)), None, 0.5)
    >>> float(mean[0]), float(variance[0])  # 0, 1 or 2 with probability ¼, ½, ¼
    (1.0, 0.5)
    """
    check_rate(rate)
    check_dense(x, kernel, bias)
    x, kernel = at_least_float32(x), at_least_float32(kernel)
    bias = None if bias is None else at_least_float32(bias)
    total = dense(x, kernel, bias)
    squares = dense(x * x, kernel * kernel, None if bias is None else bias * bias)
    keep = 1.0 - rate
    if not scale_in_training:
        return keep * total, rate * keep * squares
    if isinstance(rate, int | float):
        if rate == 1.0:
            return 0.0 * total, 0.0 * squares
        return total, rate / keep * squares
    whole = keep > 0
    ratio = rate / jnp.where(whole, keep, 1.0)
    return jnp.where(whole, total, 0.0), jnp.where(whole, ratio * squares, 0.0)


def drop_connect_at_test(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None,
    rate: float = 0.5,
    *,
    activation: Callable[[jax.Array], jax.Array] = identity,
    key: jax.Array | None = None,
    samples: int = 1000,
    scale_in_training: bool = False,
) -> jax.Array:
    """The test pass of DropConnect: mean of the activation over Gaussian pre-activations.

    u ~ N(mean, variance) of `drop_connect_moments`; the result is the average of activation(u). A
    sum of many dropped weights is nearly Gaussian, which is the only approximation.

    Args:
        x, kernel, bias, rate, scale_in_training: as for `drop_connect`.
        activation: of the layer.
        key: for random draws, as the paper has them. None: the Gaussian is cut into ``samples``
            equally likely pieces, each represented by its mean. That is deterministic and far more
            precise, but right only for an elementwise activation (not for softmax).
        samples: how many draws or pieces.

    Returns:
        (…, C_out).

    Raises:
        ValueError: as `drop_connect`, or fewer than 1 sample.

    Source: Wan et al. 2013, §3.2 and algorithm 2.

    >>> import jax, jax.numpy as jnp
    >>> layer = jnp.ones(4), jnp.array([[1.0], [1.0], [-1.0], [-1.0]]), None
    >>> y = drop_connect_at_test(*layer, 0.5, activation=jax.nn.relu)
    >>> f"{float(y[0]):.4f}"  # u ~ N(0, 1): 1/√(2π); the weights' mean alone would give 0
    '0.3989'
    """
    if samples < 1:
        raise ValueError(f"samples: got {samples}; expected at least 1")
    mean, variance = drop_connect_moments(
        x, kernel, bias, rate, scale_in_training=scale_in_training
    )
    if activation is identity:
        return mean.astype(x.dtype)
    # √ has no derivative at 0, which an input of zeros reaches.
    sure = variance == 0
    std = jnp.where(sure, 0.0, jnp.sqrt(jnp.where(sure, 1.0, variance)))
    if key is None:
        draws, draw = jnp.asarray(normal_pieces(samples), mean.dtype), lambda z: z
    else:
        draws = jax.random.split(key, samples)
        draw = lambda key: jax.random.normal(key, mean.shape, jnp.float32).astype(mean.dtype)  # noqa: E731

    def add(total, z):
        return total + activation(mean + std * draw(z)), None

    shape = jax.eval_shape(activation, mean)
    total, _ = jax.lax.scan(add, jnp.zeros(shape.shape, shape.dtype), draws)
    return (total / samples).astype(x.dtype)


def normal_pieces(count: int) -> np.ndarray:
    """The means of ``count`` equally likely pieces of the standard normal distribution.

    Piece i lies between the quantiles i/n and (i + 1)/n; its mean is n (φ(left) − φ(right)).
    Averages over them are exact for what is linear on each piece.

    >>> normal_pieces(2).round(4).tolist()  # ±√(2/π)
    [-0.7979, 0.7979]
    """
    from scipy.stats import norm

    edges = norm.pdf(norm.ppf(np.arange(count + 1) / count))
    return count * (edges[:-1] - edges[1:])


def bernoulli_mask(key: jax.Array, keep: float, shape: tuple[int, ...]) -> jax.Array:
    """Booleans that are True with probability ``keep``, at a quarter of the cost where 8 bits do.

    >>> import jax
    >>> bool((bernoulli_mask(jax.random.key(0), 0.75, (9, 999)).mean() - 0.75) ** 2 < 1e-4)
    True
    """
    if isinstance(keep, float) and (keep * 256).is_integer() and 0.0 < keep < 1.0:
        return jax.random.bits(key, shape, jnp.uint8) < int(keep * 256)
    return jax.random.bernoulli(key, keep, shape)
