"""Intersection over union and its three relatives that also have gradients for boxes far apart."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops.boxes.checks import check_boxes, safe_divide
from jaxnets.ops.boxes.formats import area
from jaxnets.ops.precision import at_least_float32


def iou(a: jax.Array, b: jax.Array, *, paired: bool = False) -> jax.Array:
    """Intersection over union, the Jaccard index of two boxes.

    IoU = |a ∩ b| / |a ∪ b|, and 0 where both have no area.

    Args:
        a: (…, N, 4), corners in pixels.
        b: (…, M, 4), with the same leading axes and dtype.
        paired: compare each box of ``a`` with the one at the same place in ``b``.

    Returns:
        (…, N, M), or (…, N) if paired, in [0, 1].

    Raises:
        ValueError: shapes or dtypes that do not fit.

    Source: Everingham et al., "The PASCAL Visual Object Classes Challenge", 2010, section 4.2.

    >>> a = jnp.array([[0.0, 0.0, 2.0, 2.0]])
    >>> iou(a, jnp.array([[1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 5.0, 5.0]])).tolist()
    [[0.333..., 0.0]]
    """
    a, b, dtype = _facing(a, b, paired)
    intersection, union = intersection_and_union(a, b)
    return safe_divide(intersection, union).astype(dtype)


def generalized_iou(a: jax.Array, b: jax.Array, *, paired: bool = False) -> jax.Array:
    """IoU less the share of the smallest enclosing box that neither covers.

    GIoU = IoU − (|c| − |a ∪ b|) / |c|, c the smallest box around both.

    Args:
        a: (…, N, 4), corners in pixels.
        b: (…, M, 4), with the same leading axes and dtype.
        paired: compare each box of ``a`` with the one at the same place in ``b``.

    Returns:
        (…, N, M), or (…, N) if paired, in [−1, 1]. A quotient 0/0 is 0.

    Raises:
        ValueError: shapes or dtypes that do not fit.

    Source: Rezatofighi et al., "Generalized Intersection over Union", 2019, algorithm 1.

    >>> a, b = jnp.array([[0.0, 0.0, 1.0, 1.0]]), jnp.array([[3.0, 0.0, 4.0, 1.0]])
    >>> generalized_iou(a, b).tolist()
    [[-0.5]]
    """
    a, b, dtype = _facing(a, b, paired)
    intersection, union = intersection_and_union(a, b)
    around = _sides_around(a, b)
    hull = around[..., 0] * around[..., 1]
    return (safe_divide(intersection, union) - safe_divide(hull - union, hull)).astype(dtype)


def distance_iou(a: jax.Array, b: jax.Array, *, paired: bool = False) -> jax.Array:
    """IoU less the squared distance of the centers in units of the enclosing diagonal.

    DIoU = IoU − ρ²/c², ρ the distance of the centers, c the diagonal of the smallest box around
    both.

    Args:
        a: (…, N, 4), corners in pixels.
        b: (…, M, 4), with the same leading axes and dtype.
        paired: compare each box of ``a`` with the one at the same place in ``b``.

    Returns:
        (…, N, M), or (…, N) if paired, in [−1, 1]. A quotient 0/0 is 0.

    Raises:
        ValueError: shapes or dtypes that do not fit.

    Source: Zheng et al., "Distance-IoU Loss", 2020, equation 7.

    >>> a, b = jnp.array([[0.0, 0.0, 2.0, 2.0]]), jnp.array([[0.0, 0.0, 2.0, 2.0]])
    >>> distance_iou(a, b).tolist()
    [[1.0]]
    """
    a, b, dtype = _facing(a, b, paired)
    return _distance_iou(a, b)[0].astype(dtype)


def complete_iou(a: jax.Array, b: jax.Array, *, paired: bool = False) -> jax.Array:
    """DIoU less a term for the difference of the aspect ratios.

    CIoU = IoU − ρ²/c² − αv, v = (4/π²)·(arctan(w_a/h_a) − arctan(w_b/h_b))² and
    α = v / (1 − IoU + v), which counts as a constant in derivatives.

    Args:
        a: (…, N, 4), corners in pixels.
        b: (…, M, 4), with the same leading axes and dtype.
        paired: compare each box of ``a`` with the one at the same place in ``b``.

    Returns:
        (…, N, M), or (…, N) if paired, at most 1. A quotient 0/0 is 0.

    Raises:
        ValueError: shapes or dtypes that do not fit.

    Source: Zheng et al., "Distance-IoU Loss", 2020, equations 8 to 11.

    >>> a, b = jnp.array([[0.0, 0.0, 2.0, 2.0]]), jnp.array([[0.0, 0.0, 2.0, 1.0]])
    >>> round(float(complete_iou(a, b)[0, 0]), 4)
    0.4655
    """
    a, b, dtype = _facing(a, b, paired)
    distance, overlap = _distance_iou(a, b)
    v = 4 / np.pi**2 * (_aspect_angle(a) - _aspect_angle(b)) ** 2
    alpha = jax.lax.stop_gradient(safe_divide(v, 1 - overlap + v))
    return (distance - alpha * v).astype(dtype)


def intersection_and_union(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Areas that two arrays of boxes share and cover, entry by entry.

    Args:
        a, b: (…, 4) of shapes that broadcast.

    Returns:
        two arrays (…).

    >>> a = jnp.array([0.0, 0.0, 2.0, 2.0])
    >>> [float(x) for x in intersection_and_union(a, a + 1)]
    [1.0, 7.0]
    """
    shared = jnp.minimum(a[..., 2:], b[..., 2:]) - jnp.maximum(a[..., :2], b[..., :2])
    shared = jnp.maximum(shared, 0)
    intersection = shared[..., 0] * shared[..., 1]
    return intersection, area(a) + area(b) - intersection


def _facing(a, b, paired):
    """Both in float32 at least, shaped so that entry meets entry, and the dtype of the result."""
    check_boxes("a", a)
    check_boxes("b", b)
    if a.dtype != b.dtype:
        raise ValueError(f"b: got {b.dtype}; expected {a.dtype}, the dtype of a")
    if paired:
        if a.shape != b.shape:
            raise ValueError(f"b: got shape {b.shape}; expected that of a, {a.shape}, as paired")
    else:
        if a.ndim < 2 or b.ndim < 2 or a.shape[:-2] != b.shape[:-2]:
            raise ValueError(
                f"b: got shape {b.shape} beside {a.shape} of a; expected (…, N, 4) and (…, M, 4) "
                "with the same leading axes"
            )
        a, b = a[..., :, None, :], b[..., None, :, :]
    return at_least_float32(a), at_least_float32(b), a.dtype


def _sides_around(a, b):
    """Width and height of the smallest box around two."""
    return jnp.maximum(jnp.maximum(a[..., 2:], b[..., 2:]) - jnp.minimum(a[..., :2], b[..., :2]), 0)


def _distance_iou(a, b):
    intersection, union = intersection_and_union(a, b)
    overlap = safe_divide(intersection, union)
    diagonal = (_sides_around(a, b) ** 2).sum(-1)
    apart = (0.5 * (a[..., :2] + a[..., 2:]) - 0.5 * (b[..., :2] + b[..., 2:])) ** 2
    return overlap - safe_divide(apart.sum(-1), diagonal), overlap


def _aspect_angle(boxes):
    """arctan(w/h); 0 for a box that is a point, where the angle has no derivative."""
    sides = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    width, height = sides[..., 0], sides[..., 1]
    point = (width == 0) & (height == 0)
    return jnp.arctan2(width, jnp.where(point, jnp.ones_like(height), height))
