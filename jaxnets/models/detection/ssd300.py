"""SSD300 on VGG-16, as published and as torchvision trains it.

Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016, figure 2, section 3.
"""

from collections import OrderedDict
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.checks import check_images
from jaxnets.models.detection.anchor_sets import DefaultBoxes
from jaxnets.models.detection.ssd import SSD
from jaxnets.models.registry import register
from jaxnets.models.vgg import CONFIGURATIONS, VGGStage
from jaxnets.nn import Conv
from jaxnets.ops import max_pool, relu

WIDTHS = (64, 128, 256, 512, 512)
# Figure 2: channels of the 1×1 and of the 3×3 convolution, stride and padding of the latter.
EXTRA = ((256, 512, 2, 1), (128, 256, 2, 1), (128, 256, 1, 0), (128, 256, 1, 0))
ANCHORS = DefaultBoxes(
    ratios=((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
    scales=(0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05),
    steps=(8, 16, 32, 64, 100, 300),
)


class SSDVGG(nn.Module):
    """VGG-16 to conv5_3, fc6 as a dilated and fc7 as a 1×1 convolution, then smaller maps.

    conv4_3's vectors of channels are divided by their length and scaled by ``scale_weight``, which
    begins at 20.

    Attributes:
        widths: channels of VGG's stages.
        fc_width: of fc6 and fc7.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 260×260 → six maps by name, for 300×300 of 38², 19², 10²,
    5², 3², 1².

    >>> x = jax.ShapeDtypeStruct((1, 300, 300, 3), "float32")
    >>> maps, _ = jax.eval_shape(SSDVGG().init_with_output, jax.random.key(0), x)
    >>> [each.shape[1] for each in maps.values()]
    [38, 19, 10, 5, 3, 1]
    """

    widths: tuple[int, ...] = WIDTHS
    fc_width: int = 1024
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> "OrderedDict[str, jax.Array]":
        check_images(self, x, smallest=260, stem="stage1/conv1")
        conv = partial(Conv, dtype=self.dtype)
        maps = OrderedDict()
        kernels = CONFIGURATIONS["D"]
        for i, (sizes, width) in enumerate(zip(kernels, self.widths, strict=True), start=1):
            x = VGGStage(width, sizes, False, None, conv, name=f"stage{i}")(x, train)
            if i == 4:
                scale = self.param(
                    "scale_weight", nn.initializers.constant(20.0), (width,), jnp.float32
                )
                wide = x.astype(jnp.float32)
                length = jnp.sqrt(jnp.maximum((wide * wide).sum(-1, keepdims=True), 1e-24))
                maps["conv4_3"] = (scale * wide / length).astype(x.dtype)
            if i < 5:
                # The third pooling goes beyond the border: 75 becomes 38.
                beyond = tuple((0, side % 2 if i == 3 else 0) for side in x.shape[1:3])
                x = max_pool(x, 2, strides=2, padding=beyond)
        x = max_pool(x, 3, strides=1, padding=1)
        x = relu(conv(self.fc_width, (3, 3), padding=6, dilation=6, name="fc6")(x))
        x = maps["fc7"] = relu(conv(self.fc_width, (1, 1), name="fc7")(x))
        for i, (narrow, width, strides, padding) in enumerate(EXTRA, start=1):
            x = relu(conv(narrow, (1, 1), name=f"extra{i}_reduce")(x))
            x = conv(width, (3, 3), strides=strides, padding=padding, name=f"extra{i}_conv")(x)
            x = maps[f"extra{i}"] = relu(x)
        return maps


@register(
    paper=papers.SSD,
    parameters=35_641_826,
    macs=34_858_153_472,
    input_size=300,
    # Images from 0 to 255 with the channels' means taken off.
    mean=(0.48235, 0.45882, 0.40784),
    std=(1 / 255, 1 / 255, 1 / 255),
    weights=("torchvision ssd300_vgg16",),
    task="detection",
    published="COCO AP 25.1 (torchvision); VOC 2007 mAP 77.2 (paper, 21 classes)",
)
def ssd300_vgg16(*, num_classes: int | None = 91, name: str | None = None, **fields: Any) -> SSD:
    """SSD300 on VGG-16, with 8,732 anchors.

    Args:
        num_classes: background among them, as torchvision counts.
        name: Flax's.
        **fields: of `SSD`.

    Returns:
        An `SSD` for images of 300×300.

    >>> ssd300_vgg16(num_classes=21).anchors.per_cell
    (4, 6, 6, 6, 4, 4)
    """
    published = {"backbone": SSDVGG(dtype=fields.get("dtype")), "anchors": ANCHORS}
    return SSD(num_classes=num_classes, name=name, **{**published, **fields})
