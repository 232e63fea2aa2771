"""VGG: nothing but 3×3 convolutions, 11 to 19 layers deep, in all configurations of the paper.

Source: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
2014, table 1.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models.checks import check_images
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, ModelInfo, register
from jaxnets.models.spatial_dense import SpatialDense
from jaxnets.nn import BatchNorm, Conv, Dropout
from jaxnets.ops import adaptive_avg_pool, local_response_norm, max_pool, relu

# Table 1: kernel sizes of the convolutions in the five stages; each stage has one width.
CONFIGURATIONS = {
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}


class VGG(nn.Module):
    """Five stages of convolutions with max pooling between them, then three connected layers.

    Args (fields):
        num_classes: width of the classifier; None returns the endpoints stage1…stage5 (before
            their pooling, strides 1 to 16) and pool5 (stride 32).
        stages: kernel sizes of each stage's convolutions, see `CONFIGURATIONS`.
        widths: channels of each stage.
        fc_width: width of fc6 and fc7.
        fc_window: side of the map that fc6 sees; other maps are pooled to it adaptively.
        fc_endpoints: without classifier, return "fc6" and "fc7" as well.
        dense: evaluate fully convolutionally: the connected layers slide over the whole feature
            map and the scores of all places are averaged (section 3.2).
        batch_norm: normalize after every convolution.
        lrn: local response normalization after the first convolution (A-LRN).
        dropout_rate: after fc6 and fc7.
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 32×32 → logits (N, num_classes), float32. Needs the rng
    "dropout" in training.
    """

    num_classes: int | None = 1000
    stages: Sequence[Sequence[int]] = CONFIGURATIONS["D"]
    widths: Sequence[int] = (64, 128, 256, 512, 512)
    fc_width: int = 4096
    fc_window: int = 7
    fc_endpoints: bool = False
    dense: bool = False
    batch_norm: bool = False
    lrn: bool = False
    dropout_rate: float = 0.5
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=32, stem="stage1_conv1")
        endpoints = OrderedDict()
        for i, (kernels, width) in enumerate(zip(self.stages, self.widths, strict=True), start=1):
            for j, k in enumerate(kernels, start=1):
                name = f"stage{i}_conv{j}"
                x = self.conv(width, (k, k), padding=k // 2, dtype=self.dtype, name=name)(x)
                if self.batch_norm:
                    x = self.norm(dtype=self.dtype, name=f"stage{i}_bn{j}")(x, train=train)
                x = relu(x)
                if self.lrn and i == j == 1:
                    x = local_response_norm(x)
            endpoints[f"stage{i}"] = x
            x = max_pool(x, (2, 2), strides=2)
        endpoints["pool5"] = x
        if self.num_classes is None and not self.fc_endpoints:
            return endpoints
        if not self.dense:
            x = adaptive_avg_pool(x, self.fc_window)
        elif min(x.shape[1:3]) < self.fc_window:
            raise ValueError(
                f"VGG: dense evaluation needs images of at least {32 * self.fc_window} pixels, "
                f"got a last feature map of {x.shape[1:3]}."
            )
        fc = partial(SpatialDense, dtype=self.dtype)
        x = endpoints["fc6"] = relu(fc(self.fc_width, self.fc_window, name="fc6")(x))
        x = Dropout(self.dropout_rate, name="dropout6")(x, train=train)
        x = endpoints["fc7"] = relu(fc(self.fc_width, name="fc7")(x))
        if self.num_classes is None:
            return endpoints
        x = Dropout(self.dropout_rate, name="dropout7")(x, train=train)
        scores = fc(self.num_classes, name="fc8")(x)
        return jnp.mean(scores.astype(jnp.float32), axis=(1, 2))


def _vgg(name: str, configuration: str, parameters: int, macs: int, **more: Any):
    info = ModelInfo(
        name=name,
        family="vgg",
        paper="Simonyan, Zisserman, Very Deep Convolutional Networks for Large-Scale Image "
        "Recognition",
        year=2014,
        input_size=224,
        channels=3,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        parameters=parameters,
        macs=macs,
        weights=more.pop("weights", ()),
        feature_strides={**{f"stage{i + 1}": 2**i for i in range(5)}, "pool5": 32},
        published=more.pop("published", ""),
    )
    return register(info, VGG, {"stages": CONFIGURATIONS[configuration], **more})


def _peers(name: str) -> tuple[str, ...]:
    return (f"torchvision {name}", f"timm {name}")


_err = "ImageNet top-1/top-5 error {} % (paper, table 3, single scale)".format
vgg11 = _vgg(
    "vgg11", "A", 132_863_336, 7_609_090_048, weights=_peers("vgg11"), published=_err("29.6/10.4")
)
vgg11_lrn = _vgg(
    "vgg11_lrn", "A", 132_863_336, 7_609_090_048, lrn=True, published=_err("29.7/10.5")
)
vgg13 = _vgg(
    "vgg13", "B", 133_047_848, 11_308_466_176, weights=_peers("vgg13"), published=_err("28.7/9.9")
)
vgg16_c = _vgg("vgg16_c", "C", 133_638_952, 11_770_888_192, published=_err("28.1/9.4"))
vgg16 = _vgg(
    "vgg16", "D", 138_357_544, 15_470_264_320, weights=_peers("vgg16"), published=_err("27.0/8.8")
)
vgg19 = _vgg(
    "vgg19", "E", 143_667_240, 19_632_062_464, weights=_peers("vgg19"), published=_err("27.3/9.0")
)

_bn = partial(_vgg, batch_norm=True)
vgg11_bn = _bn("vgg11_bn", "A", 132_868_840, 7_609_090_048, weights=_peers("vgg11_bn"))
vgg13_bn = _bn("vgg13_bn", "B", 133_053_736, 11_308_466_176, weights=_peers("vgg13_bn"))
vgg16_bn = _bn("vgg16_bn", "D", 138_365_992, 15_470_264_320, weights=_peers("vgg16_bn"))
vgg19_bn = _bn("vgg19_bn", "E", 143_678_248, 19_632_062_464, weights=_peers("vgg19_bn"))
