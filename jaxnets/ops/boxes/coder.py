"""What a network predicts of a box: its offset from an anchor, and back."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxnets.ops.boxes.checks import check_boxes, check_shape, safe_divide
from jaxnets.ops.precision import at_least_float32

# No box is larger than this many anchors: exp(log(1000/16)), so that exp never overflows.
LARGEST = math.log(1000 / 16)
# A target without width has no logarithm: it counts as this share of its anchor.
SMALLEST = 1e-3


def encode(
    boxes: jax.Array, anchors: jax.Array, *, weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)
) -> jax.Array:
    """Offsets of boxes from anchors.

    t_x = w_x·(x − x_a)/w_a, t_w = w_w·log(w/w_a), and the same for y and the height; x is the
    center. An anchor without area, such as padding, gives 0; a box narrower than 1/1000 of its
    anchor is taken as that wide.

    Args:
        boxes: (…, 4), corners in pixels.
        anchors: (…, 4), corners in pixels, of the same shape.
        weights: of x, y, width and height: Fast R-CNN's are 10, 10, 5, 5, the inverse of the
            targets' standard deviations .1, .1, .2, .2.

    Returns:
        (…, 4), like ``boxes``.

    Raises:
        ValueError: shapes that do not fit.

    Source: Girshick et al., "Rich feature hierarchies", 2014, appendix C.

    >>> anchor = jnp.array([[0.0, 0.0, 10.0, 10.0]])
    >>> encode(jnp.array([[5.0, 0.0, 15.0, 10.0]]), anchor).tolist()
    [[0.5, 0.0, 0.0, 0.0]]
    """
    _check_pair("boxes", boxes, anchors)
    (center, size), (own_center, own_size) = _center_and_size(boxes), _center_and_size(anchors)
    shift = safe_divide(center - own_center, own_size)
    ratio = safe_divide(size, own_size)
    flat = own_size <= 0
    stretch = jnp.where(flat, 0.0, jnp.log(jnp.maximum(ratio, SMALLEST)))
    return (jnp.concatenate([shift, stretch], -1) * _row(weights, shift)).astype(boxes.dtype)


def decode(
    deltas: jax.Array,
    anchors: jax.Array,
    *,
    weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    largest: float = LARGEST,
) -> jax.Array:
    """Boxes from anchors and their offsets: the inverse of `encode`.

    Args:
        deltas: (…, 4), as `encode` makes them.
        anchors: (…, 4), corners in pixels, of a shape that broadcasts: ``(N, 1, 4)`` for
            ``(N, K, 4)`` offsets of K classes.
        weights: as of `encode`.
        largest: logarithms of sizes are cut off there.

    Returns:
        (…, 4), corners in pixels, like ``deltas``.

    Raises:
        ValueError: shapes that do not fit.

    Source: Girshick et al., "Rich feature hierarchies", 2014, appendix C, equations 1 to 4.

    >>> anchor = jnp.array([[0.0, 0.0, 10.0, 10.0]])
    >>> decode(jnp.array([[0.5, 0.0, 0.0, 0.0]]), anchor).tolist()
    [[5.0, 0.0, 15.0, 10.0]]
    """
    check_boxes("deltas", deltas)
    check_boxes("anchors", anchors)
    if deltas.ndim != anchors.ndim:
        raise ValueError(
            f"anchors: got shape {anchors.shape}; expected as many axes as deltas, {deltas.shape}"
        )
    center, size = _center_and_size(anchors)
    wide = at_least_float32(deltas)
    wide = wide / _row(weights, wide)
    center = wide[..., :2] * size + center
    return _corners(center, wide[..., 2:], size, largest).astype(deltas.dtype)


def encode_distances(boxes: jax.Array, anchors: jax.Array) -> jax.Array:
    """Distances of a box's four sides from an anchor's center, in units of the anchor's size.

    Args:
        boxes: (…, 4), corners in pixels.
        anchors: (…, 4), corners in pixels, of the same shape.

    Returns:
        (…, 4), left, top, right and bottom, positive inside the box.

    Raises:
        ValueError: shapes that do not fit.

    Source: Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", 2019, equation 1.

    >>> anchor = jnp.array([[4.0, 4.0, 12.0, 12.0]])
    >>> encode_distances(jnp.array([[0.0, 0.0, 16.0, 24.0]]), anchor).tolist()
    [[1.0, 1.0, 1.0, 2.0]]
    """
    _check_pair("boxes", boxes, anchors)
    center, size = _center_and_size(anchors)
    wide = at_least_float32(boxes)
    apart = jnp.concatenate([center - wide[..., :2], wide[..., 2:] - center], -1)
    return safe_divide(apart, jnp.concatenate([size, size], -1)).astype(boxes.dtype)


def decode_distances(distances: jax.Array, anchors: jax.Array) -> jax.Array:
    """Boxes from an anchor's center and the distances of the sides: the inverse.

    Args:
        distances: (…, 4), as `encode_distances` makes them.
        anchors: (…, 4), corners in pixels, of the same shape.

    Returns:
        (…, 4), corners in pixels, like ``distances``.

    Raises:
        ValueError: shapes that do not fit.

    Source: Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", 2019, section 3.1.

    >>> anchor = jnp.array([[4.0, 4.0, 12.0, 12.0]])
    >>> decode_distances(jnp.array([[1.0, 1.0, 1.0, 2.0]]), anchor).tolist()
    [[0.0, 0.0, 16.0, 24.0]]
    """
    _check_pair("distances", distances, anchors)
    center, size = _center_and_size(anchors)
    wide = at_least_float32(distances)
    corners = [center - wide[..., :2] * size, center + wide[..., 2:] * size]
    return jnp.concatenate(corners, -1).astype(distances.dtype)


def encode_grid(boxes: jax.Array, cells: jax.Array, sizes: jax.Array, stride: float) -> jax.Array:
    """Where a box's center lies in its cell, and the logarithm of its size: YOLO's targets.

    Args:
        boxes: (…, 4), corners in pixels.
        cells: (…, 2), column and row of the cell, floating.
        sizes: (…, 2), width and height of the anchor in pixels.
        stride: pixels to a cell.

    Returns:
        (…, 4): x and y in 0 … 1 of the cell, log(w/w_a), log(h/h_a).

    Raises:
        ValueError: shapes that do not fit.

    Source: Redmon, Farhadi, "YOLO9000", 2017, section 2, "Direct location prediction".

    >>> box, cell = jnp.array([[8.0, 8.0, 24.0, 24.0]]), jnp.array([[1.0, 1.0]])
    >>> encode_grid(box, cell, jnp.array([[16.0, 16.0]]), 10.0).tolist()
    [[0.600..., 0.600..., 0.0, 0.0]]
    """
    check_boxes("boxes", boxes)
    check_shape("cells", cells, (*boxes.shape[:-1], 2), "a column and a row for each box")
    check_shape("sizes", sizes, (*boxes.shape[:-1], 2), "an anchor for each box")
    center, size = _center_and_size(boxes)
    ratio = safe_divide(size, at_least_float32(sizes))
    place = center / stride - at_least_float32(cells)
    return jnp.concatenate([place, jnp.log(jnp.maximum(ratio, SMALLEST))], -1).astype(boxes.dtype)


def decode_grid(
    raw: jax.Array, sizes: jax.Array, stride: float, *, spread: float = 1.0
) -> jax.Array:
    """Boxes from the raw outputs of a grid of cells with A anchors each, as of YOLO v2 and v3.

    x = (s·σ(t_x) − (s − 1)/2 + column)·stride, w = w_a·exp(t_w), and the same for y and the height.

    Args:
        raw: (…, H, W, A, 4).
        sizes: (A, 2), width and height of the anchors in pixels.
        stride: pixels to a cell.
        spread: s, 1 in YOLO v2 and v3; above 1 a box's center reaches its cell's border, as in
            YOLO v4, whose cfg files call it ``scale_x_y``.

    Returns:
        (…, H, W, A, 4), corners in pixels, like ``raw``.

    Raises:
        ValueError: shapes that do not fit.

    Source: Redmon, Farhadi, "YOLO9000", 2017, section 2, "Direct location prediction"; Bochkovskiy,
    Wang, Liao, "YOLOv4", 2020, section 3.4, "Eliminate grid sensitivity".

    >>> decode_grid(jnp.zeros((1, 2, 1, 4)), jnp.array([[4.0, 8.0]]), 8.0)[0, 1, 0].tolist()
    [10.0, 0.0, 14.0, 8.0]
    """
    check_boxes("raw", raw)
    if raw.ndim < 4:
        raise ValueError(f"raw: got shape {raw.shape}; expected (…, H, W, A, 4)")
    rows, columns, kinds = raw.shape[-4:-1]
    check_shape("sizes", sizes, (kinds, 2), "width and height of each anchor")
    wide = at_least_float32(raw)
    lead = (1,) * (raw.ndim - 4)
    y, x = jnp.meshgrid(
        jnp.arange(rows, dtype=wide.dtype), jnp.arange(columns, dtype=wide.dtype), indexing="ij"
    )
    cells = jnp.stack([x, y], -1).reshape(*lead, rows, columns, 1, 2)
    inside = spread * jax.nn.sigmoid(wide[..., :2]) - (spread - 1) / 2
    center = (inside + cells) * stride
    own = at_least_float32(sizes).astype(wide.dtype).reshape(*lead, 1, 1, kinds, 2)
    return _corners(center, wide[..., 2:], own, LARGEST).astype(raw.dtype)


def _check_pair(name, values, anchors):
    """Four numbers each, of one shape."""
    check_boxes(name, values)
    check_boxes("anchors", anchors)
    check_shape("anchors", anchors, values.shape, f"that of {name}")


def _corners(center, stretch, size, largest):
    """Boxes around centers, exp(stretch) times as large as ``size``; the exponent is cut off."""
    half = 0.5 * jnp.exp(jnp.minimum(stretch, largest)) * size
    return jnp.concatenate([center - half, center + half], -1)


def _center_and_size(boxes):
    wide = at_least_float32(boxes)
    size = wide[..., 2:] - wide[..., :2]
    return wide[..., :2] + 0.5 * size, size


def _row(weights, like):
    """Four weights, shaped to multiply (…, 4)."""
    row = jnp.asarray(weights, like.dtype)
    check_shape("weights", row, (4,), "of x, y, width and height")
    return row.reshape((1,) * (like.ndim - 1) + (4,))
