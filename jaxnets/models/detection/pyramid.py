"""Feature pyramids: maps of one width at several strides, each knowing what the coarser ones know.

Source: Lin et al., "Feature Pyramid Networks for Object Detection", 2016, section 3; torchvision's.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax

from jaxnets.models.backbone import Backbone, backbone
from jaxnets.models.layers import ConvNorm
from jaxnets.nn import Conv
from jaxnets.ops import relu


class FeaturePyramid(nn.Module):
    """1×1 convolutions of a backbone's maps, summed from coarse to fine, 3×3 convolutions of sums.

    A map is enlarged twice before it is added to one that is finer, and taken as it is where the
    two have one stride.

    Attributes:
        network: images → ordered mapping of maps, the finest first.
        features: channels of all maps.
        coarser: two more maps by 3×3 convolutions of stride 2, RetinaNet's P6 and P7.
        pooled: one more map, every second position of the coarsest, for large anchors.
        frozen: the network's normalizations use their running statistics in training, too.
        norm: normalization behind each convolution of the sums, which then has no bias; or None.
        dtype: compute dtype.

    Call: images (N, H, W, C) → ordered mapping of maps (N, H / stride, W / stride, features).

    >>> maps = FeaturePyramid(backbone("resnet18", (8, 16), stages=(1, 1, 1), width=4), 8)
    >>> x = jax.ShapeDtypeStruct((1, 64, 96, 3), "float32")
    >>> found, _ = jax.eval_shape(maps.init_with_output, jax.random.key(0), x)
    >>> {name: each.shape[1:] for name, each in found.items()}
    {'stage2': (8, 12, 8), 'stage3': (4, 6, 8), 'p6': (2, 3, 8), 'p7': (1, 2, 8)}
    """

    network: nn.Module
    features: int = 256
    coarser: bool = True
    pooled: bool = False
    frozen: bool = False
    norm: Callable[..., nn.Module] | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> "OrderedDict[str, jax.Array]":
        maps = self.network(x, train=train and not self.frozen)
        conv = partial(Conv, self.features, dtype=self.dtype)
        if self.norm is not None:
            conv = partial(self._normalized, train)
        result: dict[str, jax.Array] = {}
        above = None
        for i, (name, each) in reversed(list(enumerate(maps.items()))):
            y = conv((1, 1), name=f"lateral{i}")(each)
            if above is not None:
                height, width = y.shape[1:3]
                if above.shape != y.shape:
                    above = above.repeat(2, 1).repeat(2, 2)[:, :height, :width]
                y = y + above
            above = y
            result[name] = conv((3, 3), padding=1, name=f"output{i}")(y)
        found = OrderedDict(reversed(result.items()))
        if self.coarser:
            y = next(reversed(found.values()))
            for name in ("p6", "p7"):
                y = Conv(self.features, (3, 3), strides=2, padding=1, dtype=self.dtype, name=name)(
                    y if name == "p6" else relu(y)
                )
                found[name] = y
        if self.pooled:
            found["pool"] = next(reversed(found.values()))[:, ::2, ::2]
        return found

    def _normalized(self, train, window, **options):
        layer = ConvNorm(
            self.features, window, norm=self.norm, activation=None, dtype=self.dtype, **options
        )
        return partial(layer, train=train)


def resnet_pyramid(
    name: str = "resnet50",
    strides: tuple[int, ...] = (8, 16, 32),
    *,
    dtype: Any = None,
    **fields: Any,
) -> FeaturePyramid:
    """A pyramid on a residual network.

    Args:
        name: of the network.
        strides: of its maps.
        dtype: compute dtype.
        **fields: of the network.

    Returns:
        A `FeaturePyramid` with P6 and P7.

    >>> resnet_pyramid().features
    256
    """
    network: Backbone = backbone(name, strides, dtype=dtype, **fields)
    return FeaturePyramid(network, dtype=dtype)
