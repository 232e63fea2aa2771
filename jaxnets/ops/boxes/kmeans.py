"""Anchors that fit a data set: k-means of box sizes with 1 − IoU as the distance."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.ops.boxes.checks import as_bool, check_count, check_floating, safe_divide
from jaxnets.ops.precision import at_least_float32


class Clusters(NamedTuple):
    """Anchors by rising area, and how well they fit.

    Attributes:
        sizes: (k, 2), width and height, in the unit of what was given.
        mean_iou: scalar, the mean over boxes of the IoU with the anchor that fits best.

    >>> Clusters._fields
    ('sizes', 'mean_iou')
    """

    sizes: jax.Array
    mean_iou: jax.Array


def anchors_by_kmeans(
    key: jax.Array,
    sizes: jax.Array,
    k: int,
    *,
    mask: jax.Array | None = None,
    iterations: int = 50,
) -> Clusters:
    """Cluster widths and heights: a center is the mean of the boxes that overlap it most.

    Boxes are compared as if they had one corner in common. The first centers are drawn from the
    boxes by k-means++; a center that loses all its boxes stays where it is.

    Args:
        key: a JAX random key.
        sizes: (N, 2), width and height of boxes, in any unit.
        k: how many anchors.
        mask: (N,), true for a box, false for padding; boxes without area are left out anyway.
        iterations: of assignment and mean; a few dozen reach the end.

    Returns:
        `Clusters`; zeros where there are no boxes.

    Raises:
        ValueError: shapes that do not fit, or k below 1 or above N.

    Source: Redmon, Farhadi, "YOLO9000", 2017, section 2, "Dimension clusters"; Arthur,
    Vassilvitskii, "k-means++", 2007.

    >>> sizes = jnp.array([[10.0, 10], [11, 10], [40, 80], [42, 80]])
    >>> anchors_by_kmeans(jax.random.key(0), sizes, 2).sizes.tolist()
    [[10.5, 10.0], [41.0, 80.0]]
    """
    check_floating("sizes", sizes)
    if sizes.ndim != 2 or sizes.shape[1] != 2:
        raise ValueError(f"sizes: got shape {sizes.shape}; expected (N, 2), width and height")
    check_count("k", k)
    if k > sizes.shape[0]:
        raise ValueError(f"k: got {k}; expected at most {sizes.shape[0]}, the number of boxes")
    mask = jnp.ones(sizes.shape[0], bool) if mask is None else mask
    if mask.shape != sizes.shape[:1]:
        raise ValueError(f"mask: got shape {mask.shape}; expected {sizes.shape[:1]}")
    check_count("iterations", iterations)
    return _kmeans(key, sizes, mask, k, iterations)


@partial(jax.jit, static_argnums=(3, 4))
def _kmeans(key, sizes, mask, k, iterations):
    wide = at_least_float32(sizes)
    weight = (as_bool(mask) & (wide > 0).all(-1)).astype(wide.dtype)

    def distances(centers):
        shared = jnp.minimum(wide[:, None], centers[None]).prod(-1)
        together = wide.prod(-1)[:, None] + centers.prod(-1)[None] - shared
        return 1 - safe_divide(shared, together)

    def draw(centers, step):
        number, key = step
        taken = jnp.arange(k) < number
        nearest = jnp.where(taken[None], distances(centers), 1.0).min(1)
        chance = weight * nearest**2
        # Where all boxes lie on centers already, any box will do.
        chance = jnp.where(chance.sum() > 0, chance, weight)
        index = jax.random.categorical(key, jnp.log(chance))
        return centers.at[number].set(wide[index] * weight[index]), None

    numbers = jnp.arange(k)
    centers, _ = jax.lax.scan(
        draw, jnp.zeros((k, 2), wide.dtype), (numbers, jax.random.split(key, k))
    )

    def move(_, centers):
        mine = jax.nn.one_hot(distances(centers).argmin(1), k, dtype=wide.dtype) * weight[:, None]
        count = mine.sum(0)[:, None]
        mean = (mine.T @ wide) / jnp.maximum(count, 1)
        return jnp.where(count > 0, mean, centers)

    centers = jax.lax.fori_loop(0, iterations, move, centers)
    centers = centers[jnp.argsort(centers.prod(-1))]
    best = 1 - distances(centers).min(1)
    mean = safe_divide((best * weight).sum(), weight.sum())
    return Clusters(centers.astype(sizes.dtype), mean.astype(sizes.dtype))
