"""Features of regions: RoIPool, RoIAlign on one map or a pyramid; masks back in their place."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.boxes.checks import as_bool, check_boxes, check_count, check_floating, check_shape
from jaxnets.ops.materialize import materialize
from jaxnets.ops.precision import at_least_float32

__all__ = ["assign_levels", "paste_masks", "roi_align", "roi_pool"]


def roi_align(
    features: jax.Array | Sequence[jax.Array],
    boxes: jax.Array,
    output_size: int,
    *,
    strides: float | Sequence[float],
    levels: jax.Array | None = None,
    mask: jax.Array | None = None,
    samples: int | None = 2,
    aligned: bool = False,
) -> jax.Array:
    """Bilinear samples of a feature map in each cell of a grid over each region, averaged.

    All maps of a pyramid are laid into one table of positions and every sample gathers its four
    neighbors from it, so a region costs 4·(output_size·samples)² products a channel, whichever map
    it comes from. Samples more than a pixel outside the map count as 0; nearer ones as the border.

    Args:
        features: (B, H, W, C), or several such maps, all of one B, C and dtype.
        boxes: (B, R, 4), corners in pixels of the image.
        output_size: P, cells of the grid in each direction.
        strides: pixels of the image to one of the map, for each map.
        levels: integer (B, R), which map each region is taken from, as `assign_levels` chooses; by
            default the first.
        mask: (B, R), true for a region; padding gives 0. By default all are regions.
        samples: S, samples of a cell in each direction; None: as many as positions of the map that
            the cell spans, rounded up, for each region (``sampling_ratio=0`` of torchvision and
            detectron2; regions should not be larger than the map, and cost as if they were as
            large).
        aligned: pixel centers at ½, as a continuous image has them (detectron2's
            ``ROIAlignV2``); otherwise at whole numbers, with regions at least a pixel wide, as in
            torchvision's published detectors.

    Returns:
        (B, R, P, P, C), like ``features``.

    Raises:
        ValueError: shapes, dtypes or numbers of maps that do not fit; counts below 1.

    Source: He et al., "Mask R-CNN", 2017, section 3, "RoIAlign".

    >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    >>> roi_align(x, jnp.array([[[0.0, 0, 4, 4]]]), 2, strides=1.0, aligned=True)[0, 0, ..., 0]
    Array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """
    maps, strides = _checked(features, boxes, output_size, strides, levels, mask)
    if samples is not None:
        check_count("samples", samples)
    batch, regions = boxes.shape[:2]
    if regions == 0 or any(0 in x.shape for x in maps):
        shape = (batch, regions, output_size, output_size, maps[0].shape[-1])
        return jnp.zeros(shape, maps[0].dtype)
    return _roi_align(maps, boxes, levels, mask, tuple(strides), output_size, samples, aligned)


# Compiled as one also where it is called outside jit, step by step.
@partial(jax.jit, static_argnums=(4, 5, 6, 7), inline=True)
def _roi_align(maps, boxes, levels, mask, strides, output_size, samples, aligned):
    batch, regions = boxes.shape[:2]
    channels, dtype = maps[0].shape[-1], maps[0].dtype
    table = jnp.concatenate([x.reshape(batch, -1, channels) for x in maps], 1)
    height, width, first, factor = _levels_of(maps, strides, levels, (batch, regions))
    wide = at_least_float32(boxes)
    # Rounded at each step, as in the reference: samples may lie on the border of the map exactly.
    corners = materialize(wide * factor.astype(wide.dtype)[..., None])
    corners = corners - (0.5 if aligned else 0.0)
    size = corners[..., 2:] - corners[..., :2]
    if not aligned:
        size = jnp.maximum(size, 1.0)
    # (B, R, points): one below and one above, and the share of the one above.
    spans = [max(x.shape[axis] for x in maps) for axis in (1, 2)]
    most = [samples or -(-span // output_size) for span in spans]
    own = [
        None if samples else jnp.clip(jnp.ceil(size[..., axis] / output_size), 0, most[1 - axis])
        for axis in (0, 1)
    ]
    x = _neighbors(corners[..., 0], size[..., 0], width, output_size, most[1], own[0])
    y = _neighbors(corners[..., 1], size[..., 1], height, output_size, most[0], own[1])
    rows = [first[..., None] + side * width[..., None] for side in y[:2]]
    weights = [(1 - y[2]) * y[3], y[2] * y[3]], [(1 - x[2]) * x[3], x[2] * x[3]]
    if mask is not None:
        weights[0][:] = [w * as_bool(mask).astype(w.dtype)[..., None] for w in weights[0]]
    shape = (batch, regions, output_size * most[0], output_size * most[1])
    total: jax.Array | float = 0.0
    for row, weight_y in zip(rows, weights[0], strict=True):
        for column, weight_x in zip(x[:2], weights[1], strict=True):
            index = (row[..., :, None] + column[..., None, :]).reshape(batch, -1)
            values = jax.vmap(lambda t, i: t.at[i].get(mode="promise_in_bounds"))(table, index)
            weight = weight_y[..., :, None] * weight_x[..., None, :]
            values = at_least_float32(values).reshape(*shape, channels)
            total = total + values * weight.astype(values.dtype)[..., None]
    grid = (batch, regions, output_size, most[0], output_size, most[1], channels)
    return total.reshape(grid).mean((3, 5)).astype(dtype)


def roi_pool(
    features: jax.Array,
    boxes: jax.Array,
    output_size: int,
    *,
    stride: float,
    mask: jax.Array | None = None,
) -> jax.Array:
    """The maximum of a feature map in each cell of a grid over each region.

    Regions are rounded to whole positions of the map, and cells to whole positions of the region;
    a cell that is empty gives 0. The derivative goes to the first position that has the maximum.

    Args:
        features: (B, H, W, C).
        boxes: (B, R, 4), corners in pixels of the image.
        output_size: P, cells of the grid in each direction.
        stride: pixels of the image to one of the map.
        mask: (B, R), true for a region; padding gives 0. By default all are regions.

    Returns:
        (B, R, P, P, C), like ``features``.

    Raises:
        ValueError: shapes or dtypes that do not fit; P below 1.

    Source: Girshick, "Fast R-CNN", 2015, section 2.1.

    >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    >>> roi_pool(x, jnp.array([[[0.0, 0, 3, 3]]]), 2, stride=1.0)[0, 0, ..., 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    (x,), strides = _checked(features, boxes, output_size, stride, None, mask)
    batch, height, width, channels = x.shape
    shape = (batch, boxes.shape[1], output_size, output_size, channels)
    if 0 in (boxes.shape[1], height, width):
        return jnp.zeros(shape, x.dtype)
    return _roi_pool(x, boxes, mask, 1.0 / strides[0], output_size)


@partial(jax.jit, static_argnums=4, inline=True)
def _roi_pool(x, boxes, mask, factor, output_size):
    batch, height, width, channels = x.shape
    shape = (batch, boxes.shape[1], output_size, output_size, channels)
    # C++'s round: halves away from zero. Products, not quotients, as the reference forms them.
    scaled = at_least_float32(lax.stop_gradient(boxes)) * factor
    corners = (jnp.sign(scaled) * jnp.floor(jnp.abs(scaled) + 0.5)).astype(jnp.int32)
    start_x, stop_x = _bins(corners[..., 0], corners[..., 2], width, output_size, scaled.dtype)
    start_y, stop_y = _bins(corners[..., 1], corners[..., 3], height, output_size, scaled.dtype)
    table = x.reshape(batch, height * width, channels)
    values = lax.stop_gradient(table)
    # One position of every cell at a time, in the order of reading, so the first maximum stays.
    tall, broad = (stop_y - start_y).max(), (stop_x - start_x).max()

    def look(step, best):
        value, place = best
        y = start_y + step // broad
        x = start_x + step % broad
        inside = (y < stop_y)[..., :, None] & (x < stop_x)[..., None, :]
        index = y[..., :, None] * width + x[..., None, :]
        index = jnp.where(inside, index, 0)
        found = jax.vmap(lambda t, i: t[i])(values, index)
        better = inside[..., None] & (found > value)
        return jnp.where(better, found, value), jnp.where(better, index[..., None], place)

    lowest = jnp.full(shape, -jnp.inf, x.dtype)
    nowhere = jnp.full(shape, -1, jnp.int32)
    _, place = lax.fori_loop(0, tall * broad, look, (lowest, nowhere))
    there = place >= 0
    if mask is not None:
        there &= as_bool(mask)[..., None, None, None]
    flat = jnp.maximum(place, 0).reshape(batch, -1, channels)
    pooled = jnp.take_along_axis(table, flat, 1).reshape(shape)
    return jnp.where(there, pooled, jnp.zeros_like(pooled))


def assign_levels(
    boxes: jax.Array,
    levels: int,
    *,
    first_level: int = 2,
    canonical_level: int = 4,
    canonical_size: float = 224.0,
) -> jax.Array:
    """The map of a feature pyramid that a region is taken from, by its area.

    k = ⌊4 + log₂(√(wh)/224)⌋, cut to the levels there are.

    Args:
        boxes: (…, 4), corners in pixels of the image.
        levels: how many maps there are.
        first_level: log₂ of the first map's stride.
        canonical_level, canonical_size: a region of this size is taken from this level.

    Returns:
        int32 (…), 0 for the first map.

    Raises:
        ValueError: shapes that do not fit, or no levels.

    Source: Lin et al., "Feature Pyramid Networks for Object Detection", 2017, equation 1.

    >>> assign_levels(jnp.array([[0.0, 0, 100, 100], [0.0, 0, 224, 224]]), 4).tolist()
    [0, 2]
    """
    check_boxes("boxes", boxes)
    check_count("levels", levels)
    sides = at_least_float32(boxes[..., 2:] - boxes[..., :2])
    size = jnp.sqrt(jnp.maximum(sides[..., 0] * sides[..., 1], 0))
    # A region without area belongs to the first map; log 0 is never formed. 1e-6 as in torchvision.
    level = jnp.log2(jnp.maximum(size, 1e-6) / canonical_size) + 1e-6
    level = jnp.floor(canonical_level + level).astype(jnp.int32) - first_level
    return jnp.clip(level, 0, levels - 1)


def paste_masks(
    masks: jax.Array,
    boxes: jax.Array,
    size: tuple[int, int],
    *,
    mask: jax.Array | None = None,
) -> jax.Array:
    """Lay the small mask of each region over the image, 0 outside of its box.

    The mask gets a border of one zero and the box grows accordingly, then its corners are cut to
    whole pixels, its last row and column included, and the mask is resized bilinearly, as in
    torchvision.

    Args:
        masks: (R, S, S), probabilities.
        boxes: (R, 4), corners in pixels.
        size: height and width of the image.
        mask: (R,), true for a region; padding gives 0. By default all are regions.

    Returns:
        (R, H, W), like ``masks``; compare with ½ for a binary mask.

    Raises:
        ValueError: shapes or dtypes that do not fit.

    Source: He et al., "Mask R-CNN", 2017, section 3.1, "Inference".

    >>> pasted = paste_masks(jnp.ones((1, 2, 2)), jnp.array([[1.0, 1, 3, 3]]), (4, 4))
    >>> (pasted[0, 2] >= 0.5).tolist()
    [False, True, True, True]
    """
    check_boxes("boxes", boxes, 2)
    check_floating("masks", masks)
    if masks.ndim != 3 or masks.shape[0] != boxes.shape[0] or masks.shape[1] != masks.shape[2]:
        raise ValueError(
            f"masks: got shape {masks.shape}; expected ({boxes.shape[0]}, S, S), one for each box"
        )
    if mask is not None:
        check_shape("mask", mask, (boxes.shape[0],), "one for each box")
    return _paste_masks(masks, boxes, mask, size)


@partial(jax.jit, static_argnums=3, inline=True)
def _paste_masks(masks, boxes, mask, size):
    side = masks.shape[1] + 2
    wide = at_least_float32(boxes)
    center = 0.5 * (wide[:, :2] + wide[:, 2:])
    half = 0.5 * (wide[:, 2:] - wide[:, :2]) * (side / (side - 2))
    start = jnp.trunc(center - half)
    extent = jnp.maximum(jnp.trunc(center + half) - start + 1, 1)
    across = _resize_matrix(start[:, 0], extent[:, 0], size[1], side)
    down = _resize_matrix(start[:, 1], extent[:, 1], size[0], side)
    if mask is not None:
        down = down * as_bool(mask).astype(down.dtype)[:, None, None]
    padded = jnp.pad(at_least_float32(masks), ((0, 0), (1, 1), (1, 1)))
    dtype = jnp.float64 if jnp.float64 in (padded.dtype, down.dtype) else jnp.float32
    down, padded, across = (x.astype(dtype) for x in (down, padded, across))
    # Highest: a probability of ½ is on the border of the mask.
    precise = lax.Precision.HIGHEST
    rows = jnp.einsum("rhs,rst->rht", down, padded, precision=precise)
    return jnp.einsum("rht,rwt->rhw", rows, across, precision=precise).astype(masks.dtype)


def _resize_matrix(start, extent, pixels, side):
    """(R, pixels, side): bilinear weights of ``side`` values that are laid over part of an axis."""
    place = jnp.arange(pixels, dtype=start.dtype)[None] - start[:, None]
    inside = (place >= 0) & (place < extent[:, None])
    source = jnp.clip((place + 0.5) * side / extent[:, None] - 0.5, 0, side - 1)
    entries = jnp.arange(side, dtype=start.dtype)
    weights = jnp.maximum(1 - jnp.abs(source[..., None] - entries[None, None]), 0)
    return jnp.where(inside[..., None], weights, 0.0)


def _neighbors(start, size, extent, cells, samples, own=None):
    """Of the samples along one axis, (B, R, cells·samples) each: the position below and above, the
    share of the one above, and 1 for those inside the map.

    With ``own`` (B, R) of the ``samples`` a region has only so many, the others have weight 0.
    """
    length = size / _divisor(cells, size)
    number, index = jnp.divmod(jnp.arange(cells * samples), samples)
    number, index = (part.astype(start.dtype)[None, None] for part in (number, index))
    place = start[..., None] + materialize(number * length[..., None])
    # A region without extent has no samples at all.
    count = _divisor(samples, length) if own is None else jnp.maximum(own, 1)
    within = (index + 0.5) * length[..., None] / count[..., None]
    place = place + materialize(within)
    last = (extent - 1)[..., None]
    inside = (place >= -1) & (place <= extent[..., None].astype(place.dtype))
    place = jnp.maximum(place, 0)
    below = jnp.minimum(jnp.floor(jnp.nan_to_num(place)), last.astype(place.dtype))
    share = jnp.clip(place - below, 0, 1)
    low = below.astype(jnp.int32)
    # At the last position both neighbors are the same.
    share = jnp.where(low >= last, 0.0, share)
    weight = inside.astype(place.dtype)
    if own is not None:
        weight = weight * jnp.where(index < own[..., None], samples / count[..., None], 0)
    return low, jnp.minimum(low + 1, last), share, weight


def _divisor(number, like):
    """A number that XLA does not know, so that it divides instead of multiplying by the inverse."""
    return jnp.where(jnp.isnan(like), like, number)


def _bins(start, stop, extent, cells, dtype):
    """First and last-but-one positions of each cell along one axis, int32 (B, R, cells)."""
    length = jnp.maximum(stop - start + 1, 1)
    size = length.astype(dtype)
    size = size / _divisor(cells, size)
    number = jnp.arange(cells, dtype=dtype)[None, None]
    first = jnp.floor(number * size[..., None]).astype(jnp.int32) + start[..., None]
    last = jnp.ceil((number + 1) * size[..., None]).astype(jnp.int32) + start[..., None]
    return jnp.clip(first, 0, extent), jnp.clip(last, 0, extent)


def _levels_of(maps, strides, levels, shape):
    """Height, width, first row of the table and 1/stride of the map of each region, each (B, R)."""
    heights = [x.shape[1] for x in maps]
    widths = [x.shape[2] for x in maps]
    firsts = [0]
    for height, width in zip(heights, widths, strict=True):
        firsts.append(firsts[-1] + height * width)
    level = jnp.zeros(shape, jnp.int32) if levels is None else jnp.clip(levels, 0, len(maps) - 1)
    return (
        jnp.asarray(heights, jnp.int32)[level],
        jnp.asarray(widths, jnp.int32)[level],
        jnp.asarray(firsts[:-1], jnp.int32)[level],
        jnp.asarray([1.0 / stride for stride in strides])[level],
    )


def _checked(features, boxes, output_size, strides, levels, mask):
    """The maps and their strides as lists."""
    maps = list(features) if isinstance(features, list | tuple) else [features]
    strides = list(strides) if isinstance(strides, list | tuple) else [strides]
    if not maps or len(strides) != len(maps):
        raise ValueError(f"strides: got {len(strides)}; expected one for each of {len(maps)} maps")
    check_count("output_size", output_size)
    check_boxes("boxes", boxes, 3)
    batch = boxes.shape[0]
    for x in maps:
        check_floating("features", x)
        if x.ndim != 4 or (x.shape[0], x.shape[3], x.dtype) != (
            batch,
            maps[0].shape[-1],
            maps[0].dtype,
        ):
            raise ValueError(
                f"features: got {x.dtype}{list(x.shape)}; expected ({batch}, H, W, C) as boxes "
                "have it, all maps of one C and dtype"
            )
    if not all(stride > 0 for stride in strides):
        raise ValueError(f"strides: got {strides}; expected positive numbers")
    for name, given in (("levels", levels), ("mask", mask)):
        if given is not None:
            check_shape(name, given, boxes.shape[:2], "one for each region")
    return maps, strides
