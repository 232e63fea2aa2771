"""Fully convolutional segmenters on a dilated backbone; FCN as torchvision trains it.

Source: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", 2015;
torchvision's networks, whose backbones are dilated instead of joined with finer maps.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax

from jaxnets.models import papers
from jaxnets.models.layers import ConvNorm
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.models.resnet import STAGES, ResNet
from jaxnets.models.upsample import upsample
from jaxnets.nn import Conv, Dropout

# Where scores of auxiliary heads are sown in training.
AUXILIARY = "aux_logits"


class FCNHead(nn.Module):
    """3×3 convolution to a quarter of the channels, normalized, ReLU, dropout, 1×1 to the classes.

    Attributes:
        num_classes: K.
        dropout_rate: before the last convolution.
        dtype: compute dtype.

    Call: (N, H, W, C) → (N, H, W, K).

    >>> x = jax.ShapeDtypeStruct((1, 5, 5, 16), "float32")
    >>> made = partial(FCNHead(3).init_with_output, train=False)
    >>> jax.eval_shape(made, jax.random.key(0), x)[0].shape
    (1, 5, 5, 3)
    """

    num_classes: int
    dropout_rate: float = 0.1
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        narrow = x.shape[-1] // 4
        x = ConvNorm(narrow, (3, 3), padding=1, dtype=self.dtype, name="block")(x, train)
        x = Dropout(self.dropout_rate, name="dropout")(x, train=train)
        return Conv(self.num_classes, (1, 1), dtype=self.dtype, name="score")(x)


class DenseSegmenter(nn.Module):
    """A head on one of a backbone's maps, its scores enlarged to the image.

    Attributes:
        backbone: images → mapping of maps.
        num_classes: K, background among them as class 0, as torchvision counts; None returns the
            backbone's maps.
        endpoint: the map that the head sees.
        head: makes it: ``head(num_classes, dtype=…, name=…)(map, train)``.
        auxiliary: an `FCNHead` on ``auxiliary_endpoint`` as well; in training it sows its scores.
        auxiliary_endpoint: the map that it sees.
        dtype: compute dtype.

    Call: images (N, H, W, C) → scores (N, H, W, K), float32. Updates "batch_stats" where ``train``
    is set; needs the rng "dropout" then.

    >>> maps = ResNet(num_classes=None, stages=(1, 1, 1, 1), width=4, output_stride=8)
    >>> x = jax.ShapeDtypeStruct((1, 40, 48, 3), "float32")
    >>> network = DenseSegmenter(maps, 3)
    >>> jax.eval_shape(network.init_with_output, jax.random.key(0), x)[0].shape
    (1, 40, 48, 3)
    """

    backbone: nn.Module
    num_classes: int | None = 21
    endpoint: str = "stage4"
    head: Callable[..., nn.Module] = FCNHead
    auxiliary: bool = False
    auxiliary_endpoint: str = "stage3"
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Any:
        maps = self.backbone(x, train=train)
        if self.num_classes is None:
            return maps
        size = x.shape[1:3]
        scores = self.head(self.num_classes, dtype=self.dtype, name="head")(
            maps[self.endpoint], train
        )
        if self.auxiliary and (train or self.is_initializing()):
            head = FCNHead(self.num_classes, dtype=self.dtype, name="aux_head")
            found = upsample(head(maps[self.auxiliary_endpoint], train), size)
            if not self.is_initializing():
                self.sow(AUXILIARY, "aux", found, reduce_fn=lambda _, new: new)
        return upsample(scores, size)


def dilated_resnet(depth: int, dtype: Any = None) -> ResNet:
    """A residual network without head whose last maps keep stride 8.

    Args:
        depth: 50, 101 or 152.
        dtype: compute dtype.

    Returns:
        The network.

    >>> dilated_resnet(101).stages
    (3, 4, 23, 3)
    """
    return ResNet(num_classes=None, output_stride=8, dtype=dtype, **STAGES[depth])


_fcn = partial(
    register,
    paper=papers.FCN,
    task="segmentation",
    input_size=520,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    auxiliary={"aux": 0.5},
)


@_fcn(
    parameters=32_957_013,
    macs=142_725_772_800,
    weights=("torchvision fcn_resnet50",),
    published="mean IoU 60.5 on COCO val2017's VOC classes (torchvision)",
)
def fcn_resnet50(
    *, num_classes: int | None = 21, name: str | None = None, **fields: Any
) -> DenseSegmenter:
    """FCN on a dilated ResNet-50.

    Args:
        num_classes: background among them.
        name: Flax's.
        **fields: of `DenseSegmenter`.

    Returns:
        A `DenseSegmenter`.

    >>> fcn_resnet50().num_classes
    21
    """
    published = {"backbone": dilated_resnet(50, fields.get("dtype"))}
    return DenseSegmenter(num_classes=num_classes, name=name, **{**published, **fields})


@_fcn(
    parameters=51_949_141,
    macs=222_746_867_200,
    weights=("torchvision fcn_resnet101",),
    published="mean IoU 63.7 on COCO val2017's VOC classes (torchvision)",
)
def fcn_resnet101(
    *, num_classes: int | None = 21, name: str | None = None, **fields: Any
) -> DenseSegmenter:
    """FCN on a dilated ResNet-101.

    Args:
        num_classes: background among them.
        name: Flax's.
        **fields: of `DenseSegmenter`.

    Returns:
        A `DenseSegmenter`.

    >>> fcn_resnet101().backbone.stages
    (3, 4, 23, 3)
    """
    published = {"backbone": dilated_resnet(101, fields.get("dtype"))}
    return DenseSegmenter(num_classes=num_classes, name=name, **{**published, **fields})
