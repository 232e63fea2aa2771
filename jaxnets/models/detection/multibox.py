"""MultiBox: one network says K boxes of an image and for each how likely it holds an object.

The boxes are corrections of K priors, the commonest boxes of the training images; objects are
matched to them one to one. Classes are somebody else's task.

Source: Erhan, Szegedy, Toshev, Anguelov, "Scalable Object Detection using Deep Neural Networks",
2013.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.models.detection.targets import Objects, objects_of
from jaxnets.models.registry import create_model
from jaxnets.nn import Conv, Dense
from jaxnets.ops import adaptive_avg_pool, boxes, relu

Priors = tuple[tuple[float, float, float, float], ...]


class MultiBoxOutputs(NamedTuple):
    """What a MultiBox says of a batch of images.

    Attributes:
        logits: (N, K), before σ: whether box i holds an object.
        boxes: (N, K, 4), corners as shares of the image's sides.
        priors: (K, 4), likewise.
        size: (2,), height and width of the images.

    >>> MultiBoxOutputs._fields
    ('logits', 'boxes', 'priors', 'size')
    """

    logits: jax.Array
    boxes: jax.Array
    priors: jax.Array
    size: jax.Array


def box_priors(
    key: jax.Array, corners: np.ndarray | jax.Array, k: int, *, iterations: int = 50
) -> Priors:
    """The k commonest boxes: k-means of corners, by squared distance.

    Args:
        key: a JAX random key.
        corners: (n, 4), of the training images' objects, as shares of the image's sides.
        k: how many.
        iterations: of assignment and mean.

    Returns:
        k boxes by rising area.

    Raises:
        ValueError: fewer boxes than k, or corners that are not (n, 4).

    Source: Erhan et al., "Scalable Object Detection using Deep Neural Networks", 2013, section 3.3;
    the start by Arthur, Vassilvitskii, "k-means++", 2007.

    >>> corners = np.array([[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5], [0.25, 0.25, 1, 1]])
    >>> box_priors(jax.random.key(0), corners, 2)
    ((0.0, 0.0, 0.5, 0.5), (0.25, 0.25, 1.0, 1.0))
    """
    points = jnp.asarray(corners, jnp.float32)
    if points.ndim != 2 or points.shape[1] != 4:
        raise ValueError(f"corners: got shape {points.shape}; expected (n, 4)")
    if not 1 <= k <= len(points):
        raise ValueError(f"k: got {k}; expected 1 to {len(points)}, the number of boxes")
    found = np.asarray(_lloyd(key, points, k, iterations), np.float64)
    order = np.argsort(((found[:, 2:] - found[:, :2]).prod(1)), kind="stable")
    return tuple((a, b, c, d) for a, b, c, d in found[order].round(6).tolist())


@partial(jax.jit, static_argnums=(2, 3))
def _lloyd(key, points, k, iterations):
    def distances(centers):
        return ((points[:, None] - centers) ** 2).sum(-1)

    def draw(centers, step):
        number, key = step
        taken = jnp.arange(k) < number
        nearest = jnp.where(taken, distances(centers), jnp.inf).min(1)
        chance = jnp.where(number == 0, 1.0, nearest)
        # Where all boxes lie on centers already, any box will do.
        chance = jnp.where(chance.sum() > 0, chance, 1.0)
        index = jax.random.categorical(key, jnp.log(chance))
        return centers.at[number].set(points[index]), None

    steps = jnp.arange(k), jax.random.split(key, k)
    centers, _ = jax.lax.scan(draw, jnp.zeros((k, 4)), steps)

    def move(_, centers):
        mine = jax.nn.one_hot(distances(centers).argmin(1), k)
        count = mine.sum(0)[:, None]
        mean = jnp.matmul(mine.T, points, precision=jax.lax.Precision.HIGHEST)
        return jnp.where(count > 0, mean / jnp.maximum(count, 1), centers)

    return jax.lax.fori_loop(0, iterations, move, centers)


class MultiBox(nn.Module):
    """A network's last map, a connected layer, and of each prior a correction and a confidence.

    Attributes:
        backbone: images → mapping of maps, of which the last is taken.
        priors: K boxes of `box_priors`.
        hidden: units of the connected layer.
        cells: the last map is averaged to so many cells a side; the units see them all.
        reduced: channels that the map is reduced to before.
        dtype: compute dtype.

    Call: images (N, H, W, C) → `MultiBoxOutputs`, float32.

    >>> from jaxnets.models import backbone
    >>> maps = backbone("resnet18", (8, 16), stages=(1, 1, 1), width=4)
    >>> network = MultiBox(maps, ((0.0, 0.0, 0.5, 0.5), (0.0, 0.0, 1.0, 1.0)), hidden=8)
    >>> x = jax.ShapeDtypeStruct((3, 64, 64, 3), "float32")
    >>> outputs, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
    >>> outputs.logits.shape, outputs.boxes.shape
    ((3, 2), (3, 2, 4))
    """

    backbone: nn.Module
    priors: Priors
    hidden: int = 4096
    cells: int = 6
    reduced: int = 256
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> MultiBoxOutputs:
        size = x.shape[1:3]
        *_, last = self.backbone(x, train=train).values()
        y = relu(Conv(self.reduced, (1, 1), dtype=self.dtype, name="reduce")(last))
        side = tuple(min(self.cells, n) for n in y.shape[1:3])
        y = adaptive_avg_pool(y, side).reshape(y.shape[0], -1)
        y = relu(Dense(self.hidden, dtype=self.dtype, name="hidden")(y))
        count = len(self.priors)
        small = nn.initializers.normal(0.01)
        output = partial(Dense, kernel_init=small, dtype=self.dtype)
        moved = output(4 * count, name="places")(y).astype(jnp.float32)
        logits = output(count, name="confidence")(y).astype(jnp.float32)
        priors = jnp.asarray(self.priors, jnp.float32)
        found = priors + moved.reshape(-1, count, 4)
        return MultiBoxOutputs(logits, found, priors, jnp.asarray(size, jnp.float32))


def multibox_googlenet(priors: Priors, **fields: Any) -> MultiBox:
    """MultiBox on GoogLeNet, as its authors detected ImageNet's objects with, with 200 priors.

    Args:
        priors: of `box_priors`.
        **fields: of GoogLeNet, such as ``width``.

    Returns:
        A `MultiBox`.

    Source: Szegedy, Reed, Erhan, Anguelov, "Scalable, High-Quality Object Detection", 2014; Szegedy
    et al., "Going Deeper with Convolutions", 2014, section 8.

    >>> multibox_googlenet(((0.0, 0.0, 1.0, 1.0),) * 200).hidden
    1024
    """
    network = create_model("googlenet", **{**fields, "num_classes": None})
    return MultiBox(network, priors, hidden=1024, reduced=128)


def multibox_losses(
    outputs: MultiBoxOutputs,
    batch: Mapping[str, Any],
    *,
    alpha: float = 0.3,
    by_priors: bool = True,
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """The two losses of MultiBox, each as (sum, number of objects).

    .. math::
        α \\sum_{ij} x_{ij} \\tfrac12 ‖l_i − g_j‖² \\quad\\text{and}\\quad
        −\\sum_{ij} x_{ij} \\log c_i − \\sum_i (1 − \\sum_j x_{ij}) \\log(1 − c_i)

    where x_ij matches each object j with a box i of its own, at the least total cost; boxes are
    corners in shares of the image's sides.

    Args:
        outputs: of `MultiBox`.
        batch: ``boxes (N, M, 4)`` in pixels, ``box_label (N, M)``, which do not matter, ``box_mask
            (N, M)`` and perhaps ``example_mask (N,)``.
        alpha: α.
        by_priors: a cost is ½‖prior_i − g_j‖², so that each box stays responsible for its place;
            else it is by how much the losses grow when i is matched with j.

    Returns:
        ``boxes`` and ``confidence``.

    Raises:
        ValueError: shapes that do not fit.

    Source: Erhan et al., "Scalable Object Detection using Deep Neural Networks", 2013, equations 1
    to 4, section 3.3.

    >>> priors = jnp.array([[0.0, 0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
    >>> outputs = MultiBoxOutputs(jnp.zeros((1, 2)), priors[None], priors, jnp.full(2, 8.0))
    >>> batch = {"boxes": jnp.array([[[4.0, 4, 8, 6]]]), "box_label": jnp.zeros((1, 1), int)}
    >>> losses = multibox_losses(outputs, batch | {"box_mask": jnp.ones((1, 1))})
    >>> {name: round(float(total), 4) for name, (total, _) in losses.items()}  # .3·½·¼², 2 log 2
    {'boxes': 0.0094, 'confidence': 1.3863}
    """
    sides = jnp.tile(outputs.size[::-1], 2)

    def one(logits, found, objects: Objects):
        true = objects.boxes / sides
        start = outputs.priors if by_priors else found
        cost = 0.5 * ((true[:, None] - start) ** 2).sum(-1)
        if not by_priors:
            # log(1 − c) − log c = −logit.
            cost = alpha * cost - logits
        matched = boxes.assign(cost, mask=objects.mask)
        there, index = matched >= 0, jnp.maximum(matched, 0)
        distance = 0.5 * ((found[index] - true) ** 2).sum(-1)
        place = jnp.where(there, alpha * distance, 0.0).sum()
        wanted = jnp.zeros(logits.shape, bool).at[index].max(there)
        confidence = -jax.nn.log_sigmoid(jnp.where(wanted, logits, -logits)).sum()
        return place, confidence, objects.mask.sum()

    objects, there = objects_of(batch)
    sums = jax.vmap(one)(outputs.logits, outputs.boxes, objects)
    place, confidence, count = (jnp.where(there, values, 0).sum() for values in sums)
    return {"boxes": (place, count), "confidence": (confidence, count)}


def multibox_detections(
    outputs: MultiBoxOutputs,
    *,
    threshold: float = 0.5,
    min_score: float = 0.0,
    max_outputs: int = 100,
) -> boxes.Detections:
    """The boxes of a MultiBox by falling confidence, all of class 0.

    Args:
        outputs: of `MultiBox`.
        threshold: suppress a box when its IoU with a better one is above it.
        min_score: a box's confidence is above it.
        max_outputs: D, how many boxes there are at most.

    Returns:
        `jaxnets.ops.boxes.Detections` of the batch, (N, D, …).

    Source: Erhan et al., "Scalable Object Detection using Deep Neural Networks", 2013, section 4.2.

    >>> priors = jnp.array([[0.0, 0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
    >>> logits = jnp.array([[-1.0, 2.0]])
    >>> outputs = MultiBoxOutputs(logits, priors[None], priors, jnp.full(2, 8.0))
    >>> multibox_detections(outputs, max_outputs=2).boxes[0].tolist()
    [[4.0, 4.0, 8.0, 8.0], [0.0, 0.0, 4.0, 4.0]]
    """
    corners = boxes.clip(
        outputs.boxes * jnp.tile(outputs.size[::-1], 2), (outputs.size[0], outputs.size[1])
    )
    # Corners in the wrong order are boxes without area.
    corners = jnp.concatenate(
        [corners[..., :2], jnp.maximum(corners[..., :2], corners[..., 2:])], -1
    )
    scores = jax.nn.sigmoid(outputs.logits)[..., None]
    select = partial(
        boxes.select_detections,
        threshold=threshold,
        min_score=min_score,
        candidates=scores.shape[1],
        max_outputs=max_outputs,
    )
    return boxes.each_image(select, corners, scores)


def uniform_boxes(count: int, sizes: Sequence[float] = (0.25, 0.5, 0.75)) -> Priors:
    """Squares of some sizes on grids over the image: what proposals are compared with.

    Args:
        count: how many at most; grids are as fine as fits.
        sizes: sides, as shares of the image's.

    Returns:
        Boxes, corners as shares of the image's sides.

    >>> uniform_boxes(5, (0.5,))[-1]  # a grid of 2×2
    (0.5, 0.5, 1.0, 1.0)
    """
    side = max(1, int((count / len(sizes)) ** 0.5))
    result = []
    for size in sizes:
        for y in np.linspace(0, 1 - size, side).tolist():
            for x in np.linspace(0, 1 - size, side).tolist():
                result.append((x, y, x + size, y + size))
    return tuple(result)
