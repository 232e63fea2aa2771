"""Masks of regions: what they are to be, and how far they are from it.

Source: He et al., "Mask R-CNN", 2017, section 3, "Mask Representation"; torchvision's.
"""

import jax
import jax.numpy as jnp

from jaxnets.models.detection.regions import DrawnRegions
from jaxnets.models.detection.targets import Objects
from jaxnets.ops.precision import at_least_float32


def crop_masks(masks: jax.Array, corners: jax.Array, side: int) -> jax.Array:
    """The part of a mask in a box, as a grid: RoIAlign at ⌈box / side⌉ samples a cell.

    Bilinear samples on a grid are a product over rows and columns, and so is their mean: a cell is
    ⟨r, M c⟩ with weights r of the mask's rows and c of its columns.

    Args:
        masks: (R, H, W), 0 or 1, of any dtype.
        corners: (R, 4), in pixels.
        side: S, cells of the grid in each direction.

    Returns:
        float32 (R, S, S).

    Source: He et al., "Mask R-CNN", 2017, section 3, "RoIAlign"; torchvision's
    ``project_masks_on_boxes``.

    >>> mask = jnp.zeros((1, 8, 8)).at[0, :, 4:].set(1)
    >>> crop_masks(mask, jnp.array([[0.0, 0, 8, 8]]), 2)[0].round(3).tolist()
    [[0.125, 1.0], [0.125, 1.0]]
    """
    height, width = masks.shape[1:]
    corners = at_least_float32(corners)
    rows = _weights(corners[:, 1], corners[:, 3], height, side)
    columns = _weights(corners[:, 0], corners[:, 2], width, side)
    half = jnp.einsum("rsh,rhw->rsw", rows, masks.astype(rows.dtype))
    return jnp.einsum("rsw,rtw->rst", half, columns)


def mask_loss(
    drawn: DrawnRegions, objects: Objects, masks: jax.Array, there: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Cross entropy of the true class's mask, cell by cell, over the regions that hold an object.

    Args:
        drawn: of a batch.
        objects: of it.
        masks: (N, M, H, W), as the batch lists them.
        there: bool (N,), the images that count.

    Returns:
        Sum over cells, and their number.

    Raises:
        ValueError: masks that do not fit.

    Source: He et al., "Mask R-CNN", 2017, section 3.

    >>> one, box = jnp.ones((1, 1), bool), jnp.array([[[0.0, 0, 4, 4]]])
    >>> objects = Objects(box, jnp.zeros((1, 1), int), one, jnp.zeros((1, 1), int))
    >>> logits = jnp.zeros((1, 1, 2, 2, 2))
    >>> drawn = DrawnRegions(box, one, jnp.zeros((1, 1), int), mask_logits=logits)
    >>> total, count = mask_loss(drawn, objects, jnp.ones((1, 1, 4, 4)), one[0])
    >>> round(float(total / count), 4), int(count)
    (0.6931, 4)
    """
    logits = drawn.mask_logits
    number, side = logits.shape[1:3]
    if masks.ndim != 4 or masks.shape[0] != len(logits):
        raise ValueError(f"masks: got shape {masks.shape}; expected ({len(logits)}, M, H, W)")
    if masks.shape[1] == 0:
        masks = jnp.zeros((len(masks), 1, *masks.shape[2:]), masks.dtype)

    def one(corners, positive, matched, logits, objects, masks):
        object_ = jnp.maximum(matched, 0)
        own = masks[objects.order[object_]]
        wanted = jax.lax.stop_gradient(crop_masks(own, corners, side))
        label = objects.labels[object_] + 1
        logits = jnp.take_along_axis(logits, label[:, None, None, None], -1)[..., 0]
        losses = jax.nn.softplus(logits) - wanted * logits
        return jnp.where(positive[:, None, None], losses, 0.0).sum(), positive.sum() * side**2

    few = [part[:, :number] for part in (drawn.boxes, drawn.positive, drawn.matched)]
    sums, counts = jax.vmap(one)(few[0], few[1], few[2], logits, objects, masks)
    return jnp.where(there, sums, 0).sum(), jnp.where(there, counts, 0).sum()


def _weights(start, stop, extent, cells):
    """(R, cells, extent): the share of each pixel of an axis in the mean of a cell's samples."""
    length = jnp.maximum(stop - start, 1.0)
    number = jnp.ceil(length / cells)
    # No box is longer than the image; one sample more, since lengths are rounded.
    most = max(1, -(-extent // cells) + 1)
    sample = jnp.arange(most, dtype=start.dtype)
    cell = jnp.arange(cells, dtype=start.dtype)[:, None]
    within = (sample + 0.5) / number[:, None, None]
    place = start[:, None, None] + (cell + within) * (length / cells)[:, None, None]
    real = (sample < number[:, None, None]) & (place >= -1) & (place <= extent)
    place = jnp.clip(place, 0, extent - 1)
    pixels = jnp.arange(extent, dtype=start.dtype)
    share = jnp.maximum(1 - jnp.abs(place[..., None] - pixels), 0)
    return jnp.where(real[..., None], share, 0.0).sum(2) / number[:, None, None]
