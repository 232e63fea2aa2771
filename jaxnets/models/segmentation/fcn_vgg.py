"""FCN-8s: VGG-16 made fully convolutional, its scores joined with those of two finer maps.

Source: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", 2015,
section 4, figure 3; the padding and the crops of its published networks.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.models import papers
from jaxnets.models.checks import check_images
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.models.vgg import CONFIGURATIONS, VGGStage
from jaxnets.nn import Conv, Dropout
from jaxnets.ops import max_pool, relu

# Zeros around the image, so that the first connected layer sees a window around every pixel.
BORDER = 100
# Where the finer maps begin, in their own pixels, and the image, in the last result's.
CROPS = {"pool4": 5, "pool3": 9, "image": 31}


def bilinear_init(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """The kernel of a transposed convolution that enlarges each channel by interpolation.

    Args:
        key: not used; initializers are called with one.
        shape: (side, side, K, K).
        dtype: of the kernel.

    Returns:
        The kernel.

    Source: the published networks' ``surgery.py``.

    >>> bilinear_init(None, (4, 4, 1, 1))[0, :, 0, 0].tolist()
    [0.0625, 0.1875, 0.1875, 0.0625]
    """
    side = shape[0]
    factor = (side + 1) // 2
    center = factor - 1 if side % 2 else factor - 0.5
    line = 1 - abs(np.arange(side) - center) / factor
    kernel = line[:, None, None, None] * line[None, :, None, None] * np.eye(shape[2])
    return jnp.asarray(kernel, dtype)


class FCN8s(nn.Module):
    """Scores at strides 32, 16 and 8, each enlarged and added to the next.

    Attributes:
        num_classes: K, background among them; None returns the maps pool3, pool4 and fc7.
        widths: channels of VGG's stages.
        fc_width: of fc6 and fc7.
        dropout_rate: after them.
        dtype: compute dtype.

    Call: images (N, H, W, C) → scores (N, H, W, K), float32. Needs the rng "dropout" in training.

    >>> network = FCN8s(3, widths=(2, 2, 2, 2, 2), fc_width=4)
    >>> x = jax.ShapeDtypeStruct((1, 45, 70, 3), "float32")
    >>> jax.eval_shape(network.init_with_output, jax.random.key(0), x)[0].shape
    (1, 45, 70, 3)
    """

    num_classes: int | None = 21
    widths: Sequence[int] = (64, 128, 256, 512, 512)
    fc_width: int = 4096
    dropout_rate: float = 0.5
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Any:
        check_images(self, x, smallest=1, stem="stage1/conv1")
        height, width = x.shape[1:3]
        conv = partial(Conv, dtype=self.dtype)
        # The first convolution itself pads by one.
        around = (BORDER - 1, BORDER - 1)
        x = jnp.pad(x, ((0, 0), around, around, (0, 0)))
        maps = {}
        rows = zip(CONFIGURATIONS["D"], self.widths, strict=True)
        for i, (kernels, features) in enumerate(rows, start=1):
            x = VGGStage(features, kernels, False, None, conv, name=f"stage{i}")(x, train)
            # Caffe's pooling goes beyond the border.
            x = max_pool(x, 2, strides=2, padding=tuple((0, n % 2) for n in x.shape[1:3]))
            maps[f"pool{i}"] = x
        for name, side in (("fc6", 7), ("fc7", 1)):
            x = relu(conv(self.fc_width, (side, side), name=name)(x))
            x = maps[name] = Dropout(self.dropout_rate, name=f"dropout{name[-1]}")(x, train=train)
        if self.num_classes is None:
            return {name: maps[name] for name in ("pool3", "pool4", "fc7")}
        score = partial(conv, self.num_classes, (1, 1))
        x = self._enlarge(score(name="score_fc7")(x), 2, "upscore2")
        for name, factor in (("pool4", 2), ("pool3", 8)):
            x = x + _cut(score(name=f"score_{name}")(maps[name]), CROPS[name], x.shape[1:3])
            x = self._enlarge(x, factor, f"upscore_{name}")
        return _cut(x, CROPS["image"], (height, width)).astype(jnp.float32)

    def _enlarge(self, x: jax.Array, factor: int, name: str) -> jax.Array:
        layer = nn.ConvTranspose(
            self.num_classes,
            (2 * factor, 2 * factor),
            strides=(factor, factor),
            padding="VALID",
            use_bias=False,
            kernel_init=bilinear_init,
            dtype=self.dtype,
            name=name,
        )
        return layer(x)


def _cut(x, start, size):
    return x[:, start : start + size[0], start : start + size[1]]


@register(
    paper=papers.FCN,
    parameters=134_489_759,
    macs=181_529_034_048,
    input_size=500,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    task="segmentation",
    published="VOC 2011 mean IoU 62.7 (paper, table 3)",
)
def fcn8s_vgg16(*, num_classes: int | None = 21, name: str | None = None, **fields: Any) -> FCN8s:
    """FCN-8s on VGG-16.

    Args:
        num_classes: background among them.
        name: Flax's.
        **fields: of `FCN8s`.

    Returns:
        An `FCN8s`.

    >>> fcn8s_vgg16().fc_width
    4096
    """
    return FCN8s(num_classes=num_classes, name=name, **fields)
