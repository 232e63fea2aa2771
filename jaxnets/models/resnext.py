"""ResNeXt: residual blocks of many equal paths, in the three forms that compute the same.

Source: Xie, Girshick, Dollár, Tu, He, "Aggregated Residual Transformations for Deep Neural
Networks", 2016, figure 3, tables 1 and 2.
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
from jaxnets.models.layers import ConvNorm, Stage
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.nn import BatchNorm, Conv, Dense
from jaxnets.ops import global_avg_pool, he_normal, materialize, max_pool, relu
from jaxnets.ops.half_bits import concatenate

# Table 2: cardinality → width d of each path, at the complexity of ResNet-50.
EQUAL_COMPLEXITY = {1: 64, 2: 40, 4: 24, 8: 14, 32: 4}
FORMS = ("split", "concat", "grouped")
# Blocks in each stage of the networks of 101 layers.
STAGES_101 = (3, 4, 23, 3)


class PathConv(nn.Module):
    """A convolution whose kernel is cut into paths: what a path sees, what it makes, is a slice.

    The parameter is that of the grouped form: ``kernel`` (k, k, C_in/groups, features).

    Attributes:
        features, kernel_size, strides, padding: of the whole.
        paths: number of paths.
        role: "open": every path sees all of x; "own": it sees its slice of x; "close": likewise,
            and the paths' results are added.
        dtype: compute dtype.
    """

    features: int
    kernel_size: tuple[int, int]
    paths: int
    role: str
    conv: Callable[..., nn.Module]
    strides: int = 1
    padding: int = 0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        seen = x.shape[-1] // (self.paths if self.role == "own" else 1)
        kernel = self.param("kernel", he_normal, (*self.kernel_size, seen, self.features))
        results = []
        for path in range(self.paths):
            part, weights = x, kernel
            if self.role != "open":
                part = jnp.split(x, self.paths, axis=-1)[path]
            axis = -2 if self.role == "close" else -1
            weights = jnp.split(kernel, self.paths, axis=axis)[path]
            layer = self.conv(
                weights.shape[-1],
                self.kernel_size,
                strides=self.strides,
                padding=self.padding,
                use_bias=False,
                dtype=self.dtype,
                parent=None,
            )
            results.append(layer.apply({"params": {"kernel": weights}}, part))
        return sum(results) if self.role == "close" else concatenate(results, axis=-1)


class AggregatedBlock(nn.Module):
    """relu(shortcut(x) + bn(Σ over paths of 1×1(3×3(1×1(x))))), normalized between.

    ``form`` is figure 3's: (a) "split": separate paths whose outputs are added; (b) "concat":
    paths are joined before one last 1×1; (c) "grouped": one grouped convolution. All three have the
    same parameters under the same names.
    """

    features: int
    strides: int
    cardinality: int
    path_width: int
    form: str
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = materialize(x)  # Not to be computed again by each of its readers.
        conv = partial(self.conv, use_bias=False, dtype=self.dtype)
        paths = partial(PathConv, paths=self.cardinality, conv=self.conv, dtype=self.dtype)
        inner, strides = self.cardinality * self.path_width, self.strides
        if self.form == "grouped":
            open_ = conv(inner, (1, 1), name="conv1")
            own = conv(
                inner, (3, 3), strides=strides, padding=1, groups=self.cardinality, name="conv2"
            )
        else:
            open_ = paths(inner, (1, 1), role="open", name="conv1")
            own = paths(inner, (3, 3), role="own", strides=strides, padding=1, name="conv2")
        if self.form == "split":
            close = paths(self.features, (1, 1), role="close", name="conv3")
        else:
            close = conv(self.features, (1, 1), name="conv3")
        y = relu(self.norm(name="bn1")(open_(x), train=train))
        y = relu(self.norm(name="bn2")(own(y), train=train))
        y = self.norm(name="bn3")(close(y), train=train)
        if strides != 1 or x.shape[-1] != self.features:
            new = partial(ConvNorm, norm=self.norm, conv=conv, activation=None, dtype=self.dtype)
            x = new(self.features, strides=strides, name="shortcut")(x, train)
        return relu(x + y)


class ResNeXt(nn.Module):
    """7×7/2 convolution, 3×3/2 max pool, four stages of aggregated blocks, pool, head.

    Attributes:
        num_classes: width of the head; None returns the endpoints stem, stage1…stage4 at strides
            2, 4, 8, 16, 32.
        stages: blocks in each stage.
        cardinality: number of paths C.
        path_width: channels d of a path in the first stage; twice as many in each later one.
        width: channels of the stem; stage i puts out 4·2^(i−1) times as many.
        form: "split", "concat" or "grouped", see `AggregatedBlock`.
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 32×32 → logits (N, num_classes), float32. Updates
    "batch_stats" where ``train`` is set.
    """

    num_classes: int | None = 1000
    stages: Sequence[int] = (3, 4, 6, 3)
    cardinality: int = 32
    path_width: int = 4
    width: int = 64
    form: str = "grouped"
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=32, stem="stem/conv")
        if self.form not in FORMS:
            raise ValueError(f"ResNeXt: form must be one of {FORMS}, got {self.form!r}")
        norm = partial(self.norm, dtype=self.dtype)
        stem = partial(ConvNorm, strides=2, padding=3, norm=norm, conv=self.conv, dtype=self.dtype)
        endpoints = OrderedDict()
        x = endpoints["stem"] = stem(self.width, (7, 7), name="stem")(x, train)
        x = max_pool(x, (3, 3), strides=2, padding=1)
        for i, depth in enumerate(self.stages):
            block = partial(
                AggregatedBlock,
                features=4 * self.width * 2**i,
                cardinality=self.cardinality,
                path_width=self.path_width * 2**i,
                form=self.form,
                conv=self.conv,
                norm=norm,
                dtype=self.dtype,
            )
            strides = [2 if i > 0 and j == 0 else 1 for j in range(depth)]
            stage = Stage([partial(block, strides=s) for s in strides], name=f"stage{i + 1}")
            x = endpoints[f"stage{i + 1}"] = stage(x, train)
        if self.num_classes is None:
            return endpoints
        x = global_avg_pool(x)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)


_resnext = partial(
    register,
    paper=papers.RESNEXT,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    feature_strides={"stem": 2, "stage1": 4, "stage2": 8, "stage3": 16, "stage4": 32},
)


@_resnext(
    parameters=25_028_904,
    macs=4_230_479_872,
    weights=("torchvision resnext50_32x4d", "timm resnext50_32x4d"),
)
def resnext50_32x4d(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> ResNeXt:
    """ResNeXt-50, 32 paths of width 4; ``fields`` of `ResNeXt`."""
    return ResNeXt(num_classes=num_classes, name=name, **fields)


@_resnext(parameters=44_177_704, macs=7_969_996_800, weights=("Cadene resnext101_32x4d",))
def resnext101_32x4d(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> ResNeXt:
    """ResNeXt-101, 32 paths of width 4; ``fields`` of `ResNeXt`."""
    return ResNeXt(num_classes=num_classes, name=name, **{"stages": STAGES_101, **fields})


@_resnext(
    parameters=88_791_336,
    macs=16_414_015_488,
    weights=("torchvision resnext101_32x8d", "timm resnext101_32x8d"),
)
def resnext101_32x8d(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> ResNeXt:
    """ResNeXt-101, 32 paths of width 8; ``fields`` of `ResNeXt`."""
    return ResNeXt(
        num_classes=num_classes, name=name, **{"stages": STAGES_101, "path_width": 8, **fields}
    )


@_resnext(
    parameters=83_455_272,
    macs=15_460_270_080,
    weights=("torchvision resnext101_64x4d", "timm resnext101_64x4d"),
)
def resnext101_64x4d(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> ResNeXt:
    """ResNeXt-101, 64 paths of width 4; ``fields`` of `ResNeXt`."""
    return ResNeXt(
        num_classes=num_classes, name=name, **{"stages": STAGES_101, "cardinality": 64, **fields}
    )
