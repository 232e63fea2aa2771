"""Pooling begun at every pixel of its first window: a classifier's places lie closer together.

Source: Sermanet et al., "OverFeat", 2013, section 3.3.
"""

import jax
import jax.numpy as jnp

from jaxnets.ops.pooling import max_pool


def offset_max_pool(x: jax.Array, window: int, offsets: int | None = None) -> jax.Array:
    """Non-overlapping max pooling, once for each offset of its first window.

    Args:
        x: (N, H, W, C).
        window: side of the windows, and their stride.
        offsets: how many offsets in each direction, 0, 1, …; None: as many as the window's side,
            1: ordinary pooling.

    Returns:
        (offsets², N, H', W', C), H' = ⌊(H − offsets + 1)/window⌋, so that all have one size; offset
        (i, j) is entry i·offsets + j.

    Raises:
        ValueError: a map smaller than a window at the last offset, or more offsets than the
            window's side.

    Source: Sermanet et al. 2013, section 3.3, figure 3.

    >>> x = jnp.arange(5.0).reshape(1, 1, 5, 1).repeat(3, 1)
    >>> offset_max_pool(x, 2)[..., 0, :, 0].tolist()
    [[[1.0, 3.0]], [[2.0, 4.0]], [[1.0, 3.0]], [[2.0, 4.0]]]
    """
    offsets = window if offsets is None else offsets
    if not 1 <= offsets <= window:
        raise ValueError(f"offsets: got {offsets}; expected 1 to {window}, the window's side")
    rows, columns = ((length - offsets + 1) // window for length in x.shape[1:3])
    if min(rows, columns) < 1:
        raise ValueError(
            f"x: got a map of {x.shape[1:3]}; expected at least {window + offsets - 1} each way "
            f"for windows of {window} at {offsets} offsets"
        )
    parts = [
        max_pool(x[:, i : i + rows * window, j : j + columns * window], window)
        for i in range(offsets)
        for j in range(offsets)
    ]
    return jnp.stack(parts)


def interleave_offsets(y: jax.Array) -> jax.Array:
    """What was computed at each offset, laid into one map in the order of the places.

    Args:
        y: (offsets², N, H, W, C), in the order of `offset_max_pool`.

    Returns:
        (N, offsets·H, offsets·W, C): place (offsets·h + i, offsets·w + j) is place (h, w) of
        offset (i, j).

    Raises:
        ValueError: a number of offsets that is no square.

    Source: Sermanet et al. 2013, section 3.3, step (d).

    >>> interleave_offsets(jnp.arange(4.0).reshape(4, 1, 1, 1, 1))[0, ..., 0].tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    """
    count, batch, rows, columns, channels = y.shape
    side = round(count**0.5)
    if side * side != count:
        raise ValueError(f"y: got {count} offsets; expected a square number of them")
    y = y.reshape(side, side, batch, rows, columns, channels).transpose(2, 3, 0, 4, 1, 5)
    return y.reshape(batch, side * rows, side * columns, channels)
