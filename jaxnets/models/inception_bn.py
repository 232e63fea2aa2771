"""BN-Inception: GoogLeNet with batch normalization, 5×5 as two 3×3; and its SE form.

Source: Ioffe, Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing
Internal Covariate Shift", 2015, figure 5 (appendix), where it is called Inception; others call it
Inception-v2, which is also the name of another network.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.checks import check_images
from jaxnets.models.layers import ConvNorm
from jaxnets.models.registry import register
from jaxnets.models.senet import SqueezeExcite
from jaxnets.nn import BatchNorm, Conv, Dense
from jaxnets.ops import avg_pool, global_avg_pool, max_pool
from jaxnets.ops.half_bits import concatenate

# Figure 5: #1×1, #3×3 reduce, #3×3, double #3×3 reduce, double #3×3, pool projection, pool.
# Without 1×1 and projection the module halves the map and passes its input through a max pool.
MODULES = {
    "3a": (64, 64, 64, 64, 96, 32, "avg"),
    "3b": (64, 64, 96, 64, 96, 64, "avg"),
    "3c": (0, 128, 160, 64, 96, 0, "max"),
    "4a": (224, 64, 96, 96, 128, 128, "avg"),
    "4b": (192, 96, 128, 96, 128, 128, "avg"),
    "4c": (160, 128, 160, 128, 160, 128, "avg"),
    "4d": (96, 128, 192, 160, 192, 128, "avg"),
    "4e": (0, 128, 192, 192, 256, 0, "max"),
    "5a": (352, 192, 320, 160, 224, 128, "avg"),
    "5b": (352, 192, 320, 192, 224, 128, "max"),
}


class InceptionBN(nn.Module):
    """1×1, 1×1→3×3, 1×1→3×3→3×3 and pool→1×1 side by side, or the halving form of it."""

    widths: tuple[int, int, int, int, int, int]
    pool: str
    layer: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        one, reduce3, three, reduce33, three3, projection = self.widths
        layer, strides = self.layer, 1 if one else 2
        conv3 = partial(layer, kernel_size=(3, 3), padding=1)
        branches = [layer(one, name="1x1")(x, train)] if one else []
        y = layer(reduce3, name="3x3_reduce")(x, train)
        branches.append(conv3(three, strides=strides, name="3x3")(y, train))
        y = layer(reduce33, name="double_reduce")(x, train)
        y = conv3(three3, name="double_1")(y, train)
        branches.append(conv3(three3, strides=strides, name="double_2")(y, train))
        if not projection:
            # As many steps as the convolutions with padding 1; on even maps, which the published
            # input has, this is the pooling without padding, rounded up.
            padding = [(n % 2, 1) for n in x.shape[1:3]]
            y = max_pool(x, (3, 3), strides=2, padding=padding)
        else:
            pool = avg_pool if self.pool == "avg" else max_pool
            y = pool(x, (3, 3), strides=1, padding=1)
            y = layer(projection, name="pool_proj")(y, train)
        return concatenate([*branches, y], axis=-1)


class BNInception(nn.Module):
    """A stem, ten inception modules at strides 8, 16, 32, average pool, head.

    Attributes:
        num_classes: width of the head; None returns the endpoints conv1 (stride 2), conv2 (4),
            inception3a, 3b (8), 3c…4d (16), 4e…5b (32).
        width: multiplier of all channels.
        conv_bias: a bias in every convolution, as the released network has; the normalization
            behind it takes it away again.
        reduction: of a squeeze-and-excitation after every module; None leaves it out.
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 32×32 → logits (N, num_classes), float32. Updates
    "batch_stats" where ``train`` is set.
    """

    num_classes: int | None = 1000
    width: float = 1.0
    conv_bias: bool = True
    reduction: int | None = None
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=32, stem="conv1/conv")
        layer = partial(
            ConvNorm, use_bias=self.conv_bias, norm=self.norm, conv=self.conv, dtype=self.dtype
        )
        scale = lambda channels: int(channels * self.width)  # noqa: E731
        pool = partial(max_pool, window=(3, 3), strides=2, ceil_mode=True)
        endpoints = OrderedDict()
        x = layer(scale(64), (7, 7), strides=2, padding=3, name="conv1")(x, train)
        endpoints["conv1"] = x
        x = layer(scale(64), name="conv2_reduce")(pool(x), train)
        x = layer(scale(192), (3, 3), padding=1, name="conv2")(x, train)
        endpoints["conv2"] = x
        x = pool(x)
        for module, (*widths, kind) in MODULES.items():
            name = f"inception{module}"
            x = InceptionBN(tuple(map(scale, widths)), kind, layer, name=name)(x, train)
            if self.reduction is not None:
                x = SqueezeExcite(self.reduction, self.dtype, name=f"{name}_se")(x)
            endpoints[name] = x
        if self.num_classes is None:
            return endpoints
        x = global_avg_pool(x)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)


_inception = partial(
    register,
    feature_strides={
        "conv1": 2,
        "conv2": 4,
        **{f"inception{m}": s for m, s in zip(MODULES, (8, 8, *[16] * 5, *[32] * 3), strict=True)},
    },
)


@_inception(
    parameters=11_295_240,
    macs=2_032_600_064,
    paper=papers.BATCH_NORM,
    weights=("Cadene bninception (images BGR, 0 to 255, minus 104, 117, 128)",),
    published="ImageNet top-1/top-5 accuracy 73.5/91.6 %",
)
def bn_inception(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> BNInception:
    """BN-Inception; ``fields`` of `BNInception`."""
    return BNInception(num_classes=num_classes, name=name, **fields)


@_inception(
    parameters=11_931_622,
    macs=2_033_239_424,
    paper=papers.SENET,
    published="ImageNet top-1 error 23.88 %",
)
def se_bn_inception(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> BNInception:
    """BN-Inception with squeeze-and-excitation; ``fields`` of `BNInception`."""
    return BNInception(
        num_classes=num_classes, name=name, **{"conv_bias": False, "reduction": 16, **fields}
    )
