"""DeepLabV3: convolutions of several dilations side by side see objects of several sizes.

Source: Chen, Papandreou, Schroff, Adam, "Rethinking Atrous Convolution for Semantic Image
Segmentation", 2017, section 3.3; torchvision's networks.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.layers import ConvNorm
from jaxnets.models.mobilenet_v3 import MobileNetV3
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.models.segmentation.fcn import DenseSegmenter, dilated_resnet
from jaxnets.nn import Conv, Dropout


class DeepLabHead(nn.Module):
    """Atrous spatial pyramid pooling, a 3×3 convolution, 1×1 to the classes.

    Side by side: a 1×1 convolution, a 3×3 one of each dilation, and the mean of the whole map
    through a 1×1 convolution; joined, and brought back to ``features`` channels.

    Attributes:
        num_classes: K.
        features: channels of every part.
        dilations: of the 3×3 convolutions.
        dropout_rate: after the pyramid.
        dtype: compute dtype.

    Call: (N, H, W, C) → (N, H, W, K).

    >>> x = jax.ShapeDtypeStruct((1, 5, 5, 16), "float32")
    >>> made = partial(DeepLabHead(3, 4).init_with_output, train=False)
    >>> jax.eval_shape(made, jax.random.key(0), x)[0].shape
    (1, 5, 5, 3)
    """

    num_classes: int
    features: int = 256
    dilations: Sequence[int] = (12, 24, 36)
    dropout_rate: float = 0.5
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        layer = partial(ConvNorm, self.features, dtype=self.dtype)
        parts = [layer(name="branch0")(x, train)]
        for i, d in enumerate(self.dilations, start=1):
            conv = partial(Conv, dilation=d)
            parts.append(layer((3, 3), padding=d, conv=conv, name=f"branch{i}")(x, train))
        mean = x.mean((1, 2), keepdims=True)
        last = f"branch{len(self.dilations) + 1}"
        parts.append(jnp.broadcast_to(layer(name=last)(mean, train), parts[0].shape))
        x = layer(name="project")(jnp.concatenate(parts, -1), train)
        x = Dropout(self.dropout_rate, name="dropout")(x, train=train)
        x = layer((3, 3), padding=1, name="block")(x, train)
        return Conv(self.num_classes, (1, 1), dtype=self.dtype, name="score")(x)


_deeplab = partial(
    register,
    paper=papers.DEEPLAB_V3,
    task="segmentation",
    input_size=520,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    auxiliary={"aux": 0.5},
)


@_deeplab(
    parameters=39_638_869,
    macs=168_731_205_888,
    weights=("torchvision deeplabv3_resnet50",),
    published="mean IoU 66.4 on COCO val2017's VOC classes (torchvision)",
)
def deeplabv3_resnet50(
    *, num_classes: int | None = 21, name: str | None = None, **fields: Any
) -> DenseSegmenter:
    """DeepLabV3 on a dilated ResNet-50.

    Args:
        num_classes: background among them.
        name: Flax's.
        **fields: of `DenseSegmenter`.

    Returns:
        A `DenseSegmenter`.

    >>> deeplabv3_resnet50().head is DeepLabHead
    True
    """
    published = {"backbone": dilated_resnet(50, fields.get("dtype")), "head": DeepLabHead}
    return DenseSegmenter(num_classes=num_classes, name=name, **{**published, **fields})


@_deeplab(
    parameters=58_630_997,
    macs=248_752_300_288,
    weights=("torchvision deeplabv3_resnet101",),
    published="mean IoU 67.4 on COCO val2017's VOC classes (torchvision)",
)
def deeplabv3_resnet101(
    *, num_classes: int | None = 21, name: str | None = None, **fields: Any
) -> DenseSegmenter:
    """DeepLabV3 on a dilated ResNet-101.

    Args:
        num_classes: background among them.
        name: Flax's.
        **fields: of `DenseSegmenter`.

    Returns:
        A `DenseSegmenter`.

    >>> deeplabv3_resnet101().backbone.stages
    (3, 4, 23, 3)
    """
    published = {"backbone": dilated_resnet(101, fields.get("dtype")), "head": DeepLabHead}
    return DenseSegmenter(num_classes=num_classes, name=name, **{**published, **fields})


@_deeplab(
    parameters=11_025_477,
    macs=10_436_350_688,
    weights=("torchvision deeplabv3_mobilenet_v3_large",),
    published="mean IoU 60.3 on COCO val2017's VOC classes (torchvision)",
)
def deeplabv3_mobilenet_v3_large(
    *, num_classes: int | None = 21, name: str | None = None, **fields: Any
) -> DenseSegmenter:
    """DeepLabV3 on a dilated MobileNetV3-Large.

    Args:
        num_classes: background among them.
        name: Flax's.
        **fields: of `DenseSegmenter`.

    Returns:
        A `DenseSegmenter`.

    >>> deeplabv3_mobilenet_v3_large().endpoint
    'last'
    """
    published = {
        "backbone": MobileNetV3(num_classes=None, dilated=True, dtype=fields.get("dtype")),
        "head": DeepLabHead,
        "endpoint": "last",
        "auxiliary_endpoint": "low",
    }
    return DenseSegmenter(num_classes=num_classes, name=name, **{**published, **fields})
