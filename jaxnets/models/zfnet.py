"""ZFNet: AlexNet after a look inside it: a finer first layer, half its stride.

Source: Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", 2013, figure 3,
table 1. In training the paper scales back every filter of the first layers whose
root mean square exceeds 0.1.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.checks import check_images
from jaxnets.models.layers import SpatialDense, pool_to_window
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.nn import Conv, Dropout
from jaxnets.ops import he_normal, local_response_norm, max_pool, relu

# Table 1: channels of the best variant.
WIDE = (96, 256, 512, 1024, 512)


class ZFNet(nn.Module):
    """Five convolutions, three max poolings, three connected layers.

    224×224 → conv1 7×7/2 110×110×96 → pool 55 → conv2 5×5/2 26×26×256 → pool 13 → conv3, 4, 5 3×3
    at 13×13 → pool 6 → 4096 → 4096 → classes.

    Attributes:
        num_classes: width of the head, the paper's output; None returns the endpoints
            conv1…conv5 (strides 2, 8, 16, 16, 16) and pool5 (stride 32).
        channels: of the five convolutions; table 1's best variant has 512, 1024, 512 in the last.
        lrn: contrast normalization across feature maps after the first two poolings, or None.
        paper_init: kernels N(0, 0.01²), as published; otherwise He's normal initialization.
        fc_width: width of fc6 and fc7.
        fc_window: side of the map that fc6 sees; larger maps are pooled to it adaptively, smaller
            ones refused.
        fc_endpoints: without classifier, return "fc6" and "fc7" as well.
        dropout_rate: after fc6 and fc7.
        conv: convolution layer.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 63×63 → logits (N, num_classes), float32. Needs the rng
    "dropout" in training.
    """

    num_classes: int | None = 1000
    channels: Sequence[int] = (96, 256, 384, 384, 256)
    lrn: Callable[[jax.Array], jax.Array] | None = local_response_norm
    paper_init: bool = True
    fc_width: int = 4096
    fc_window: int = 6
    fc_endpoints: bool = False
    dropout_rate: float = 0.5
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=63, stem="conv1")
        init = nn.initializers.normal(0.01) if self.paper_init else he_normal
        conv = partial(self.conv, kernel_init=init, dtype=self.dtype)
        fc = partial(SpatialDense, kernel_init=init, dtype=self.dtype)
        lrn = self.lrn or (lambda x: x)
        c1, c2, c3, c4, c5 = self.channels
        endpoints = OrderedDict()
        x = endpoints["conv1"] = relu(conv(c1, (7, 7), strides=2, padding=1, name="conv1")(x))
        x = lrn(max_pool(x, (3, 3), strides=2, ceil_mode=True))
        x = endpoints["conv2"] = relu(conv(c2, (5, 5), strides=2, name="conv2")(x))
        x = lrn(max_pool(x, (3, 3), strides=2, ceil_mode=True))
        x = endpoints["conv3"] = relu(conv(c3, (3, 3), padding=1, name="conv3")(x))
        x = endpoints["conv4"] = relu(conv(c4, (3, 3), padding=1, name="conv4")(x))
        x = endpoints["conv5"] = relu(conv(c5, (3, 3), padding=1, name="conv5")(x))
        x = endpoints["pool5"] = max_pool(x, (3, 3), strides=2)
        if self.num_classes is None and not self.fc_endpoints:
            return endpoints
        x = pool_to_window(self, x, stretch=False)
        x = endpoints["fc6"] = relu(fc(self.fc_width, self.fc_window, name="fc6")(x))
        x = Dropout(self.dropout_rate, name="dropout6")(x, train=train)
        x = endpoints["fc7"] = relu(fc(self.fc_width, name="fc7")(x))
        if self.num_classes is None:
            return endpoints
        x = Dropout(self.dropout_rate, name="dropout7")(x, train=train)
        return fc(self.num_classes, name="head")(x)[:, 0, 0].astype(jnp.float32)


_zfnet = partial(
    register,
    paper=papers.ZFNET,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    feature_strides={"conv1": 2, "conv2": 8, "conv3": 16, "conv4": 16, "conv5": 16, "pool5": 32},
)


@_zfnet(
    parameters=62_357_608, macs=1_168_032_896, published="ImageNet top-5 error 16.5 % (one network)"
)
def zfnet(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> ZFNet:
    """ZFNet of figure 3; ``fields`` of `ZFNet`."""
    return ZFNet(num_classes=num_classes, name=name, **fields)


@_zfnet(
    parameters=107_627_624,
    macs=2_476_704_896,
    published="ImageNet top-5 error 16.0 % (one network)",
)
def zfnet_wide(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> ZFNet:
    """ZFNet with 512, 1024, 512 maps in its last convolutions, table 1; ``fields`` of `ZFNet`."""
    return ZFNet(num_classes=num_classes, name=name, **{"channels": WIDE, **fields})
