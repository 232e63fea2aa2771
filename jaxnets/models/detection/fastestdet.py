"""FastestDet: a detector of a quarter of a million parameters, on one map and without anchors.

A ShuffleNetV2 with half the channels; its three maps brought to stride 16 and joined; depthwise 5×5
convolutions, one, two and three in a row, look at it with windows of three sizes. Each cell then
says whether an object is near, which, and where.

Source: the published network and its code, github.com/dog-qiuqiu/FastestDet, 2022; Ma et al.,
"ShuffleNet V2", 2018.
"""

from collections import OrderedDict
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.layers import ConvNorm
from jaxnets.models.registry import register
from jaxnets.models.shufflenet_v2 import V2_CHANNELS, ShuffleNetV2
from jaxnets.ops import avg_pool, boxes, relu


class FastestDetOutputs(NamedTuple):
    """What a FastestDet says of a batch of images.

    Attributes:
        objectness: (N, H', W'), before σ.
        places: (N, H', W', 4): center before tanh, in cells from the cell's corner, and width and
            height before σ, in shares of the image.
        logits: (N, H', W', K), of the classes, before softmax.
        size: (2,), height and width of the images.

    >>> FastestDetOutputs._fields
    ('objectness', 'places', 'logits', 'size')
    """

    objectness: jax.Array
    places: jax.Array
    logits: jax.Array
    size: jax.Array


class FastestDet(nn.Module):
    """Three maps of a network, joined at the middle one's stride, and three heads.

    Attributes:
        backbone: images → mapping of maps, of which the last three at strides 8, 16 and 32 are
            taken.
        num_classes: K, without background; None returns the backbone's maps.
        features: channels of the joined map.
        blue_first: images are turned, so that blue comes first, as the published weights want it;
            the network is given red first in any case.
        dtype: compute dtype.

    Call: images (N, H, W, 3) from 0 to 1, their sides multiples of 32 → `FastestDetOutputs`,
    float32.

    >>> network = fastestdet(num_classes=3)
    >>> x = jax.ShapeDtypeStruct((1, 64, 96, 3), "float32")
    >>> outputs, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
    >>> outputs.objectness.shape, outputs.logits.shape
    ((1, 4, 6), (1, 4, 6, 3))
    """

    backbone: nn.Module
    num_classes: int | None = 80
    features: int = 96
    blue_first: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Any:
        size = x.shape[1:3]
        if self.blue_first:
            x = x[..., ::-1]
        found = self.backbone(x, train=train)
        maps = OrderedDict(list(found.items())[-3:])
        if self.num_classes is None:
            return maps
        if any(side % 32 for side in size):
            raise ValueError(
                f"FastestDet: got images of {size[0]}×{size[1]}; expected sides that are "
                "multiples of 32"
            )
        fine, middle, coarse = maps.values()
        layer = partial(ConvNorm, dtype=self.dtype)
        wide = partial(
            layer, self.features, (5, 5), padding=2, groups=self.features, activation=relu
        )
        joined = [
            avg_pool(fine, 3, strides=2, padding=1),
            middle,
            coarse.repeat(2, 1).repeat(2, 2),
        ]
        x = layer(self.features, name="reduce")(jnp.concatenate(joined, -1), train)
        windows = []
        for i in (1, 2, 3):
            y = x
            for j in range(i):
                y = wide(name=f"window{i}_{j}")(y, train)
            windows.append(y)
        join = layer(self.features, activation=None, name="join")
        x = relu(x + join(jnp.concatenate(windows, -1), train))
        x = layer(self.features, name="head")(x, train)
        results = []
        for name, width in (("objectness", 1), ("places", 4), ("classes", self.num_classes)):
            y = wide(name=f"{name}_depthwise")(x, train)
            y = layer(width, activation=None, name=name)(y, train)
            results.append(y.astype(jnp.float32))
        objectness, places, logits = results
        return FastestDetOutputs(objectness[..., 0], places, logits, jnp.asarray(size, jnp.float32))


def fastestdet_boxes(outputs: FastestDetOutputs) -> jax.Array:
    """Where each cell's object is: x = (column + tanh t_x)·stride, w = σ(t_w)·(image's width).

    Args:
        outputs: of `FastestDet`.

    Returns:
        (N, H', W', 4), corners in pixels.

    >>> zero = FastestDetOutputs(*map(jnp.zeros, ((1, 2, 2), (1, 2, 2, 4), (1, 2, 2, 1), 2)))
    >>> fastestdet_boxes(zero._replace(size=jnp.full(2, 32.0)))[0, 1, 0].tolist()
    [-8.0, 8.0, 8.0, 24.0]
    """
    rows, columns = outputs.objectness.shape[1:]
    y, x = jnp.meshgrid(jnp.arange(rows), jnp.arange(columns), indexing="ij")
    size = outputs.size[::-1]
    strides = size / jnp.array([columns, rows], size.dtype)
    center = (jnp.stack([x, y], -1) + jnp.tanh(outputs.places[..., :2])) * strides
    half = jax.nn.sigmoid(outputs.places[..., 2:]) * size / 2
    return jnp.concatenate([center - half, center + half], -1)


def fastestdet_detections(
    outputs: FastestDetOutputs,
    *,
    threshold: float = 0.45,
    min_score: float = 0.001,
    candidates: int = 200,
    max_outputs: int = 100,
) -> boxes.Detections:
    """What a FastestDet found: each cell's likeliest class, suppressed class by class.

    A score is σ(objectness)·softmax(class).

    Args:
        outputs: of `FastestDet`.
        threshold: suppress a box when its IoU with a better one of its class is above it.
        min_score: a detection's score is above it.
        candidates: how many of each class enter the suppression.
        max_outputs: D, how many detections of an image there are at most.

    Returns:
        `jaxnets.ops.boxes.Detections` of the batch, (N, D, …).

    Source: the published network's code.

    >>> zero = FastestDetOutputs(*map(jnp.zeros, ((1, 2, 2), (1, 2, 2, 4), (1, 2, 2, 1), 2)))
    >>> found = fastestdet_detections(zero._replace(size=jnp.full(2, 32.0)))
    >>> int(found.mask.sum()), float(found.scores[0, 0])
    (4, 0.5)
    """
    count, classes = outputs.objectness.shape[0], outputs.logits.shape[-1]
    chances = jax.nn.softmax(outputs.logits)
    best = chances.max(-1)
    score = jax.nn.sigmoid(outputs.objectness) * best
    # Of the other classes a cell says nothing.
    own = jax.nn.one_hot(chances.argmax(-1), classes, dtype=score.dtype)
    scores = (score[..., None] * own).reshape(count, -1, classes)
    select = partial(
        boxes.select_detections,
        threshold=threshold,
        min_score=min_score,
        candidates=candidates,
        max_outputs=max_outputs,
    )
    return boxes.each_image(select, fastestdet_boxes(outputs).reshape(count, -1, 4), scores)


@register(
    paper=papers.FASTESTDET,
    parameters=244_490,
    macs=121_491_744,
    input_size=352,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    weights=("dog-qiuqiu FastestDet",),
    task="detection",
    published="COCO AP50 25.3 (its author's)",
)
def fastestdet(
    *, num_classes: int | None = 80, name: str | None = None, **fields: Any
) -> FastestDet:
    """FastestDet on a ShuffleNetV2 with half the channels, for images of 352×352.

    Args:
        num_classes: K, without background.
        name: Flax's.
        **fields: of `FastestDet`.

    Returns:
        A `FastestDet`.

    >>> fastestdet(num_classes=2).features
    96
    """
    trunk = ShuffleNetV2(
        num_classes=None, channels=V2_CHANNELS[0.5][:3], parity=True, dtype=fields.get("dtype")
    )
    return FastestDet(num_classes=num_classes, name=name, **{"backbone": trunk, **fields})
