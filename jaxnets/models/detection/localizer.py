"""Classification with localization: what the one object of an image is, and where.

One network, two heads, two losses: cross entropy and the squared distance of four numbers.

Source: Sermanet et al., "OverFeat: Integrated Recognition, Localization and Detection using
Convolutional Networks", 2013, section 4; Szegedy, Toshev, Erhan, "Deep Neural Networks for Object
Detection", 2013, section 3.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models.detection.targets import objects_of
from jaxnets.nn import Conv, Dense
from jaxnets.ops import adaptive_avg_pool, boxes, relu


class LocalizerOutputs(NamedTuple):
    """What a localizer says of a batch of images.

    Attributes:
        logits: (N, K), of the classes.
        places: (N, 4): x and y of the center, width and height, as shares of the image's sides.
        size: (2,), height and width of the images.

    >>> LocalizerOutputs._fields
    ('logits', 'places', 'size')
    """

    logits: jax.Array
    places: jax.Array
    size: jax.Array


class Localizer(nn.Module):
    """A network's last map and two heads: the classes' scores and one box.

    Attributes:
        backbone: images → mapping of maps, of which the last is taken.
        num_classes: K.
        hidden: units of the box head's connected layer.
        cells: the map is averaged to so many cells a side for it; where things are must be seen.
        dtype: compute dtype.

    Call: images (N, H, W, C) → `LocalizerOutputs`, float32.

    >>> from jaxnets.models import backbone
    >>> network = Localizer(backbone("resnet18", (8, 16), stages=(1, 1, 1), width=4), 3)
    >>> x = jax.ShapeDtypeStruct((2, 64, 64, 3), "float32")
    >>> outputs, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
    >>> outputs.logits.shape, outputs.places.shape
    ((2, 3), (2, 4))
    """

    backbone: nn.Module
    num_classes: int
    hidden: int = 256
    cells: int = 7
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> LocalizerOutputs:
        size = x.shape[1:3]
        *_, last = self.backbone(x, train=train).values()
        logits = Dense(self.num_classes, dtype=self.dtype, name="classes")(last.mean((1, 2)))
        side = tuple(min(self.cells, n) for n in last.shape[1:3])
        y = relu(Conv(64, (1, 1), dtype=self.dtype, name="reduce")(last))
        y = adaptive_avg_pool(y, side).reshape(y.shape[0], -1)
        y = relu(Dense(self.hidden, dtype=self.dtype, name="hidden")(y))
        small = nn.initializers.normal(0.01)
        places = Dense(4, kernel_init=small, dtype=self.dtype, name="places")(y)
        # It begins with the middle half of the image.
        start = jnp.array([0.5, 0.5, 0.5, 0.5])
        return LocalizerOutputs(
            logits.astype(jnp.float32),
            start + places.astype(jnp.float32),
            jnp.asarray(size, jnp.float32),
        )


def localizer_places(corners: jax.Array, size: jax.Array) -> jax.Array:
    """Boxes as a localizer says them.

    Args:
        corners: (…, 4), in pixels.
        size: (2,), height and width of the images.

    Returns:
        (…, 4): x and y of the center, width and height, as shares of the image's sides.

    >>> localizer_places(jnp.array([0.0, 0, 4, 8]), jnp.array([16.0, 8.0])).tolist()
    [0.25, 0.25, 0.5, 0.5]
    """
    return boxes.convert(corners, "xyxy", "cxcywh") / jnp.tile(size[::-1], 2)


def localizer_boxes(outputs: LocalizerOutputs) -> jax.Array:
    """The boxes of a localizer, the inverse of `localizer_places`.

    Args:
        outputs: of `Localizer`.

    Returns:
        (N, 4), corners in pixels.

    >>> outputs = LocalizerOutputs(None, jnp.array([[0.25, 0.25, 0.5, 0.5]]), jnp.array([16.0, 8]))
    >>> localizer_boxes(outputs).tolist()
    [[0.0, 0.0, 4.0, 8.0]]
    """
    return boxes.convert(outputs.places * jnp.tile(outputs.size[::-1], 2), "cxcywh", "xyxy")


def localizer_losses(
    outputs: LocalizerOutputs, batch: Mapping[str, Any], *, weight: float = 10.0
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Cross entropy of the class, and λ·½‖p − p*‖² of the box, each as (sum, number of objects).

    Of several objects of an image the first in the order of `jaxnets.ops.boxes.canonical_order`
    counts; an image without any teaches nothing.

    Args:
        outputs: of `Localizer`.
        batch: ``boxes (N, M, 4)``, ``box_label (N, M)``, ``box_mask (N, M)`` and perhaps
            ``example_mask (N,)``.
        weight: λ.

    Returns:
        ``classes`` and ``places``.

    Raises:
        ValueError: shapes that do not fit.

    >>> batch = {"boxes": jnp.array([[[0.0, 0, 4, 8]]]), "box_label": jnp.array([[1]])}
    >>> outputs = LocalizerOutputs(jnp.zeros((1, 2)), jnp.full((1, 4), 0.5), jnp.array([16.0, 8]))
    >>> losses = localizer_losses(outputs, batch | {"box_mask": jnp.ones((1, 1))})
    >>> {name: round(float(total), 4) for name, (total, _) in losses.items()}  # log 2, 10·½·2·¼²
    {'classes': 0.6931, 'places': 0.625}
    """
    objects, there = objects_of(batch)
    there &= objects.mask[:, 0]
    logs = jax.nn.log_softmax(outputs.logits)
    classes = -jnp.take_along_axis(logs, objects.labels[:, :1], 1)[:, 0]
    wanted = localizer_places(objects.boxes[:, 0], outputs.size)
    places = weight * 0.5 * ((outputs.places - wanted) ** 2).sum(-1)
    count = there.sum()
    return {
        name: (jnp.where(there, values, 0.0).sum(), count)
        for name, values in (("classes", classes), ("places", places))
    }


def localizer_detections(outputs: LocalizerOutputs) -> boxes.Detections:
    """The likeliest class of each image with its box: one detection an image.

    Args:
        outputs: of `Localizer`.

    Returns:
        `jaxnets.ops.boxes.Detections` of the batch, (N, 1, …).

    >>> places = jnp.array([[0.25, 0.25, 0.5, 0.5]])
    >>> outputs = LocalizerOutputs(jnp.array([[0.0, 3.0]]), places, jnp.array([16.0, 8]))
    >>> localizer_detections(outputs).labels.tolist()
    [[1]]
    """
    corners = boxes.clip(localizer_boxes(outputs), (outputs.size[0], outputs.size[1]))
    corners = jnp.concatenate(
        [corners[..., :2], jnp.maximum(corners[..., :2], corners[..., 2:])], -1
    )
    chances = jax.nn.softmax(outputs.logits)
    label = chances.argmax(-1).astype(jnp.int32)[:, None]
    return boxes.Detections(
        corners[:, None],
        chances.max(-1)[:, None],
        label,
        jnp.ones(label.shape, bool),
        jnp.zeros(label.shape, jnp.int32),
    )
