"""What all methods of optical flow share: gradients, warping, and going from coarse to fine.

Flow (H, W, 2) is in pixels: (u, v), to the right and down, such that second(x + u, y + v) is
first(x, y).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def warp(image: jax.Array, flow: jax.Array) -> jax.Array:
    """image(x + u, y + v), bilinearly; beyond the border the nearest pixel.

    Args:
        image: (H, W) or (H, W, C), floating.
        flow: (H, W, 2).

    Returns:
        like ``image``.

    Raises:
        ValueError: shapes that do not fit.

    >>> image = jnp.arange(12.0).reshape(3, 4)
    >>> warp(image, jnp.full((3, 4, 2), jnp.array([1.0, 0.0])))[0].tolist()
    [1.0, 2.0, 3.0, 3.0]
    """
    if flow.shape != (*image.shape[:2], 2):
        raise ValueError(f"flow: expected {(*image.shape[:2], 2)}, got {flow.shape}")
    if image.ndim == 3:
        return jax.vmap(warp, (-1, None), -1)(image, flow)
    lows, shares = [], []
    for axis, moved in enumerate((flow[..., 1], flow[..., 0])):
        last = image.shape[axis] - 1
        place = lax.broadcasted_iota(flow.dtype, image.shape, axis) + moved
        place = jnp.clip(place, 0, last)
        low = jnp.clip(jnp.floor(place), 0, max(last - 1, 0))
        lows.append(low.astype(jnp.int32))
        shares.append((place - low).astype(image.dtype))
    (y, x), (dy, dx) = lows, shares
    below, right = jnp.minimum(y + 1, image.shape[0] - 1), jnp.minimum(x + 1, image.shape[1] - 1)
    upper = image[y, x] * (1 - dx) + image[y, right] * dx
    lower = image[below, x] * (1 - dx) + image[below, right] * dx
    return upper * (1 - dy) + lower * dy


def gradients(image: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Derivatives to the right and down by (1, −8, 0, 8, −1) / 12; borders are repeated.

    Args:
        image: (H, W).

    Returns:
        (image_x, image_y), each (H, W).

    Source: Wedel et al. 2009 (An Improved Algorithm for TV-L1 Optical Flow), section 4.

    >>> image_x, image_y = gradients(jnp.arange(30.0).reshape(5, 6))
    >>> image_x[2, 2].item(), image_y[2, 2].item()
    (1.0, 6.0)
    """

    def along(axis):
        widths = [(2, 2) if a == axis else (0, 0) for a in range(2)]
        padded = jnp.pad(image, widths, mode="edge")
        n = image.shape[axis]
        at = [lax.slice_in_dim(padded, i, i + n, axis=axis) for i in range(5)]
        return (at[0] - 8 * at[1] + 8 * at[3] - at[4]) / 12

    return along(1), along(0)


def smooth(image: jax.Array, sigma: float) -> jax.Array:
    """Gaussian blur; borders are repeated.

    Args:
        image: (H, W).
        sigma: standard deviation in pixels.

    Returns:
        (H, W).

    >>> round(float(smooth(jnp.eye(9), 1.0).max()), 3) < 1
    True
    """
    radius = max(1, int(3 * sigma + 0.5))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).tolist()
    for axis in (0, 1):
        widths = [(radius, radius) if a == axis else (0, 0) for a in range(2)]
        padded = jnp.pad(image, widths, mode="edge")
        n = image.shape[axis]
        image = sum(
            kernel[i] * lax.slice_in_dim(padded, i, i + n, axis=axis) for i in range(2 * radius + 1)
        )
    return image


def coarse_to_fine(
    first: jax.Array,
    second: jax.Array,
    refine: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
    *,
    levels: int,
    smallest: int = 12,
) -> jax.Array:
    """Flow by a pyramid: found on small pictures, doubled, and refined on larger ones.

    Args:
        first, second: (H, W) floating.
        refine: (first, second, flow) → flow, all of one size.
        levels: sizes, each half of the one before; fewer where the shorter side would get below
            ``smallest``.
        smallest: pixels.

    Returns:
        (H, W, 2).

    Source: Bouguet 2001 (Pyramidal Implementation of the Lucas Kanade Feature Tracker), section 2.

    >>> nothing = jnp.zeros((16, 24))
    >>> coarse_to_fine(nothing, nothing, lambda a, b, flow: flow + 1, levels=1)[0, 0].tolist()
    [1.0, 1.0]
    """
    pyramid = [(first, second)]
    while len(pyramid) < levels and min(pyramid[-1][0].shape) // 2 >= smallest:
        height, width = pyramid[-1][0].shape
        shape = (-(-height // 2), -(-width // 2))
        pyramid.append(
            tuple(jax.image.resize(smooth(p, 0.8), shape, "linear") for p in pyramid[-1])
        )
    flow = jnp.zeros((*pyramid[-1][0].shape, 2), first.dtype)
    for a, b in reversed(pyramid):
        if flow.shape[:2] != a.shape:
            grown = [a.shape[1] / flow.shape[1], a.shape[0] / flow.shape[0]]
            flow = jax.image.resize(flow, (*a.shape, 2), "linear")
            flow = jnp.stack([flow[..., i] * grown[i] for i in (0, 1)], -1)
        flow = refine(a, b, flow)
    return flow


def as_pair(first: jax.Array, second: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Two pictures as gray ones in float32 or wider, scaled so that 255 stays 255.

    Args:
        first, second: (H, W) or (H, W, C), of one shape and dtype.

    Returns:
        Two arrays (H, W).

    Raises:
        ValueError: other shapes.

    >>> as_pair(jnp.zeros((4, 5, 3), jnp.uint8), jnp.zeros((4, 5, 3), jnp.uint8))[0].shape
    (4, 5)
    """
    if first.shape != second.shape or first.ndim not in (2, 3):
        raise ValueError(
            f"second: expected a picture of the shape of the first, (H, W) or (H, W, C), got "
            f"{first.shape} and {second.shape}"
        )
    pair = []
    for image in (first, second):
        image = jnp.asarray(image)
        image = image.astype(jnp.promote_types(image.dtype, jnp.float32))
        pair.append(image.mean(-1) if image.ndim == 3 else image)
    return pair[0], pair[1]
