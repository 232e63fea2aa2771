"""AlexNet: of 2012 with its two groups, ungrouped, and the one of 2014 that torchvision ships.

Source: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
Networks", 2012, section 3; Krizhevsky, "One weird trick for parallelizing convolutional neural
networks", 2014 (whose "non-overlapping" pooling is overlapping).
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

# Layers whose biases start at one, so that their ReLUs get positive inputs at first (section 5).
ONES = ("conv2", "conv4", "conv5", "fc6", "fc7")
# The network of 2014: one column, no normalization.
ONE_WEIRD_TRICK = {
    "channels": (64, 192, 384, 256, 256),
    "groups": (1, 1, 1, 1, 1),
    "stem_padding": 2,
    "lrn": None,
    "paper_init": False,
    "dropout_first": True,
    "stretch": True,
}


class AlexNet(nn.Module):
    """Five convolutions, three max poolings, three connected layers.

    227×227 → conv1 11×11/4 55×55×96 → pool 27 → conv2 5×5 27×27×256 → pool 13 → conv3, 4, 5 3×3
    13×13×384, 384, 256 → pool 6 → 4096 → 4096 → classes.

    Attributes:
        num_classes: width of the head, the paper's fc8; None returns the endpoints conv1…conv5
            (strides 4, 8, 16, 16, 16) and pool5 (stride 32).
        channels: of the five convolutions.
        groups: of the five convolutions; the paper spread conv2, 4 and 5 over two GPUs.
        stem_padding: of conv1.
        lrn: local response normalization after conv1 and conv2, or None.
        pool_window: side of the max poolings, stride 2: three is overlapping (the paper), two not.
        paper_init: kernels N(0, 0.01²) and the biases of conv2, 4, 5, fc6, fc7 one, as published;
            otherwise He's normal initialization and zeros.
        fc_width: width of fc6 and fc7.
        fc_window: side of the map that fc6 sees; larger maps are pooled to it adaptively.
        stretch: smaller maps are stretched to it, as torchvision does; else they are refused.
        fc_endpoints: without classifier, return "fc6" and "fc7" as well.
        dropout_first: dropout before fc6 and fc7 instead of after.
        dropout_rate: of both dropouts.
        conv: convolution layer.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 227×227 (223×223 with padding 2), or of 67×67 with
    fc_window=1 (63×63) → logits (N, num_classes), float32. Needs the rng "dropout" in training.
    """

    num_classes: int | None = 1000
    channels: Sequence[int] = (96, 256, 384, 384, 256)
    groups: Sequence[int] = (1, 2, 1, 2, 2)
    stem_padding: int = 0
    lrn: Callable[[jax.Array], jax.Array] | None = local_response_norm
    pool_window: int = 3
    paper_init: bool = True
    fc_width: int = 4096
    fc_window: int = 6
    stretch: bool = False
    fc_endpoints: bool = False
    dropout_first: bool = False
    dropout_rate: float = 0.5
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=67 - 2 * self.stem_padding, stem="conv1")
        endpoints = OrderedDict()
        kernels, strides, padding = (
            (11, 5, 3, 3, 3),
            (4, 1, 1, 1, 1),
            (self.stem_padding, 2, 1, 1, 1),
        )
        for i in range(5):
            x = self.conv(
                self.channels[i],
                (kernels[i], kernels[i]),
                strides=strides[i],
                padding=padding[i],
                groups=self.groups[i],
                **self._layer(f"conv{i + 1}"),
            )(x)
            x = endpoints[f"conv{i + 1}"] = relu(x)
            if i < 2 and self.lrn is not None:
                x = self.lrn(x)
            if i in (0, 1, 4):
                x = max_pool(x, (self.pool_window, self.pool_window), strides=2)
        endpoints["pool5"] = x
        if self.num_classes is None and not self.fc_endpoints:
            return endpoints
        x = pool_to_window(self, x, stretch=self.stretch)
        for name, window in (("fc6", self.fc_window), ("fc7", 1)):
            dropout = Dropout(self.dropout_rate, name=f"dropout_{name}")
            if self.dropout_first:
                x = dropout(x, train=train)
            x = relu(SpatialDense(self.fc_width, window, **self._layer(name))(x))
            endpoints[name] = x
            if not self.dropout_first:
                x = dropout(x, train=train)
        if self.num_classes is None:
            return endpoints
        logits = SpatialDense(self.num_classes, **self._layer("head"))(x)
        return logits[:, 0, 0].astype(jnp.float32)

    def _layer(self, name: str) -> dict[str, Any]:
        kernel, bias = he_normal, nn.initializers.zeros_init()
        if self.paper_init:
            kernel = nn.initializers.normal(0.01)
            bias = nn.initializers.ones_init() if name in ONES else bias
        return {"kernel_init": kernel, "bias_init": bias, "dtype": self.dtype, "name": name}


_alexnet = partial(
    register,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    feature_strides={"conv1": 4, "conv2": 8, "conv3": 16, "conv4": 16, "conv5": 16, "pool5": 32},
)


@_alexnet(
    paper=papers.ALEXNET,
    input_size=227,
    parameters=60_965_224,
    macs=724_406_816,
    published="ImageNet top-5 error 18.2 % (one network)",
)
def alexnet(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> AlexNet:
    """AlexNet of 2012, with its two groups; ``fields`` of `AlexNet`."""
    return AlexNet(num_classes=num_classes, name=name, **fields)


@_alexnet(paper=papers.ALEXNET, input_size=227, parameters=62_378_344, macs=1_135_256_096)
def alexnet_ungrouped(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> AlexNet:
    """AlexNet of 2012 as it fits on one device, without groups; ``fields`` of `AlexNet`."""
    return AlexNet(num_classes=num_classes, name=name, **{"groups": (1, 1, 1, 1, 1), **fields})


@_alexnet(
    paper=papers.ALEXNET_2014,
    input_size=224,
    parameters=61_100_840,
    macs=714_188_480,
    weights=("torchvision alexnet",),
)
def alexnet_2014(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> AlexNet:
    """AlexNet of 2014, which torchvision ships; ``fields`` of `AlexNet`."""
    return AlexNet(num_classes=num_classes, name=name, **{**ONE_WEIRD_TRICK, **fields})
