"""Key points of regions: one cell of a map for each, in training and back to pixels.

Source: He et al., "Mask R-CNN", 2017, section 5; torchvision's.
"""

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.models.detection.regions import DrawnRegions
from jaxnets.models.detection.targets import Objects
from jaxnets.ops.precision import at_least_float32

# Of the cubic kernel, as PyTorch and OpenCV have it.
SHARPNESS = -0.75


def keypoint_cells(
    keypoints: jax.Array, corners: jax.Array, side: int
) -> tuple[jax.Array, jax.Array]:
    """The cell of a grid over a box that each key point lies in.

    Args:
        keypoints: (R, J, 3), x and y in pixels, and visibility, 0 for one that isn't marked.
        corners: (R, 4), of the box.
        side: S, cells in each direction.

    Returns:
        int32 (R, J), row · S + column, 0 for one that does not count; and bool (R, J): those that
        are marked and inside of the box.

    Source: torchvision's ``keypoints_to_heatmap``.

    >>> points = jnp.array([[[3.0, 1, 2], [9, 1, 2], [8, 1, 2]]])
    >>> cell, counts = keypoint_cells(points, jnp.array([[0.0, 0, 8, 8]]), 4)
    >>> cell.tolist(), counts.tolist()
    ([[1, 0, 3]], [[True, False, True]])
    """
    start, stop = corners[:, None, :2], corners[:, None, 2:]
    place = keypoints[..., :2]
    extent = stop - start
    cell = jnp.floor((place - start) * side / jnp.where(extent > 0, extent, 1.0))
    # The box's own border belongs to its last cells.
    cell = jnp.where(place == stop, side - 1, cell)
    inside = ((cell >= 0) & (cell < side) & (extent > 0)).all(-1)
    counts = inside & (keypoints[..., 2] > 0)
    cell = jnp.where(counts[..., None], cell, 0).astype(jnp.int32)
    return cell[..., 1] * side + cell[..., 0], counts


def keypoint_loss(
    drawn: DrawnRegions, objects: Objects, keypoints: jax.Array, there: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Cross entropy over the cells of a map, of each key point that is marked.

    Args:
        drawn: of a batch.
        objects: of it.
        keypoints: (N, M, J, 3), as the batch lists them.
        there: bool (N,), the images that count.

    Returns:
        Sum over key points, and their number.

    Raises:
        ValueError: key points that do not fit.

    Source: He et al., "Mask R-CNN", 2017, section 5.

    >>> one, box = jnp.ones((1, 1), bool), jnp.array([[[0.0, 0, 4, 4]]])
    >>> objects = Objects(box, jnp.zeros((1, 1), int), one, jnp.zeros((1, 1), int))
    >>> logits = jnp.zeros((1, 1, 2, 2, 1))
    >>> drawn = DrawnRegions(box, one, jnp.zeros((1, 1), int), keypoint_logits=logits)
    >>> total, count = keypoint_loss(drawn, objects, jnp.ones((1, 1, 1, 3)), one[0])
    >>> round(float(total), 4), int(count)  # log 4
    (1.3863, 1)
    """
    logits = drawn.keypoint_logits
    number, side, _, joints = logits.shape[1:]
    if keypoints.ndim != 4 or keypoints.shape[2:] != (joints, 3):
        raise ValueError(
            f"keypoints: got shape {keypoints.shape}; expected (N, M, {joints}, 3), as the network "
            f"has {joints} of them"
        )
    if keypoints.shape[1] == 0:
        keypoints = jnp.zeros((len(keypoints), 1, joints, 3), keypoints.dtype)

    def one(corners, positive, matched, logits, objects, keypoints):
        own = keypoints[objects.order[jnp.maximum(matched, 0)]]
        cell, counts = keypoint_cells(own, corners, side)
        counts &= positive[:, None]
        logs = jax.nn.log_softmax(logits.reshape(number, side * side, joints), axis=1)
        chosen = jnp.take_along_axis(logs, cell[:, None], 1)[:, 0]
        return jnp.where(counts, -chosen, 0.0).sum(), counts.sum()

    few = [part[:, :number] for part in (drawn.boxes, drawn.positive, drawn.matched)]
    sums, counts = jax.vmap(one)(few[0], few[1], few[2], logits, objects, jnp.asarray(keypoints))
    return jnp.where(there, sums, 0).sum(), jnp.where(there, counts, 0).sum()


def find_keypoints(
    logits: jax.Array, corners: jax.Array, mask: jax.Array, size: tuple[int, int]
) -> jax.Array:
    """The highest place of each map, enlarged to the size of its box by cubic interpolation.

    Args:
        logits: (N, D, S, S, J).
        corners: (N, D, 4), of the boxes, within the image.
        mask: (N, D), true for a box.
        size: height and width of the image.

    Returns:
        (N, D, J, 3), x, y and the map's value there; 0 in padding.

    Source: He et al., "Mask R-CNN", 2017, section 5; torchvision's ``heatmaps_to_keypoints``.

    >>> logits = jnp.zeros((1, 1, 4, 4, 1)).at[0, 0, 1, 2].set(1)
    >>> box = jnp.array([[[8.0, 8, 16, 16]]])
    >>> find_keypoints(logits, box, jnp.ones((1, 1)), (32, 32))[0, 0, 0, :2].tolist()
    [12.5, 10.5]
    """
    logits, corners = at_least_float32(logits), at_least_float32(corners)
    side = logits.shape[2]

    def one(entry):
        maps, box = entry
        extent = jnp.maximum(box[2:] - box[:2], 1.0)
        whole = jnp.ceil(extent)
        down = _cubic(whole[1], size[0], side)
        across = _cubic(whole[0], size[1], side)
        precise = lax.Precision.HIGHEST
        tall = jnp.einsum("hs,stj->jht", down, maps, precision=precise)
        large = jnp.einsum("jht,wt->jhw", tall, across, precision=precise)
        inside = (jnp.arange(size[0]) < whole[1])[:, None] & (jnp.arange(size[1]) < whole[0])
        flat = jnp.where(inside, large, -jnp.inf).reshape(len(large), -1)
        place = flat.argmax(1)
        cell = jnp.stack([place % size[1], place // size[1]], 1).astype(box.dtype)
        found = (cell + 0.5) * (extent / whole) + box[:2]
        return jnp.concatenate([found, jnp.take_along_axis(flat, place[:, None], 1)], 1)

    # One box after the other: a map of the whole image for each would fill the memory.
    flat = logits.reshape(-1, *logits.shape[2:]), corners.reshape(-1, 4)
    found = lax.map(one, flat).reshape(*corners.shape[:2], -1, 3)
    return jnp.where(jnp.asarray(mask)[..., None, None] != 0, found, 0.0)


def _cubic(whole, pixels, side):
    """(pixels, side): weights of ``side`` values over the first ``whole`` pixels of an axis."""
    source = (jnp.arange(pixels, dtype=whole.dtype) + 0.5) * (side / whole) - 0.5
    low = jnp.floor(source)
    weights = jnp.zeros((pixels, side), whole.dtype)
    entries = jnp.arange(side, dtype=whole.dtype)
    for step in (-1, 0, 1, 2):
        place = low + step
        near = jnp.abs(source - place)
        a = SHARPNESS
        inner = ((a + 2) * near - (a + 3)) * near * near + 1
        outer = ((near - 5) * near + 8) * near * a - 4 * a
        weight = jnp.where(near <= 1, inner, outer)
        # Beyond the border the last value goes on.
        own = jnp.clip(place, 0, side - 1)[:, None] == entries
        weights = weights + jnp.where(own, weight[:, None], 0.0)
    return weights
