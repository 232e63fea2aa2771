"""SSDlite on MobileNet v3: an SSD of separable convolutions, at 320×320.

Source: Sandler et al., "MobileNetV2", 2018, section 6.2; Howard et al., "Searching for
MobileNetV3", 2019, section 6.3; torchvision's network.
"""

from collections import OrderedDict
from functools import partial
from typing import Any

import flax.linen as nn
import jax

from jaxnets.models import papers
from jaxnets.models.detection.anchor_sets import DefaultBoxes
from jaxnets.models.detection.ssd import SSD
from jaxnets.models.layers import ConvNorm
from jaxnets.models.mobilenet_v3 import LARGE, MobileNetV3, halve_tail
from jaxnets.models.registry import HALF, register
from jaxnets.nn import BatchNorm, Conv

EXTRA = (512, 256, 256, 128)
ANCHORS = DefaultBoxes(ratios=((2, 3),) * 6, scales=(*tuple(0.2 + 0.15 * k for k in range(6)), 1.0))
NORM = partial(BatchNorm, epsilon=1e-3, momentum=0.97)
SMALL_NORMAL = nn.initializers.normal(0.03)


class SSDLiteMobileNet(nn.Module):
    """MobileNet v3's maps at strides 16 and 32, then four smaller ones by separable convolutions.

    Attributes:
        network: a `MobileNetV3` without head.
        extra: channels of the smaller maps.
        norm: normalization layer.
        dtype: compute dtype.

    Call: images (N, H, W, C) → six maps by name, for 320×320 of 20², 10², 5², 3², 2², 1².

    >>> SSDLiteMobileNet(MobileNetV3(num_classes=None)).extra
    (512, 256, 256, 128)
    """

    network: nn.Module
    extra: tuple[int, ...] = EXTRA
    norm: Any = NORM
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> "OrderedDict[str, jax.Array]":
        found = self.network(x, train=train)
        maps = OrderedDict((name, found[name]) for name in ("expanded", "last"))
        x = maps["last"]
        layer = partial(
            ConvNorm,
            norm=self.norm,
            conv=partial(Conv, kernel_init=SMALL_NORMAL),
            activation=jax.nn.relu6,
            dtype=self.dtype,
        )
        for i, width in enumerate(self.extra, start=1):
            narrow = width // 2
            x = layer(narrow, name=f"extra{i}_reduce")(x, train)
            depthwise = layer(narrow, (3, 3), strides=2, padding=1, groups=narrow,
                              name=f"extra{i}_depthwise")  # fmt: skip
            x = depthwise(x, train)
            x = maps[f"extra{i}"] = layer(width, name=f"extra{i}_expand")(x, train)
        return maps


@register(
    paper=papers.MOBILENET_V3,
    parameters=3_440_060,
    macs=583_171_904,
    input_size=320,
    mean=HALF,
    std=HALF,
    weights=("torchvision ssdlite320_mobilenet_v3_large",),
    task="detection",
    published="COCO AP 21.3 (torchvision)",
)
def ssdlite320_mobilenet_v3_large(
    *, num_classes: int | None = 91, name: str | None = None, **fields: Any
) -> SSD:
    """SSDlite on MobileNetV3-Large, with 3,234 anchors.

    Args:
        num_classes: background among them, as torchvision counts.
        name: Flax's.
        **fields: of `SSD`.

    Returns:
        An `SSD` for images of 320×320.

    >>> ssdlite320_mobilenet_v3_large().separable
    True
    """
    dtype = fields.get("dtype")
    network = MobileNetV3(num_classes=None, rows=halve_tail(LARGE), norm=NORM, dtype=dtype)
    published = {
        "backbone": SSDLiteMobileNet(network, dtype=dtype),
        "anchors": ANCHORS,
        "separable": True,
        "kernel_init": SMALL_NORMAL,
        "norm": NORM,
    }
    return SSD(num_classes=num_classes, name=name, **{**published, **fields})
